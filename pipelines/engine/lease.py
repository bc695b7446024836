"""A folder's lease: which driver its workers may write for.

Ray's workers outlive a driver that is killed, by seconds and sometimes by many, and go on committing. What they write
is what the next attempt would write, but not where: a trainer would put back a checkpoint that its successor has
removed, and a marker could land in a folder that `--overwrite` has just emptied. So each driver writes a token of its
own into the folder, each call carries it, and a worker whose token is gone writes nothing: it looks before
and after every commit, and once a second while it computes, so that it does not hold the machine for nothing.

An object store has no lock, so there a second driver takes the folder over, and the first one ends with a line.

Cost: one small read a commit and one a second.
"""

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.state import STATE

LEASE = "driver.lease"
POLL_SECONDS = 1.0
GONE_EXIT_CODE = 70


def take_lease(folder: str) -> str:
    """Makes this driver the one that workers may write for; returns its token."""
    token = secrets.token_hex(8)
    storage.commit_bytes(storage.join(folder, STATE, LEASE), token.encode(), durable=False)
    return token


def holds_lease(folder: str, token: str) -> bool:
    """Whether the driver with this token is still the folder's."""
    try:
        return storage.read_bytes(storage.join(folder, STATE, LEASE)).decode() == token
    except UserError:  # the whole folder was removed
        return False


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
            with suppress(OSError):  # a storage that does not answer is no verdict
                if not holds_lease(folder, token):
                    os._exit(GONE_EXIT_CODE)

    watcher = threading.Thread(target=watch, name="lease", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
