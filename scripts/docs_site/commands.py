"""The page of commands, made from the command line: what `--help` says, all on one page."""

import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import typer
from typer.main import get_command

from corpusmill.pipelines.cli.main import app
from scripts.docs_site.tables import code, plain, table

HEAD = """\
# Commands

What `corpusmill COMMAND --help` says, made from the program itself. Lists are `A,B`, mappings `NAME=VALUE,…`, sizes
have a unit (`64MiB`). The same settings are [recipe keys](recipes.md) and arguments of
[functions](../library.md#stages).
"""


def page() -> str:
    """The whole page, as Markdown."""
    with mock.patch.object(
        sys, "argv", ["corpusmill", "a command"]
    ):  # so that commands are imported and not only listed
        root = get_command(app)
        return "\n".join([HEAD, *(part for command, words in _commands(root) for part in _section(command, words))])


def _commands(root: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """(command, its words) of all that can be called, groups before what is in them."""
    pending: list[tuple[Any, tuple[str, ...]]] = [(root, ())]
    while pending:
        command, words = pending.pop(0)
        if words:
            yield command, words
        if hasattr(command, "list_commands"):
            context = typer.Context(command, info_name=" ".join(("corpusmill", *words)))
            names = command.list_commands(context)
            pending[:0] = [(command.get_command(context, name), (*words, name)) for name in names]


def _section(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    yield f"{'#' * (len(words) + 1)} {' '.join(words)}\n"
    help_text, _, example = (command.help or "").replace("\b", "").partition("Example:")
    yield plain(help_text.strip()) + "\n"
    if example.strip():
        yield "```sh\n" + " ".join(example.split()) + "\n```\n"
    if getattr(command, "list_commands", None) and not getattr(command, "invoke_without_command", False):
        return
    rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        yield table(("", "value", "default", ""), rows)


def _row(parameter: Any) -> tuple[str, str, str, str]:
    is_flag = getattr(parameter, "is_flag", False)
    if parameter.param_type_name == "argument":
        names, value = code(parameter.metavar or parameter.name.upper()), ""
    else:
        names = ", ".join(map(code, (*parameter.opts, *parameter.secondary_opts)))
        value = "" if is_flag else code(parameter.metavar or "TEXT")
    help_text, default = _described(parameter)
    return names, value, code(default), plain(help_text)


def _described(parameter: Any) -> tuple[str, str]:
    """(description, default): the default as the description gives it, or the parameter's own."""
    help_text = getattr(parameter, "help", None) or ""
    if help_text.endswith("]") and "[default: " in help_text:
        help_text, _, default = help_text[:-1].rpartition("[default: ")
        return help_text.strip(), default
    default = parameter.default
    if parameter.required or default is None or default in ((), []) or callable(default) or "Sentinel" in repr(default):
        return help_text, "required" if parameter.required else ""
    if isinstance(default, bool):
        return help_text, "yes" if default else ""
    return help_text, str(default)
