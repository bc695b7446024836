"""`corpusmill --help` without Typer, which takes 0.1 s to import on a machine where Python starts in 0.02.

It prints what Typer prints, to the letter: `tests/pipelines/test_cli.py` compares the two at several widths.
"""

import os
import textwrap
from collections.abc import Iterator, Sequence

OPTIONS = [
    ("--version", "print the version"),
    ("--install-completion", "Install completion for the current shell."),
    ("--show-completion", "Show completion for the current shell, to copy it or customize the installation."),
    ("-h, --help", "Show this message and exit."),
]
"""The root's options, by name and help."""

WIDEST, NARROWEST = 80, 50


def listing(paragraphs: Sequence[str], commands: Sequence[tuple[str, str]]) -> str:
    """The help of the root, as wide as the terminal is, within limits.

    Args:
        paragraphs: what the program does, and an example, each on a line of its own.
        commands: (name, what it does).
    """
    width = max(min(_columns(), WIDEST) - 2, NARROWEST)
    lines = ["Usage: corpusmill [OPTIONS] COMMAND [ARGS]..."]
    for paragraph in paragraphs:
        lines += ["", f"  {paragraph}"]
    return "\n".join([*lines, *_section("Options", OPTIONS, width), *_section("Commands", commands, width)])


def _columns() -> int:
    """Of the terminal, as `shutil` has it, which brings every kind of compression along."""
    try:
        return int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(1).columns or WIDEST
    except (OSError, ValueError):  # no terminal, or not a number
        return WIDEST


def _section(title: str, rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    yield from ("", f"{title}:")
    column = max(len(name) for name, _ in rows) + 2
    for name, text in rows:
        first, *more = textwrap.wrap(text, max(width - column - 2, 10))
        yield f"  {name:<{column}}{first}"
        yield from (" " * (column + 2) + line for line in more)
