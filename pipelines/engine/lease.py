"""A folder's lease: which driver its workers may write for.

Ray's workers outlive a driver that is killed, by seconds and sometimes by many, and go on committing. What they write
is what the next attempt would write, but not where: a trainer would put back a checkpoint that its successor has
removed, and a marker could land in a folder that `--overwrite` has just emptied. So each driver writes a token of its
own into the folder, each call carries it, and a worker whose token is gone writes nothing: it looks before
and after every commit, and once a second while it computes, so that it does not hold the machine for nothing.

An object store has no lock, so there a second driver takes the folder over, and the first one ends with a line.

Cost: two small reads a commit and one a second; on an object store one every `REMOTE_SECONDS`, since there a request
takes longer than most commits. So a worker there may write for so long after its driver has lost the lease; a driver
that takes over from one that was at work lets that time pass first.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import Unreachable, UserError
from corpusmill.pipelines.engine.state import STATE

LEASE = "driver.lease"
POLL_SECONDS = 1.0
REMOTE_SECONDS = 5.0
_seen: dict[tuple[str, str], float] = {}
"""When the leases of remote folders were last read, and whose they were."""
GONE_EXIT_CODE = 70


def take_lease(folder: str) -> str:
    """Makes this driver the one that workers may write for; returns its token."""
    token, path = secrets.token_hex(8), storage.join(folder, STATE, LEASE)
    remote = storage.is_url(folder) and not folder.startswith("memory://")
    had_driver = remote and storage.read_if_there(path) is not None
    storage.commit_bytes(path, token.encode(), durable=False)
    if had_driver:
        time.sleep(REMOTE_SECONDS)  # until workers of the driver before have noticed
    return token


def holds_lease(folder: str, token: str) -> bool:
    """Whether the driver with this token is still the folder's."""
    remote = storage.is_url(folder) and not folder.startswith("memory://")
    if remote and time.monotonic() - _seen.get((folder, token), -REMOTE_SECONDS) < REMOTE_SECONDS:
        return True
    try:
        data = storage.read_bytes(storage.join(folder, STATE, LEASE))
    except Unreachable:
        raise
    except UserError:  # the whole folder was removed
        return False
    if data.decode() != token:
        return False
    if remote:
        _seen[folder, token] = time.monotonic()
    return True


def require_lease(folder: str, token: str) -> None:
    """Raises UserError when another driver has taken the folder over."""
    if not holds_lease(folder, token):
        raise UserError("another driver has taken over this output", where=folder, hint="let that one finish")


@contextmanager
def ends_with_lease(folder: str, token: str) -> Iterator[None]:
    """Ends this process when the lease is lost inside the block: nobody is waiting for its result.

    For workers of an engine that does not end them with their driver; never for the driver itself.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            with suppress(OSError, Unreachable):  # a storage that does not answer is no verdict
                if not holds_lease(folder, token):
                    os._exit(GONE_EXIT_CODE)

    watcher = threading.Thread(target=watch, name="lease", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
