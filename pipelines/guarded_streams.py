"""The one way to a terminal: whatever a command prints, controls in it are spelled out (`pipelines.visible`).

File names, columns, keys and ids come from others and reach many lines. So it is the streams that are guarded, not the
lines: `guard_streams` puts itself before stdout and stderr, for lines, errors and tracebacks; `Console` is rich's, and
spells out what it is given before its own colours and movements are added. On a terminal, colours that come as plain
text pass, too: help and usage errors are typer's, which colours by itself.
"""

import os
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.segment import Segment
from rich.text import Text

from corpusmill.pipelines.visible import visible

_COLOUR = re.compile("(\x1b\\[[0-9;]*m)")


class GuardedStream:
    """A text stream that spells out controls; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colours = stream.isatty() or bool(os.environ.get("FORCE_COLOR"))

    def write(self, text: str) -> int:
        if not self._colours:
            self._stream.write(visible(text))
        else:
            self._stream.write("".join(map(_except_colour, _COLOUR.split(text))))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _except_colour(text: str) -> str:
    return text if _COLOUR.fullmatch(text) else visible(text)


def guard_streams() -> None:
    """Puts a guard before stdout and stderr, once."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, GuardedStream):
            setattr(sys, name, GuardedStream(stream))


class Console(RichConsole):
    """rich's console, in which controls are spelled out in all that is printed; it writes past the guard."""

    @property
    def file(self) -> Any:
        stream = RichConsole.file.fget(self)  # type: ignore[attr-defined]
        return stream._stream if isinstance(stream, GuardedStream) else stream

    @file.setter
    def file(self, stream: Any) -> None:
        RichConsole.file.fset(self, stream)  # type: ignore[attr-defined]

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
