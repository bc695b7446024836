"""An object as a file: read by ranges, and ahead of the work while it is read in order.

The first request is for the first `BLOCK` bytes, and where fewer come, the object is whole and nothing else is asked:
one request for a small object, its size included. Of a larger one the size is asked for beyond that block.
What is read in order is asked for up to `AHEAD` blocks ahead, in threads, so that a request's time is spent while the
work goes on; what is read here and there is asked for as it is.

Memory: up to `AHEAD` + 2 blocks a file, and `MOST_AHEAD` blocks ahead in a process, however many files are open.
"""

import errno
import io
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

from corpusmill.dataproc.stores.attempts import attempt
from corpusmill.dataproc.stores.clients import renew

BLOCK = 4 << 20
AHEAD = 2
MOST_AHEAD = 16
LEAST_READ = 1 << 16
_ahead = threading.Semaphore(MOST_AHEAD)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_AHEAD, thread_name_prefix="ahead")


class ObjectReader(io.RawIOBase):
    """Seekable, for reading. Wrap it in nothing: it holds blocks itself.

    Raises FileNotFoundError, when it is made, if the object does not exist.
    """

    def __init__(self, filesystem: Any, inner: str, url: str) -> None:
        self._filesystem, self._inner, self._url = filesystem, inner, url
        self._position = 0
        self._length: int | None = None
        self._blocks: list[tuple[int, bytes]] = []
        self._coming: dict[int, Future[bytes]] = {}
        self._fetch_first()

    def _fetch_first(self) -> None:
        try:
            data = self._fetch(0, BLOCK)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a range of an empty object cannot be met
                raise
            data = b""
        if len(data) < BLOCK:
            self._length = len(data)
        self._blocks = [(0, data)]
        self._next = BLOCK

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    @property
    def size(self) -> int:
        """Bytes of the object."""
        if self._length is None:
            info = attempt(self._url, lambda: self._filesystem.info(self._inner), lambda: renew(self._filesystem))
            self._length = int(info["size"])
        return self._length

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        position = offset + (self.size if base is None else base)
        if position < 0:
            raise OSError(errno.EINVAL, "a place before the beginning")
        self._position = position
        return position

    def read(self, size: int | None = -1) -> bytes:
        if self.closed:
            raise ValueError("this file is closed")
        wanted = (self.size - self._position) if size is None or size < 0 else size
        if self._length is not None:
            wanted = min(wanted, self._length - self._position)
        if wanted <= 0:
            return b""
        pieces, missing = [], wanted
        while missing > 0:
            piece = self._piece(missing)
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
            self._position += len(piece)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: Any) -> int:
        data = self.read(memoryview(buffer).nbytes)
        memoryview(buffer).cast("B")[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self.read(-1)

    def close(self) -> None:
        for future in self._coming.values():
            future.cancel()
        self._coming, self._blocks = {}, []
        super().close()

    def _piece(self, wanted: int) -> bytes | memoryview:
        """Some bytes from the position on, at most so many; none at the end."""
        at = self._position
        for start, data in self._blocks:
            if start <= at < start + len(data):
                return memoryview(data)[at - start : at - start + wanted]
        if at >= self.size:  # beyond the first block; an empty range is no range to a store, which sends everything
            return b""
        if at == self._next or at in self._coming:
            return memoryview(self._in_order(at))[:wanted]
        data = self._fetch(at, min(at + max(wanted, LEAST_READ), self.size))
        self._keep(at, data)
        self._next = at + len(data)
        return memoryview(data)[:wanted]

    def _in_order(self, at: int) -> bytes:
        """The next block of a file that is read in order; those after it are asked for, any others are let go."""
        size = self.size
        coming = self._coming.pop(at, None)
        self._next = min(at + BLOCK, size)
        after = range(at + BLOCK, min(at + (AHEAD + 1) * BLOCK, size), BLOCK)
        for start in self._coming.keys() - set(after):
            self._coming.pop(start).cancel()
        for start in after:
            if start not in self._coming and _ahead.acquire(blocking=False):
                future = _threads().submit(self._fetch, start, min(start + BLOCK, size))
                future.add_done_callback(lambda _: _ahead.release())
                self._coming[start] = future
        data = self._fetch(at, self._next) if coming is None else coming.result()
        self._keep(at, data)
        return data

    def _keep(self, start: int, data: bytes) -> None:
        self._blocks = [*self._blocks[-1:], (start, data)]

    def _fetch(self, start: int, end: int) -> bytes:
        def ask() -> bytes:
            data = bytes(self._filesystem.cat_file(self._inner, start=start, end=end))
            if self._length is not None and len(data) != min(end, self._length) - start:
                raise ConnectionError(f"{len(data):,} of {end - start:,} bytes were received")
            return data

        return attempt(self._url, ask, lambda: renew(self._filesystem))
