"""`corpusmill run`: the stages of a recipe, one after the other."""

from typing import Annotated, Any

import typer

from corpusmill.pipelines.cli.apps import command_app
from corpusmill.pipelines.cli.flags import RUN_OPTIONS, with_options

EXAMPLE = """Run the stages of a recipe in order; finished stages are skipped.

Example: corpusmill run examples/web-crawl.yaml --set filter.rules='[fineweb]' --workers 8"""


def app_for(name: str) -> typer.Typer:
    """The typer application of the command."""
    path = Annotated[str, typer.Argument(help="the recipe, a YAML file", metavar="RECIPE")]
    changes = Annotated[
        list[str],
        typer.Option("--set", help="change a setting: stage.key=value (repeatable)", metavar="KEY=VALUE"),
    ]
    output = Annotated[str | None, typer.Option(help="output folder, overriding the recipe's", metavar="DIR")]
    options = {"recipe": (path, ...), "changes": (changes, []), "output": (output, None)} | RUN_OPTIONS
    return command_app(with_options(_run, options), EXAMPLE)


def _run(**values: Any) -> None:
    from corpusmill.pipelines.options import RunOptions
    from corpusmill.pipelines.recipe import load_recipe
    from corpusmill.pipelines.running import run_recipe

    recipe = load_recipe(values["recipe"], changes=values["changes"], output=values["output"])
    raise typer.Exit(run_recipe(recipe, RunOptions.from_flags(values)))
