"""The root of the command line as Typer sees it: all commands by name and line, each imported when it is called."""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from corpusmill.dataproc.errors import suggest
from corpusmill.pipelines.cli.apps import command_app, group_app, words_to_complete
from corpusmill.pipelines.cli.main import ABOUT, command_lines, command_names, module_and_line


class LazyGroup(TyperGroup):
    """Knows all commands by name and one line, and imports the module of the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return command_names()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The whole line of each command, over several lines in a narrow terminal."""
        with formatter.section("Commands"):
            formatter.write_dl(command_lines())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of these arguments; an unknown one ends with the name that is nearest to it."""
        if args and not args[0].startswith("-") and module_and_line(args[0]) is None:
            ctx.fail(f"No such command '{args[0]}'; {suggest(args[0], command_names())}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, name: str) -> Any:
        command_source = module_and_line(name)
        if command_source is None:
            return None
        module, line = command_source
        if only_listing(name):
            command = get_command(_stub(line))
        else:
            command = get_command(import_module(module).app_for(name))
        command.name = name
        return command


def _stub(line: str) -> typer.Typer:
    """A command that is only listed."""
    return command_app(lambda: None, line)


def only_listing(name: str = "") -> bool:
    """Whether the call is for the list of commands, which needs none of them: as help, or for a shell to complete.

    A shell that completes what follows a command's name needs that command.
    """
    typed = words_to_complete()
    if typed:
        return name not in typed[1:]
    return len(sys.argv) < 2 or sys.argv[1] in ("--help", "-h", "--version")


app = group_app("\n\n".join(ABOUT), LazyGroup, completion=True)


def _print_version(asked: bool) -> None:
    if asked:
        from corpusmill.pipelines.engine.manifest import our_version

        print(f"corpusmill {our_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Holds the group's help."""
