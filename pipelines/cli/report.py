"""`corpusmill report RUN` and `corpusmill status RUN`: what a run made, and how far it is."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from corpusmill.pipelines.cli.apps import command_app
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.visible import one_line

REPORT = """Write an HTML report on a run: what came in, what was removed and why, tokens, packing, training.

The page is <RUN>/report/index.html unless --output says otherwise, and needs no other files.

Example: corpusmill report quickstart-output --output report.html"""

STATUS = """Show the progress of a run, while it is running and afterwards: one line per stage.

A stage is done, at work (a process holds its lock) or stopped; running its command again resumes it.

Example: corpusmill status quickstart-output"""

Run = Annotated[str, typer.Argument(help="the output folder of a recipe, or one stage's folder", metavar="RUN")]


def app_for(name: str) -> typer.Typer:
    """The typer application of `report` or `status`."""
    return command_app(_report, REPORT) if name == "report" else command_app(_status, STATUS)


def _report(
    run: Run,
    output: Annotated[str | None, typer.Option(help="the page to write", metavar="FILE")] = None,
) -> None:
    from corpusmill.dataproc import storage
    from corpusmill.dataproc.errors import UserError
    from corpusmill.pipelines.inspect.places import folder_name, run_stages
    from corpusmill.pipelines.report import write_report

    if output and storage.list_names(output):
        raise UserError("this is a folder", where=output, hint="give a file name, such as report.html")
    path = write_report(run, folder_name(run), run_stages(run), output)
    print(storage.absolute(path))


def _status(run: Run, as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    from corpusmill.pipelines.inspect.status import run_status, status_values
    from corpusmill.pipelines.summary import print_json
    from corpusmill.pipelines.terminal import Column, output_console, print_lines, table

    stages = run_status(run)
    if as_json:
        print_json(status_values(run, stages))
        return
    columns = (Column("stage"), Column("state"), Column("tasks"), Column("counts"), Column("time", right=True))
    rows = []
    for line in stages:
        state = f"{line.state} ({line.holder})" if line.holder else line.state
        tasks = ", ".join(f"{phase} {done}/{'?' if known is None else known}" for phase, done, known in line.phases)
        counts = line.note or _in_words(line.counts)
        time = "" if line.seconds is None else clock(line.seconds)
        rows.append([one_line(cell) for cell in (line.name, state, tasks, counts, time)])
    console = output_console()
    print_lines(console, table(columns, rows, console.width))
    for line in stages:
        for silent in line.silent:
            print(one_line(f"{line.name}: {silent}"))


def _in_words(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in list(counts.items())[:5] if count)
