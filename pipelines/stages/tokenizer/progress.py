"""How far learning is, in a small file that the worker writes and the driver reads: one task may take minutes.

The first merges take the longest, since the commonest pairs are in the most words: a pair's count falls about as one
over its rank, so the work grows with the logarithm of the merges, and the time left follows from that. Where the
folder is not local nothing is written. The reader is the stage's (`pipelines/stages/tokenizer/plan.py`).
"""

import json
import time
from collections.abc import Callable
from math import log

from corpusmill.dataproc import storage
from corpusmill.tokenizer.learning.bpe import Progress

EVERY_SECONDS = 1.0


class ProgressFile:
    """Writes what training reports, about every second; what `train_merges` takes as `progress`."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._at, self._merges = clock(), 0
        self._first = True

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        if self._first:  # a checkpoint's merges took none of this run's time
            self._first, self._at, self._merges = False, now, progress.merges
        elif now - self._at >= EVERY_SECONDS:
            left = seconds_left(self._merges, progress.merges, progress.asked, now - self._at)
            self._at, self._merges = now, progress.merges
            self._write(progress, left)

    def _write(self, progress: Progress, left: float | None) -> None:
        if not storage.is_url(self._path):
            values = {"merges": progress.merges, "asked": progress.asked, "count": progress.count, "seconds_left": left}
            storage.commit_bytes(self._path, json.dumps(values).encode(), durable=False)


def seconds_left(before: int, now: int, asked: int, seconds: float) -> float | None:
    """Time for the rest of the merges, when going from `before` to `now` took so long; None where that says nothing."""
    if now <= before:
        return None
    return round(seconds * log((asked + 1) / (now + 1)) / log((now + 1) / (before + 1)), 1)
