"""SIGTERM, by which a scheduler takes a machine back: it ends a process like Ctrl-C, and lets long work be saved first.

Elsewhere the end is an exception at once (`KeyboardInterrupt`, with the exit code of Ctrl-C). Work that can save where
it is (training) runs in `stopping_gently`, asks `is_stopping` at its next good place, saves, and calls `stop`. It has
`grace_seconds` for that, after which, or at a second signal, the exception comes all the same.

Signals are the main thread's; a process that installs nothing dies by SIGTERM as ever.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

VARIABLE = "CORPUSMILL_GRACE_SECONDS"
USUAL_SECONDS = 30.0
EXIT_CODE = 143
"""What a shell says of a process that SIGTERM ended."""

_gentle, _stopping = threading.Event(), threading.Event()


def set_grace(seconds: float) -> None:
    """Sets the time for saving, for this process and those that it starts."""
    os.environ[VARIABLE] = str(seconds)


def grace_seconds() -> float:
    """How long after SIGTERM work may still save where it is."""
    try:
        return max(0.0, float(os.environ.get(VARIABLE, USUAL_SECONDS)))
    except ValueError:
        return USUAL_SECONDS


def catch_sigterm() -> None:
    """Has SIGTERM end this process by `KeyboardInterrupt`, gently where that was asked for."""
    signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    if not _gentle.is_set() or _stopping.is_set() or not grace_seconds():
        raise KeyboardInterrupt
    _stopping.set()
    begin_grace()


def begin_grace() -> None:
    """From now on there are `grace_seconds`, after which KeyboardInterrupt is raised. In the main thread."""
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_REAL, max(grace_seconds(), 0.001))


def end_grace() -> None:
    """What had to be saved is saved."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _on_alarm(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def stopping_gently() -> Iterator[None]:
    """Has SIGTERM wait for `is_stopping` to be asked, while the block runs."""
    _gentle.set()
    try:
        yield
    finally:
        _gentle.clear()
        if _stopping.is_set():
            end_grace()


def is_stopping() -> bool:
    """Whether SIGTERM came while it was to be gentle."""
    return _stopping.is_set()


def stop() -> None:
    """Ends what was saved: raises KeyboardInterrupt."""
    raise KeyboardInterrupt
