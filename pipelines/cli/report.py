"""`corpusmill report RUN` and `corpusmill status RUN`: what a run made, and how far it is."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from corpusmill.pipelines.cli.apps import command_app
from corpusmill.pipelines.visible import one_line

PIPE_COLUMNS = 1000

REPORT = """Write an HTML report on a run: what came in, what was removed and why, tokens, packing, training.

The page is <RUN>/report/index.html unless --output says otherwise, and needs no other files.

Example: corpusmill report quickstart-output --output report.html"""

STATUS = """Show the progress of a run, while it is running and afterwards: one line per stage.

A stage is done, at work (a process holds its lock) or stopped; running its command again resumes it.

Example: corpusmill status quickstart-output"""

Run = Annotated[str, typer.Argument(help="the output folder of a recipe, or one stage's folder", metavar="RUN")]


def app_for(name: str) -> typer.Typer:
    """The typer application of `report` or `status`."""
    function, text = {"report": (_report, REPORT), "status": (_status, STATUS)}[name]
    return command_app(function, text)


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


def _status(run: Run) -> None:
    from rich.table import Table
    from rich.text import Text

    from corpusmill.pipelines.engine.progress import clock
    from corpusmill.pipelines.inspect.status import run_status
    from corpusmill.pipelines.terminal import Console

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("stage", "state", "tasks", "counts", "time"):
        table.add_column(column, justify="right" if column == "time" else "left", overflow="fold")
    for line in run_status(run):
        state = f"{line.state} ({line.holder})" if line.holder else line.state
        tasks = ", ".join(f"{phase} {done}/{'?' if known is None else known}" for phase, done, known in line.phases)
        counts = line.note or _in_words(line.counts)
        time = "" if line.seconds is None else clock(line.seconds)
        table.add_row(*(Text(one_line(cell)) for cell in (line.name, state, tasks, counts, time)))
    Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS).print(table)


def _in_words(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in list(counts.items())[:5] if count)
