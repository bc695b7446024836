"""Trying a request again: only after faults that pass, a bounded number of times, with pauses that grow and are drawn.

The pauses are drawn (full jitter), so that a thousand workers that a store slowed down at once do not come back at
once. Requests and repeated ones are counted for the process; an engine asks for them when a task ends. A client that
tries again itself (botocore does, within one of ours) is counted where it lets us: `clients.py`.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from corpusmill.dataproc.errors import Unreachable, UserError
from corpusmill.dataproc.stores.faults import (
    EXPIRED,
    NO_BUCKET,
    NO_CREDENTIALS,
    NO_RIGHT,
    OTHER,
    TRANSIENT,
    kind_of_fault,
)
from corpusmill.dataproc.urls import mask_text

ATTEMPTS = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
REASON_CHARACTERS = 300
AGAIN = "again"
"""The count of requests that were made again."""

_random = random.SystemRandom()
_lock = threading.Lock()
_counts: Counter[str] = Counter()
Answer = TypeVar("Answer")


def count(kind: str, number: int = 1) -> None:
    """Counts requests of this process."""
    with _lock:
        _counts[kind] += number


def counted() -> Counter[str]:
    """The counts so far."""
    with _lock:
        return Counter(_counts)


def attempt(url: str, request: Callable[[], Answer], renew: Callable[[], None] | None = None) -> Answer:
    """What `request` gives, which is asked again after a fault that passes.

    Args:
        url: what it is about, for messages.
        request: can be called any number of times.
        renew: makes the client look for its credentials anew.

    Raises:
        Unreachable: it failed `ATTEMPTS` times.
        UserError: no bucket, no right, no credentials.
        FileNotFoundError, and any other error that the store is not to blame for, unchanged.
    """
    for number in range(1, ATTEMPTS + 1):
        try:
            return request()
        except Exception as error:
            passing = as_passing(url, error)
            if number == ATTEMPTS:
                raise passing from error
            if kind_of_fault(error) == EXPIRED and renew is not None:
                renew()
        count(AGAIN)
        time.sleep(_random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)))
    raise AssertionError("the last attempt returns or raises")


def as_passing(url: str, error: Exception) -> Unreachable:
    """The error of a fault that passes, as a line; any other is raised: as a line that says whose it is to mend, or as
    it is."""
    if isinstance(error, Unreachable):
        return error
    if isinstance(error, UserError | MemoryError):
        raise error
    kind = kind_of_fault(error)
    if kind == NO_BUCKET:
        where = "/".join(url.split("/")[:3])
        raise UserError("no such bucket", where=where, hint="check its name, or create it first") from error
    if kind == NO_RIGHT:
        raise UserError("the store denies access", where=url, hint="check the credentials' rights") from error
    if kind == NO_CREDENTIALS:
        hint = "set them in the environment or the client's configuration file"
        raise UserError("no credentials found for this store", where=url, hint=hint) from error
    if kind == OTHER and isinstance(error, OSError) and (error.errno is not None or _is_of_files(error)):
        raise error
    said = " ".join(mask_text(str(error)).split())[:REASON_CHARACTERS] or type(error).__name__
    if kind == EXPIRED:
        return Unreachable("the credentials have expired", where=url, hint="renew them, then run again to resume")
    if kind == TRANSIENT or isinstance(error, OSError):
        hint = "check the URL, the credentials and the network"
        return Unreachable(f"the store cannot be reached ({said})", where=url, hint=hint)
    hint = "check the URL and the credentials"
    raise UserError(
        f"the store's client refused the request ({type(error).__name__}: {said})", where=url, hint=hint
    ) from error


def _is_of_files(error: OSError) -> bool:
    return isinstance(error, FileNotFoundError | FileExistsError | NotADirectoryError | IsADirectoryError)
