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
    code = run_recipe(recipe, options)
    if code == 0 and not options.dry_run and not options.json:
        _print_next(recipe.output)
    raise typer.Exit(code)


def _print_next(output: str) -> None:
    """What to type next, in lines that can be copied."""
    from shlex import join

    from corpusmill.pipelines.summary import short_path
    from corpusmill.pipelines.terminal import output_console

    model, shards = (short_path(f"{output.rstrip('/')}/{name}") for name in ("model", "shards"))
    console = output_console()
    console.print("Next, let the model write, and measure it:")
    for command in (("generate", model, "--prompt", "def main"), ("evaluate", model, shards)):
        console.print(f"  {join(('corpusmill', 'model', *command))}", soft_wrap=True, markup=False, highlight=False)
