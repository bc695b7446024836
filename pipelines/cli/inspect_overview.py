"""`corpusmill inspect PATH`: what is there."""

from typing import Annotated

import typer
from rich.text import Text

from corpusmill.pipelines.inspect.overview import Lines, overview, overview_values
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.summary import print_json
from corpusmill.pipelines.terminal import Column, output_console, pairs, print_lines, table, wrapped
from corpusmill.pipelines.visible import one_line

CELL = 160


def overview_command(
    paths: Annotated[list[str], typer.Argument(help="runs, stages' folders, parts or shards", metavar="PATH...")],
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, an object a line if there are several")] = False,
) -> None:
    if as_json:
        values = [overview_values(recognise(path)) for path in paths]
        for value in values:
            print_json(value, indent=1 if len(values) == 1 else None)
        return
    console = output_console()
    for path in paths:
        place = recognise(path)
        for number, (title, rows) in enumerate(overview(place)):
            heading = f"{place.path}: {title}" if number == 0 else title
            print_lines(console, wrapped(Text(one_line(heading), style="bold"), console.width))
            print_lines(console, section_lines(rows, console.width))


def section_lines(rows: Lines, width: int) -> list[Text]:
    """The rows of a section: names and values, or a table where rows have more cells; a command is never broken."""
    if not rows:
        return []
    if max(map(len, rows)) == 1:
        return [Text(f"  {one_line(row[0])}") for row in rows]
    cells = [tuple(one_line(cell, CELL) for cell in (f"  {row[0]}", *row[1:])) for row in rows]
    if max(map(len, cells)) <= 2:
        return pairs([(row[0], row[1] if len(row) > 1 else "") for row in cells], width)
    return table([Column("")] * max(map(len, cells)), cells, width)
