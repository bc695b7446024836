"""`corpusmill inspect PATH`, and the list of its commands, each in a module of its own that is imported when called.

Some of them need numba or DuckDB, and an overview should not wait for these: with all imported it took 1.6 s, and takes
half a second without. Whatever comes out of documents is shown with its control characters spelled out, and never as
markup.
"""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from corpusmill.pipelines.cli.apps import command_app, group_app, is_completed_elsewhere

HELP = """Inspect any folder or file made by corpusmill.

With just a PATH, shows what is there: settings, counts, parts. If a folder has the name of one of the commands below,
write it as ./show.

Example: corpusmill inspect quickstart-output/clean"""

DEFAULT = "overview"

COMMANDS = {
    "show": ("inspect_show", "Show one document, or one sequence of token shards with its segments and markers."),
    "steps": ("inspect_steps", "Show the steps of a training run."),
    "verify": ("inspect_verify", "Check every byte against the manifest."),
    "serve": ("inspect_serve", "Look into runs and folders in a browser."),
    "diff": ("inspect_diff", "Compare two runs, datasets, shard sets, tokenizers or manifests."),
    "lint": ("inspect_lint", "Look for what is wrong with a set of tokens."),
    "sample": ("inspect_sample", "Show documents or sequences drawn at random."),
    "why": ("inspect_why", "Show what a stage did with a document and why."),
    "sql": ("inspect_sql", "Ask the tables of a run in SQL (needs the extra sql: DuckDB)."),
    "trace": ("trace", "Trace a training step, or a sequence, back to its documents."),
}
"""The module of a command, which has a function `NAME_command`, and the line in the list of commands."""


class PathOrCommand(TyperGroup):
    """`inspect PATH` is `inspect overview PATH`; a command's module is imported when the command is called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The whole line of each command, over several lines in a narrow terminal."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def get_command(self, ctx: Any, name: str) -> Any:
        if name == DEFAULT:
            command = get_command(command_app(_function("inspect_overview", DEFAULT), HELP))
        elif name not in COMMANDS:
            return None
        else:
            module, line = COMMANDS[name]
            if is_completed_elsewhere(name):
                command = get_command(command_app(lambda: None, line))
            else:
                function = _function(module, name)
                command = get_command(command_app(function, function.__doc__ or line))
        command.name = name
        return command


def _function(module: str, name: str) -> Any:
    return getattr(import_module(f"corpusmill.pipelines.cli.{module}"), f"{name}_command")


def app_for(name: str) -> typer.Typer:
    """The typer application of the commands."""
    app = group_app(HELP, PathOrCommand)
    app.callback()(lambda: None)
    return app
