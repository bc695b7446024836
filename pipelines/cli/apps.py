"""Typer applications the way this command line wants them: plain text help, `-h` as well as `--help`, and completion
for shells at the top."""

import inspect
from collections.abc import Callable
from typing import Any

import typer

_PLAIN: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}
_NAMES = {"help_option_names": ["-h", "--help"]}


def help_text(text: str) -> str:
    """A help text whose example stays on one line, so that it can be copied at any width of the terminal."""
    return inspect.cleandoc(text).replace("\n\nExample: ", "\n\n\b\nExample: ")


def group_app(text: str, cls: Any = None, completion: bool = False) -> typer.Typer:
    """An application with commands of its own; called without one, it prints its help.

    Args:
        completion: also `--install-completion` and `--show-completion`.
    """
    more = {"cls": cls} if cls else {}
    return typer.Typer(
        **(_PLAIN | {"add_completion": completion}),
        **more,
        no_args_is_help=True,
        help=help_text(text),
        context_settings=_NAMES,
    )


def command_app(function: Callable[..., Any], text: str, cls: Any = None) -> typer.Typer:
    """An application that is one command."""
    app = typer.Typer(**_PLAIN)
    app.command(help=help_text(text), context_settings=_NAMES, cls=cls)(function)
    return app
