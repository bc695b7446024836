"""`corpusmill inspect steps`: the steps of a training run."""

from typing import Annotated

import typer

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.steps import STEP_COLUMNS, read_steps, step_cells
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import Column, output_console, print_lines, table


def steps_command(
    run: Annotated[str, typer.Argument(help="the folder of a training run, finished or not", metavar="MODEL")],
    number: Annotated[
        int, typer.Option("--number", "-n", help="rows, evenly spaced; 0 for every step", min=0, metavar="N")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON lines, an object a step")] = False,
) -> None:
    """Show the steps of a training run: losses from metrics.jsonl beside times and tokens per second.

    Example: corpusmill inspect steps quickstart-output/model -n 12
    """
    steps = read_steps(run, number)
    if not steps:
        raise UserError("no step of training is recorded here", where=run, hint="name the folder of a training run")
    if as_json:
        for step in steps:
            print_json(step, indent=None)
        return
    console = output_console()
    columns = [Column(name, right=True) for name in STEP_COLUMNS]
    print_lines(console, table(columns, [step_cells(step) for step in steps], console.width))
