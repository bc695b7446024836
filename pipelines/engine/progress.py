"""Progress by bytes: a live line on a terminal, a plain line (or JSON) every ten seconds elsewhere, all on stderr.

How far a phase is follows from the tasks that ended and from what those at work report, so that there is a rate and a
time left before the first of them ends. It is asked for from a thread: with one worker, the driver itself is at work.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from corpusmill.pipelines.engine.messages import in_json, tell

PLAIN_SECONDS = 10.0
REFRESHES_PER_SECOND = 4
BAR_CELLS = (4, 30)
"""The fewest and the most cells of a bar."""


@dataclass(frozen=True)
class Advance:
    """How far the tasks at work are.

    Attributes:
        bytes: of their input that is done.
        expected: bytes a second that may be expected, as long as nothing is done.
        words: what else to say, the most important first; in place of amount, rate and time left.
    """

    bytes: float = 0.0
    expected: float = 0.0
    words: tuple[str, ...] = ()


class Progress(Protocol):
    """Shows one phase at a time."""

    def start(
        self, stage: str, phase: str, total_bytes: int, done_bytes: int, at_work: Callable[[], Advance] = Advance
    ) -> None: ...
    def advance(self, *, count: int, documents: int) -> None: ...
    def stop(self) -> None: ...
    def say(self, line: str) -> None: ...


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    whole = int(seconds + 0.5)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class Phase:
    """How far a phase is: bytes, documents, rate and time left, from what was done since it started."""

    def __init__(
        self, stage: str, phase: str, total_bytes: int, done_bytes: int, at_work: Callable[[], Advance] = Advance
    ) -> None:
        self.stage, self.phase, self.total = stage, phase, total_bytes
        self.before, self.ended, self.documents = done_bytes, float(done_bytes), 0
        self.at_work = at_work
        self.started = time.monotonic()

    def measure(self) -> dict[str, Any]:
        """The state now, by the names of a JSON line; None for what cannot be known yet."""
        seconds = max(time.monotonic() - self.started, 1e-6)
        advance = self.at_work()
        done = min(self.ended + advance.bytes, max(self.total, self.ended))
        enough = min(self.total * LEAST_SHARE, LEAST_BYTES)
        rate = (done - self.before) / seconds if done - self.before >= enough else 0.0
        guess = rate if rate > 0 else advance.expected
        return {
            "stage": self.stage,
            "phase": self.phase,
            "seconds": round(seconds, 1),
            "bytes_done": int(done),
            "bytes_total": self.total,
            "bytes_per_second": int(rate) if rate > 0 else None,
            "seconds_left": round((self.total - done) / guess, 1) if guess > 0 else None,
            "documents": self.documents,
            "words": advance.words,
        }


LEAST_SHARE, LEAST_BYTES = 1e-3, 1e6
"""So much of a phase has to be done before it has a rate: a few bytes would give any number of hours."""

LEAST_SECONDS = 1e-3
"""A phase has to be this old to have a rate: over less, one document would be any number of documents a second."""


def parts_of(state: dict[str, Any]) -> list[str]:
    """What a state says, the most important first; each part is shown whole or not at all."""
    if state["words"]:
        return list(state["words"])
    if not state["bytes_total"]:
        return []
    done = f"{state['bytes_done'] / 1e6:,.1f} of {state['bytes_total'] / 1e6:,.1f} MB"
    if state["bytes_per_second"] is None:
        guess = state["seconds_left"]
        return ["starting", *([f"about {clock(guess)} left"] if guess is not None else []), done]
    parts = [f"{clock(state['seconds_left'])} left", f"{_rate(state['bytes_per_second'])}", done]
    documents = state["documents"] / state["seconds"] if state["seconds"] >= LEAST_SECONDS else 0
    return [*parts, f"{documents:,.0f} documents/s"] if documents >= 1 else parts


def bar_line(state: dict[str, Any], width: int) -> str:
    """A state on one line of at most `width` cells: what it is about, elapsed time, share and bar always, then as much
    of the rest as fits."""
    total = state["bytes_total"]
    share = min(state["bytes_done"] / total, 1.0) if total else None
    left = f"{state['stage']}: {state['phase']}  {clock(state['seconds'])}" + (f"  {share:4.0%}" if total else "")
    fewest, most = BAR_CELLS if total else (0, 0)
    right: list[str] = []
    for part in parts_of(state):
        if len(left) + 2 + fewest + 2 + len(", ".join([*right, part])) > width:
            break
        right.append(part)
    said = f"  {', '.join(right)}" if right else ""
    room = min(width - len(left) - 2 - len(said), most)
    if share is None or room < fewest:
        return f"{left}{said}" if len(left) + len(said) <= width else clock(state["seconds"])[:width]
    full = round(share * room)
    return f"{left}  {'━' * full}{'─' * (room - full)}{said}"


def _rate(bytes_per_second: float) -> str:
    return f"{bytes_per_second / 1e6:,.1f} MB/s" if bytes_per_second >= 1e5 else f"{bytes_per_second / 1e3:,.1f} kB/s"


class SilentProgress:
    """Nothing."""

    def start(
        self, stage: str, phase: str, total_bytes: int, done_bytes: int, at_work: Callable[[], Advance] = Advance
    ) -> None: ...
    def advance(self, *, count: int, documents: int) -> None: ...
    def stop(self) -> None: ...
    def say(self, line: str) -> None: ...


class PlainProgress:
    """Lines for logs."""

    def __init__(self) -> None:
        self._phase: Phase | None = None
        self._ended = threading.Event()

    def start(
        self, stage: str, phase: str, total_bytes: int, done_bytes: int, at_work: Callable[[], Advance] = Advance
    ) -> None:
        self.stop()
        self._phase, self._ended = Phase(stage, phase, total_bytes, done_bytes, at_work), threading.Event()
        threading.Thread(target=_tell_now_and_then, args=(self._phase, self._ended), daemon=True).start()

    def advance(self, *, count: int, documents: int) -> None:
        if self._phase:
            self._phase.ended += count
            self._phase.documents += documents

    def stop(self) -> None:
        self._ended.set()
        self._phase = None

    def say(self, line: str) -> None:
        tell(line)


def _tell_now_and_then(phase: Phase, ended: threading.Event) -> None:
    while not ended.wait(PLAIN_SECONDS):
        state = phase.measure()
        fields = state | {"words": list(state["words"])}
        tell(f"{phase.stage}: {phase.phase}: {', '.join(parts_of(state))}", event="progress", **fields)


class TerminalProgress:
    """A live line."""

    def __init__(self) -> None:
        from corpusmill.pipelines.guarded_streams import Console

        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._live: Any = None
        self._phase: Phase | None = None

    def start(
        self, stage: str, phase: str, total_bytes: int, done_bytes: int, at_work: Callable[[], Advance] = Advance
    ) -> None:
        from rich.live import Live

        self.stop()
        self._phase = Phase(stage, phase, total_bytes, done_bytes, at_work)
        shown = _Shown(self._phase)
        self._live = Live(
            shown, console=self._console, transient=True, refresh_per_second=REFRESHES_PER_SECOND, redirect_stdout=False
        )
        self._live.start()

    def advance(self, *, count: int, documents: int) -> None:
        if self._phase:
            self._phase.ended += count
            self._phase.documents += documents

    def stop(self) -> None:
        if self._live:
            self._live.stop()
        self._live = self._phase = None

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


@dataclass(frozen=True)
class _Shown:
    """A phase as the live display asks for it: measured anew each time."""

    phase: Phase

    def __rich_console__(self, console: Any, options: Any) -> Sequence[Any]:
        from rich.text import Text

        return [Text(bar_line(self.phase.measure(), options.max_width - 1), no_wrap=True, overflow="crop")]


def make_progress() -> Progress:
    """A live line where stderr is a terminal that can be written over, else plain ones."""
    return TerminalProgress() if sys.stderr.isatty() and not in_json() else PlainProgress()
