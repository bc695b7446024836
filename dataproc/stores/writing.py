"""An object as it is written: one PUT of a small one; of a larger one parts, uploaded while the work goes on.

An object appears when its upload is completed, so a reader never sees half of it, and one that is given up leaves
nothing. The bytes that were taken and not yet uploaded are bounded: one part being filled, `WAITING` that wait, and
one on its way.
"""

import queue
import threading
from contextlib import suppress
from typing import Any

from corpusmill.dataproc.stores.attempts import as_passing, attempt
from corpusmill.dataproc.stores.clients import renew

PART = 8 << 20
"""S3 takes 10,000 parts: an object of up to 80 GiB."""
WAITING = 1


class ObjectWriter:
    """Takes bytes; `close` makes the object appear, `discard` gives it up."""

    def __init__(self, filesystem: Any, inner: str, url: str) -> None:
        self._filesystem, self._inner, self._url = filesystem, inner, url
        self._buffer = bytearray()
        self._parts: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self._file: Any = None
        self._error: Exception | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._buffer += view
        while len(self._buffer) > PART:  # one byte more, so that what fits a part is one PUT
            self._hand_over(bytes(self._buffer[:PART]))
            del self._buffer[:PART]
        return view.nbytes

    def flush(self) -> None:
        """Does nothing: an object appears whole."""

    def close(self) -> None:
        """Ends the upload. Raises what stopped it.

        Completing an upload of parts is not tried again here, but by the client within its one call: fsspec's file is
        closed once its `close` has failed, and a second call would do nothing and say nothing.
        """
        if self._thread is None:
            data = bytes(self._buffer)
            attempt(self._url, lambda: self._filesystem.pipe_file(self._inner, data), lambda: renew(self._filesystem))
            return
        if self._buffer:
            self._hand_over(bytes(self._buffer))
        self._end_thread()
        self._raise()
        try:
            self._file.close()
        except Exception as error:
            self._error = error
            self._raise()

    def discard(self) -> None:
        """Gives the object up; parts that were uploaded are removed."""
        if self._thread is not None:
            self._error = self._error or ConnectionAbortedError("given up")
            self._end_thread()
        if self._file is not None:
            with suppress(Exception):  # what failed before is what is said
                self._file.discard()
            self._file.closed = True  # else its finaliser would upload what there is

    def _hand_over(self, part: bytes) -> None:
        self._raise()
        if self._thread is None:
            self._file = attempt(self._url, lambda: self._filesystem.open(self._inner, "wb", block_size=PART))
            self._thread = threading.Thread(target=self._upload, name="upload", daemon=True)
            self._thread.start()
        self._parts.put(part)

    def _upload(self) -> None:
        while (part := self._parts.get()) is not None:
            if self._error is None:
                try:
                    self._file.write(part)
                except Exception as error:
                    self._error = error

    def _end_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._parts.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise as_passing(self._url, self._error) from self._error
