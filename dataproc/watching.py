"""The document that this process is on, published for whoever watches it from outside.

A parser written in C or Rust cannot be interrupted from within: it holds the interpreter, and no signal handler of
Python's runs before it returns. So code that hands a document to such a library says so (`document`), an engine that
wants to know sets a `Watch`, and another process reads what that publishes and ends this one when it takes too long.
The attempt that follows knows the documents on which earlier ones had to be ended, and `document` refuses them.

Without a watch nothing is published, and marking a document costs a microsecond.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class TooSlow(Exception):
    """An earlier attempt at this document took too long; says how long it may take."""


class Watch(Protocol):
    """Publishes what is worked on."""

    def ready(self) -> None:
        """What the work needs is loaded: the first document has no more time than others."""

    def begin(self, name: str, documents: int) -> None:
        """Work begins on a document, or on a batch of so many that begins with it."""

    def end(self) -> None:
        """It is done, or given up."""

    def refusal(self, name: str) -> str | None:
        """Why this document is not to be tried again; None for any other."""


_watch: Watch | None = None


@contextmanager
def watched_by(watch: Watch | None) -> Iterator[None]:
    """Publishes to this watch inside the block."""
    global _watch
    before, _watch = _watch, watch
    try:
        yield
    finally:
        _watch = before


def ready() -> None:
    """Says that libraries and tables are loaded, so that the first document need not be given time for it."""
    if _watch is not None:
        _watch.ready()


@contextmanager
def document(name: str, documents: int = 1) -> Iterator[None]:
    """Marks the block as work on a document, or on a batch of so many that begins with it.

    Raises TooSlow for a document on which an earlier attempt took too long.
    """
    watch = _watch
    if watch is None:
        yield
        return
    if documents == 1 and (reason := watch.refusal(name)):
        raise TooSlow(reason)
    watch.begin(name, documents)
    try:
        yield
    finally:
        watch.end()
