"""Progress by bytes: rich bars on a terminal, a plain line every ten seconds elsewhere, all on stderr."""

import sys
import time
from typing import Protocol

from corpusmill.dataproc.urls import mask_text
from corpusmill.pipelines.visible import one_line

PLAIN_SECONDS = 10.0


class Progress(Protocol):
    """Shows one phase at a time."""

    def start(self, label: str, total_bytes: int, tasks: int, done_bytes: int) -> None: ...
    def advance(self, *, count: int, documents: int) -> None: ...
    def tick(self, note: str = "") -> None: ...
    def stop(self) -> None: ...
    def say(self, line: str) -> None: ...


class _Rate:
    """Documents/s, MB/s and time left of a phase, from what was done since it started."""

    def __init__(self, total_bytes: int, done_bytes: int) -> None:
        self.started = time.monotonic()
        self.total, self.before, self.done, self.documents = total_bytes, done_bytes, done_bytes, 0

    def line(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-6)
        speed = (self.done - self.before) / seconds
        parts = [f"{self.done / 1e6:,.1f} of {self.total / 1e6:,.1f} MB"]
        if self.documents:
            parts.append(f"{self.documents / seconds:,.0f} documents/s")
        if speed > 0:
            parts += [f"{speed / 1e6:,.1f} MB/s", f"{clock((self.total - self.done) / speed)} left"]
        return ", ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    whole = int(seconds + 0.5)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class PlainProgress:
    """Lines for logs."""

    def __init__(self) -> None:
        self._rate: _Rate | None = None
        self._label = ""
        self._next = 0.0

    def start(self, label: str, total_bytes: int, tasks: int, done_bytes: int) -> None:
        self._rate, self._label = _Rate(total_bytes, done_bytes), label
        self._next = time.monotonic() + PLAIN_SECONDS

    def advance(self, *, count: int, documents: int) -> None:
        if self._rate:
            self._rate.done += count
            self._rate.documents += documents

    def tick(self, note: str = "") -> None:
        if self._rate and time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_SECONDS
            self.say(f"{self._label}: {note or self._rate.line()}")

    def stop(self) -> None:
        self._rate = None

    def say(self, line: str) -> None:
        print(one_line(mask_text(line)), file=sys.stderr, flush=True)  # noqa: T201


class RichProgress:
    """A live bar."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        from corpusmill.pipelines.terminal import Console

        self._console = Console(stderr=True)
        self._columns = (
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()
        )  # fmt: skip
        self._make = Progress
        self._bar: Progress | None = None
        self._rate: _Rate | None = None

    def start(self, label: str, total_bytes: int, tasks: int, done_bytes: int) -> None:
        self.stop()
        self._rate = _Rate(total_bytes, done_bytes)
        self._bar = self._make(*self._columns, console=self._console, transient=True)
        self._bar.start()
        self._task = self._bar.add_task(label, total=max(total_bytes, 1), completed=done_bytes, note="")

    def advance(self, *, count: int, documents: int) -> None:
        if self._bar and self._rate:
            self._rate.done += count
            self._rate.documents += documents
            self._bar.update(self._task, advance=count, note=self._rate.line())

    def tick(self, note: str = "") -> None:
        if self._bar and note:
            self._bar.update(self._task, note=note)

    def stop(self) -> None:
        if self._bar:
            self._bar.stop()
        self._bar = self._rate = None

    def say(self, line: str) -> None:
        self._console.print(one_line(mask_text(line)), highlight=False, markup=False)


def make_progress() -> Progress:
    """Bars where stderr is a terminal, else lines."""
    return RichProgress() if sys.stderr.isatty() else PlainProgress()
