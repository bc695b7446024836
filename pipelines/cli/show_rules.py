"""Prints what `dataproc.rules.describe` says: as tables in a terminal, as plain lines in a pipe."""

import sys
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from corpusmill.pipelines.cli.trace import inspect_console
from corpusmill.pipelines.terminal import Console

if TYPE_CHECKING:
    from corpusmill.dataproc.rules.describe import Section


def show_rules(name: str) -> None:
    """Prints all about a preset, a rule, a statistic or a rewriter. Raises UserError for an unknown name."""
    from corpusmill.dataproc.rules.describe import describe

    console = inspect_console()
    plain = not sys.stdout.isatty()
    for number, section in enumerate(describe(name)):
        if number:
            console.print()
        _print(console, section, plain)


def _print(console: Console, section: "Section", plain: bool) -> None:
    for place, line in enumerate(section.lines):
        console.print(Text(line, style="" if place else "bold"), soft_wrap=plain)
    if not section.rows:
        return
    if plain:
        widths = [max(map(len, column)) for column in zip(section.columns, *section.rows, strict=True)]
        for row in (section.columns, *section.rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            print("  ".join(cells).rstrip())
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in section.columns:
        table.add_column(column, overflow="fold")
    for row in section.rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
