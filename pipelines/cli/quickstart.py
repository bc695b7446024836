"""`corpusmill quickstart`: the whole road on text that every machine with Python has."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.apps import command_app
from corpusmill.pipelines.cli.flags import RUN_OPTIONS, with_options

HELP = """Text that every machine has, all the way to a small trained model, in minutes.

The Python standard library and the READMEs and licences of the installed distributions become documents, clean
documents, a tokenizer of 8,192 ids, packed shards, a DeepSeek-V3-shaped model and a report.

Example: corpusmill quickstart --output /tmp/quickstart"""


def app_for(name: str) -> typer.Typer:
    """The typer application of the command."""
    output = Annotated[str, typer.Option(help="output folder", metavar="DIR")]
    options = {"output": (output, "quickstart-output")} | RUN_OPTIONS
    return command_app(with_options(_quickstart, options), HELP)


def example_path(name: str) -> str:
    """A recipe of `examples/`, which is installed beside the code."""
    path = Path(str(files("corpusmill"))) / "examples" / name
    if path.exists():
        return str(path)
    raise UserError("this example is not installed", where=name, hint="install corpusmill again")


def _quickstart(**values: Any) -> None:
    from corpusmill.pipelines.options import RunOptions
    from corpusmill.pipelines.recipe import load_recipe
    from corpusmill.pipelines.running import run_recipe

    recipe = load_recipe(example_path("quickstart.yaml"), output=values["output"])
    # The text is the machine's and not the user's: a file of it that is not UTF-8 is no reason to fail.
    options = RunOptions.from_flags(values | {"allow_quarantine": True})
    raise typer.Exit(run_recipe(recipe, options))
