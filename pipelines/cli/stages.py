"""One command for each stage, with the stage's settings as flags."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from corpusmill.pipelines.cli.apps import command_app
from corpusmill.pipelines.cli.flags import RUN_OPTIONS, model_options, read_model, with_options
from corpusmill.pipelines.engine.stage import Stage
from corpusmill.pipelines.registry import require_description, stage_type


def stage_command(name: str) -> tuple[Callable[..., Any], str]:
    """(the function that typer makes a command of, its help)."""
    description, made_of = require_description(name), stage_type(name)

    def command(**values: Any) -> None:
        _run(made_of, values)

    output = Annotated[str, typer.Option(help="output folder", metavar=description.output)]
    seed = Annotated[int, typer.Option(help="seed of every draw", min=0, metavar="N")]
    options = model_options(made_of.Settings, description.positional)
    required = {key: value for key, value in options.items() if value[1] is ...}
    optional = {key: value for key, value in options.items() if value[1] is not ...}
    with_options(command, required | {"output": (output, ...)} | optional | {"seed": (seed, 0)} | RUN_OPTIONS)
    return command, f"{description.help}\n\nExample: {description.example}"


def app_for(name: str) -> typer.Typer:
    """The typer application of a stage's command."""
    return command_app(*stage_command(name))


def _run(made_of: type[Stage], values: dict[str, Any]) -> None:
    from corpusmill.pipelines.options import RunOptions
    from corpusmill.pipelines.recipe import NamedStage, Recipe
    from corpusmill.pipelines.running import run_recipe

    settings = read_model(made_of.Settings, values)
    stage = made_of(settings, seed=values["seed"])
    output = values["output"]
    named = NamedStage(name=made_of.name, folder=output, stage=stage)
    recipe = Recipe(name=made_of.name, output=output, seed=values["seed"], stages=(named,))
    options = RunOptions.from_flags(values)
    raise typer.Exit(run_recipe(recipe, options))
