"""Values made ahead of use by one background thread.

The thread refers neither to its consumer nor to this object, so both may simply be dropped: a finaliser tells the
thread to end, which it does after the value that it is making. An error in making a value is raised where that value
would have been handed out. Waiting for a disk and decoding release the GIL, so values are made while the consumer
computes.

Memory: `depth` values, one being made, and the one in use.
"""

import threading
import weakref
from collections.abc import Callable
from queue import Empty, Queue
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Prefetcher(Generic[Value]):
    """Gives make(start), make(start + stride), … in order; None ends it.

    Args:
        make: called in the background thread only.
        start, stride: its arguments.
        depth: values that may wait, at least 1.
    """

    def __init__(self, make: Callable[[int], Value | None], start: int, stride: int, depth: int) -> None:
        self._made: Queue[Any] = Queue(depth)
        stop = threading.Event()
        self._thread = threading.Thread(
            target=_fill, args=(make, start, stride, self._made, stop), name="prefetch", daemon=True
        )
        self._end = weakref.finalize(self, _release, self._made, stop)
        self._thread.start()

    def next(self) -> Value | None:
        """Waits for the next value; None after the last. Raises what making it raised. Then call no more."""
        value = self._made.get()
        if isinstance(value, _Raised):
            raise value.error
        return value

    def close(self) -> None:
        """Ends the thread and waits for it."""
        self._end()
        self._thread.join()

    def abandon(self) -> None:
        """Lets go of everything without touching it: for a process that was forked, where the thread is not, and a
        lock of the queue may have stayed as it was in the middle of a use."""
        self._end.detach()


class _Raised:
    """An error on its way to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _fill(make: Callable[[int], Any], position: int, stride: int, made: Queue, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            value = make(position)
        except BaseException as error:
            value = _Raised(error)
        made.put(value)
        if value is None or isinstance(value, _Raised):
            return
        position += stride


def _release(made: Queue, stop: threading.Event) -> None:
    """Tells the thread to end; emptying the queue frees it if it waits there."""
    stop.set()
    while True:
        try:
            made.get_nowait()
        except Empty:
            return
