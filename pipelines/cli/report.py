"""`corpusmill report RUN`: what a run made, on one page."""

from typing import Annotated

import typer

from corpusmill.pipelines.cli.apps import command_app

REPORT = """Write an HTML report on a run: what came in, what was removed and why, tokens, packing, training, cost.

The page is <RUN>/report/index.html unless --output says otherwise, and needs no other files.

Example: corpusmill report quickstart-output --output report.html"""

Run = Annotated[str, typer.Argument(help="the output folder of a recipe, or one stage's folder", metavar="RUN")]


def app_for(name: str) -> typer.Typer:
    """The typer application of the command."""
    return command_app(_report, REPORT)


def _report(
    run: Run,
    output: Annotated[str | None, typer.Option(help="the page to write", metavar="FILE")] = None,
    core_hour_price: Annotated[
        float | None,
        typer.Option(help="dollars a core-hour, for what the run cost [default: the recipe's]", metavar="X", min=0),
    ] = None,
) -> None:
    from corpusmill.dataproc import storage
    from corpusmill.dataproc.errors import UserError
    from corpusmill.pipelines.inspect.places import folder_name, run_stages
    from corpusmill.pipelines.recipe import kept_name, kept_price
    from corpusmill.pipelines.report import write_report

    if output and storage.list_names(output):
        raise UserError("this is a folder", where=output, hint="give a file name, such as report.html")
    price = core_hour_price if core_hour_price is not None else kept_price(run)
    path = write_report(run, kept_name(run) or folder_name(run), run_stages(run), output, price)
    print(storage.absolute(path))
