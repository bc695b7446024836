"""`corpusmill filter DATASET… --output …`, `filter --show NAME` and `filter sweep FOLDER`.

The stage's own command is made from its settings like any other; a first argument `sweep` leads to the other command. A
dataset in a folder of that name is written ./sweep.
"""

import inspect
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from corpusmill.pipelines.cli.apps import command_app
from corpusmill.pipelines.cli.flags import options_of, with_options
from corpusmill.pipelines.cli.show_rules import show_rules
from corpusmill.pipelines.cli.stages import stage_command
from corpusmill.pipelines.cli.sweep import sweep_command

SWEEP = "sweep"

HELP = """

_rejected/, _ledger/ and _statistics/ lie next to the kept documents. From the statistics alone, corpusmill filter sweep
shows what other thresholds would keep; see corpusmill filter sweep --help."""


class FilterOrSweep(TyperCommand):
    """The stage's command, or that of `sweep` where this is the first argument."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if args[:1] == [SWEEP]:
            command = get_command(command_app(sweep_command, inspect.getdoc(sweep_command) or ""))
            return command.make_context(f"{info_name} {SWEEP}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


def _show(name: str | None) -> None:
    if name is not None:
        show_rules(name)
        raise typer.Exit


ShowOption = Annotated[
    str | None,
    typer.Option(
        help="show a preset, rule, statistic or rewriter, with numbers and sources; 'all' lists everything",
        metavar="NAME",
        is_eager=True,
        callback=_show,
    ),
]


def app_for(name: str) -> typer.Typer:
    """The typer application of the commands."""
    run, text = stage_command("filter")
    line, example = text.split("\n\nExample: ")
    with_options(run, options_of(run) | {"show": (ShowOption, None)})
    return command_app(run, f"{line}{HELP}\n\nExample: {example}", FilterOrSweep)
