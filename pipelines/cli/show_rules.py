"""Prints what `dataproc.rules.describe` says: in lines and tables."""

from typing import TYPE_CHECKING

from corpusmill.pipelines.guarded_streams import Console
from corpusmill.pipelines.terminal import Column, output_console, print_lines, print_sentence, table

if TYPE_CHECKING:
    from corpusmill.dataproc.rules.describe import Section


def show_rules(name: str) -> None:
    """Prints all about a preset, a rule, a statistic or a rewriter. Raises UserError for an unknown name."""
    from corpusmill.dataproc.rules.describe import describe

    console = output_console()
    for number, section in enumerate(describe(name)):
        if number:
            console.print()
        _print(console, section)


def _print(console: Console, section: "Section") -> None:
    for place, line in enumerate(section.lines):
        print_sentence(console, line, style="" if place else "bold")
    if section.rows:
        print_lines(console, table([*map(Column, section.columns)], section.rows, console.width))
