"""Typer applications the way this command line wants them: plain text help, `-h` as well as `--help`, and completion
for shells at the top."""

import inspect
import os
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


def is_completed_elsewhere(name: str) -> bool:
    """Whether a shell completes a word of a command line that does not have `name`: then its name and line suffice."""
    typed = words_to_complete()
    return bool(typed) and name not in typed[1:]


def words_to_complete() -> list[str]:
    """The words of the command line that a shell wants completed; none in a call of any other kind."""
    return " ".join(os.environ.get(variable, "") for variable in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")).split()
