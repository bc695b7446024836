"""Remote shards through a bounded local folder: fetched once, checked, and removed when others need the space.

A shard is kept under the name of its digest (xxh3-128, from the manifest), so two sets may share a folder and equal
shards are stored once. It is fetched under a temporary name and gets its own only once its digest is right; a second
wrong digest is an error for the user to fix. Files are used through memory maps, which outlive their names, so a
file may be removed while others read it.

Any number of processes may share the folder: a shard is fetched under a lock of its own, so one fetches and the others
wait; room is made under the folder's lock, by removing what was used longest ago (a use sets the file's time). The
bound holds for whole files; each fetch under way has its temporary file on top of it, a shard's size. Locks are
`flock`s, which end with their process, and need a local disk.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from corpusmill.dataproc.cache import user_cache_folder
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shards import ShardEntry
from corpusmill.dataproc.storage import TEMPORARY_PREFIX, commit_file, is_url, open_input

_CHUNK = 4 << 20
_LOCKS = 64
_ATTEMPTS = 2
_STALE_SECONDS = 3600.0

Opened = TypeVar("Opened")


def usual_cache(shards: str) -> "ShardCache | None":
    """The cache for shards behind a URL; None for a local folder.

    It lies in the user's cache folder, or where `CORPUSMILL_SHARD_CACHE` says, and takes half of the disk that is free
    or its own already, or `CORPUSMILL_SHARD_CACHE_BYTES`.
    """
    if not is_url(shards):
        return None
    named = os.environ.get("CORPUSMILL_SHARD_CACHE")
    folder = Path(named) if named else Path(user_cache_folder(), "shards")
    folder.mkdir(parents=True, exist_ok=True)
    given = os.environ.get("CORPUSMILL_SHARD_CACHE_BYTES", "")
    if given and not given.isdecimal():
        raise UserError("this is not a number of bytes", where="CORPUSMILL_SHARD_CACHE_BYTES")
    used = sum(path.stat().st_size for path in folder.glob("*.arrow"))
    return ShardCache(folder, int(given) if given else (shutil.disk_usage(folder).free + used) // 2)


class ShardCache:
    """A folder of at most `limit` bytes that holds copies of shards.

    Args:
        folder: local; made when it is first needed.
        limit: bytes of whole files.
    """

    def __init__(self, folder: str | Path, limit: int) -> None:
        self.folder, self.limit = Path(folder), limit

    def use(self, entry: ShardEntry, opened: Callable[[ShardEntry, str], Opened]) -> Opened:
        """What `opened` makes of the entry and the path of its local copy, fetched first if it is not there.

        Raises UserError for an entry without a digest or larger than the folder may be, a file that cannot be read, and
        one that was fetched twice with a wrong digest.
        """
        if not entry.digest:
            raise UserError("a remote shard without a digest cannot be kept", entry.path, "its folder needs a manifest")
        if entry.bytes > self.limit:
            what = f"this shard of {entry.bytes:,} bytes is larger than the cache of {self.limit:,}"
            raise UserError(what, entry.path, "raise the limit of the cache")
        while True:
            path = self._fetched(entry)
            try:
                return opened(entry, str(path))
            except UserError:
                # Another process may have removed it between the two lines above.
                if path.exists():
                    raise

    def _fetched(self, entry: ShardEntry) -> Path:
        path = self.folder / f"{entry.digest}.arrow"
        if _touch(path, entry.bytes):
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock(f"{int(entry.digest[:8], 16) % _LOCKS:02d}"):
            if not _touch(path, entry.bytes):
                self._fetch(entry, path)
        return path

    def _fetch(self, entry: ShardEntry, path: Path) -> None:
        digests: list[str] = []
        while len(digests) < _ATTEMPTS:
            # The lock is held until the file has its name, so that no other fetch makes room without counting it.
            with suppress(_WrongDigest), ExitStack() as room, commit_file(str(path), durable=False) as file:
                with open_input(entry.path) as source:
                    while block := source.read(_CHUNK):
                        file.write(block)
                digests.append(file.digest)
                if file.digest != entry.digest:
                    raise _WrongDigest
                room.enter_context(self._lock("room"))
                self._make_room(entry.bytes)
            if digests[-1] == entry.digest:
                return
        raise UserError(
            f"its digest is {' and then '.join(digests)}, and the manifest says {entry.digest}",
            where=entry.path,
            hint="the copy is damaged: upload the shard again",
        )

    def _make_room(self, bytes_needed: int) -> None:
        """Removes the least recently used files until so many bytes fit, and what killed processes left."""
        kept: list[tuple[int, int, Path]] = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                if path.name.startswith(TEMPORARY_PREFIX):
                    if time.time() - status.st_mtime > _STALE_SECONDS:
                        path.unlink()
                elif path.suffix == ".arrow":
                    kept.append((status.st_mtime_ns, status.st_size, path))
        used = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if used + bytes_needed <= self.limit:
                return
            path.unlink(missing_ok=True)
            used -= size

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Excludes other processes and other threads."""
        descriptor = os.open(self.folder / f".lock-{name}", os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class _WrongDigest(Exception):
    """The fetched file is not what the manifest says; makes `commit_file` discard it."""


def _touch(path: Path, size: int) -> bool:
    """Whether the file is there, whole; if so, it is now the one used last."""
    try:
        if path.stat().st_size != size:
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    return True
