"""Tables that are whole at any width of the terminal: no line is wider than it, and no number is ever cut or folded.

rich's own tables shorten or fold whatever does not fit, in the middle of a number as soon as of a word. Here a table
that is too wide first wraps its columns of words, at spaces; if that is not enough, each row becomes a block, a line a
cell, under its first cell. Two columns, of names and values, go to separate lines only where a pair does not fit. No
frames are drawn, so that lines can be copied, searched and cut into fields.

In a pipe there is no width: lines are as long as they are, unless `COLUMNS` says otherwise.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from corpusmill.pipelines.guarded_streams import Console

PIPE_COLUMNS = 1 << 16
GAP = 2
FEWEST_COLUMNS = 20
_NUMERIC = frozenset("0123456789.,:%")
_AFTER = frozenset("/_-=,;")
"""Characters after which a word that is longer than a line is broken, if it has any."""


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand to the right, and are never wrapped."""

    name: str
    right: bool = False


_NAMED = (Column(""), Column(""))


def output_console() -> "Console":
    """The console of stdout."""
    from corpusmill.pipelines.guarded_streams import Console

    columns = os.environ.get("COLUMNS", "")
    width = None if sys.stdout.isatty() else int(columns) if columns.isdecimal() and int(columns) else PIPE_COLUMNS
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_lines(console: "Console", lines: Iterable["Text"]) -> None:
    """Prints lines that fit already."""
    for line in lines:
        console.print(line, soft_wrap=True)


def print_sentence(console: "Console", text: str, style: str = "") -> None:
    """Prints a line of words, wrapped at spaces."""
    print_lines(console, wrapped(_text(text, style), console.width))


def table(columns: Sequence[Column], rows: Sequence[Sequence["str | Text"]], width: int) -> list["Text"]:
    """The lines of a table, under the columns' names if they have any; a row may have fewer cells than columns."""
    from rich.text import Text

    cells = [[_text(cell) for cell in row] + [Text()] * (len(columns) - len(row)) for row in rows]
    names = [Text(column.name, style="dim") for column in columns]
    widths = [max(cell.cell_len for cell in column) for column in zip(names, *cells, strict=True)]
    least = [
        natural if column.right else max(map(_longest_word, words))
        for column, natural, words in zip(columns, widths, zip(names, *cells, strict=True), strict=True)
    ]
    room = width - GAP * (len(columns) - 1)
    if sum(least) > room:
        return _blocks(columns, cells, width)
    while sum(widths) > room:
        widest = max(
            (number for number in range(len(columns)) if widths[number] > least[number]), key=widths.__getitem__
        )
        widths[widest] -= 1
    shown = (names, *cells) if any(column.name for column in columns) else cells
    return [line for row in shown for line in _row(columns, row, widths)]


def pairs(rows: Sequence[tuple["str | Text", "str | Text"]], width: int, *, right: bool = False) -> list["Text"]:
    """Lines of names and values; `right` puts the values to the right, for numbers that are to be compared.

    An empty value makes a name a heading, which may be longer than the others. Spaces before a name indent it.
    """
    texts = [(_text(name), _text(value)) for name, value in rows]
    names = max((name.cell_len for name, value in texts if value.plain), default=0)
    values = max((value.cell_len for _, value in texts), default=0)
    end = min(names + GAP + values, width)
    lines: list[Text] = []
    for name, value in texts:
        if not value.plain:
            lines += _indented(name, width)
        elif right and name.cell_len + GAP + value.cell_len <= end:
            lines.append(name + " " * (end - name.cell_len - value.cell_len) + value)
        elif not right and names + GAP + _longest_word(value) <= width:
            lines += _row(_NAMED, (name, value), (names, width - names - GAP))
        else:
            lines += _indented(name, width)
            lines += _beneath(value, _indent_of(name) + GAP, end, right)
    return lines


def wrapped(text: "Text", width: int) -> list["Text"]:
    """The text in lines of at most `width` cells, broken at spaces; a longer word is broken, but no number in it."""
    lines, start, plain = [], 0, text.plain
    while _cells(plain[start:]) > width:
        end = _line_end(plain, start, width)
        line = text[start:end]
        line.rstrip()
        lines.append(line)
        start = end
        while start < len(plain) and plain[start] == " ":
            start += 1
    if start < len(plain) or not lines:
        lines.append(text[start:])
    return lines


def _line_end(plain: str, start: int, width: int) -> int:
    """Where the line that begins at `start` ends."""
    from rich.cells import get_character_cell_size

    end, used = start, 0
    while end < len(plain) and (used := used + get_character_cell_size(plain[end])) <= width:
        end += 1
    if plain[end] == " ":
        return end
    space = plain.rfind(" ", start, end)
    if plain[start : max(space, start)].strip():
        return space
    whole = [at for at in range(start + 1, end + 1) if not {plain[at - 1], plain[at]} <= _NUMERIC]
    after = [at for at in whole if plain[at - 1] in _AFTER]
    return max(after or whole or [max(end, start + 1)])


def _row(columns: Sequence[Column], cells: Sequence["Text"], widths: Sequence[int]) -> list["Text"]:
    """A row over as many lines as its highest cell has."""
    from rich.text import Text

    wraps = [wrapped(cell, size) for cell, size in zip(cells, widths, strict=True)]
    lines = []
    for number in range(max(map(len, wraps))):
        line = Text()
        for column, lines_of, size in zip(columns, wraps, widths, strict=True):
            cell = lines_of[number] if number < len(lines_of) else Text()
            space = " " * (size - cell.cell_len)
            line = line + space + cell if column.right else line + cell + space
            line = line + " " * GAP
        line.rstrip()
        lines.append(line)
    return lines


def _blocks(columns: Sequence[Column], rows: Sequence[Sequence["Text"]], width: int) -> list["Text"]:
    """Rows one below the other, each a cell a line."""
    lines: list[Text] = []
    for first, *rest in rows:
        lines += wrapped(first, width)
        named = [(f"  {column.name}", cell) for column, cell in zip(columns[1:], rest, strict=True) if cell.plain]
        lines += pairs(named, width)
    return lines


def _beneath(value: "Text", indent: int, end: int, right: bool) -> list["Text"]:
    """A value on lines of its own, below its name."""
    from rich.text import Text

    lines = wrapped(value, max(end - indent, FEWEST_COLUMNS))
    return [Text(" " * (max(end - line.cell_len, 0) if right else indent)) + line for line in lines]


def _indented(name: "Text", width: int) -> list["Text"]:
    """A name that may be longer than the line; what is wrapped has the same indentation."""
    from rich.text import Text

    indent = _indent_of(name)
    return [Text(" " * indent) + line for line in wrapped(name[indent:], max(width - indent, FEWEST_COLUMNS))]


def _indent_of(text: "Text") -> int:
    return len(text.plain) - len(text.plain.lstrip(" "))


def _longest_word(text: "Text") -> int:
    return max(map(_cells, text.plain.split(" ")), default=0)


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _text(cell: "str | Text", style: str = "") -> "Text":
    from rich.text import Text

    return Text(cell, style=style) if isinstance(cell, str) else cell
