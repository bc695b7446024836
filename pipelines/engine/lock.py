"""One driver at a time for an output folder: a lock that the kernel drops when its holder dies, however it dies.

Local and network file systems only: an object store has no such lock, and two drivers there would do the work twice
(to the same bytes, since every commit is whole and deterministic).
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state


class Locked(UserError):
    """Somebody else works in a folder."""


class FolderLock:
    """Context manager. Raises UserError when another driver holds the folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def __enter__(self) -> "FolderLock":
        if storage.is_url(self._folder):
            return self
        path = Path(self._folder, state.STATE, "driver.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 100).decode(errors="replace").strip()
            os.close(descriptor)
            raise Locked(
                f"another driver is at work here ({holder or 'unknown process'})",
                where=self._folder,
                hint="wait for it or end it",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {os.uname().nodename}".encode())
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
