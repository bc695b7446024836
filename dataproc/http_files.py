"""Files behind http:// and https://: read by ranges where the server has them, and tried again where that may help.

A connection that is refused, cut or silent, a 429 and the 5xx are tried again `attempts()` times, with pauses that
double (or as `Retry-After` says); bytes that have come are not asked for again. What cannot be mended by waiting ends
at once. Both end in one line. A server that knows no ranges is asked for the whole file once, into a temporary file
without a name, so that every reader can seek. A file that is another one between two requests, by its ETag, date or
length, is refused: no reader would notice.

How a request is made, with its redirects and proxies, is in `http_requests`. Some servers are asked politely
(`http_polite`). Memory: 1 MiB a file.
"""

import io
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO, TypeVar

import urllib3
import xxhash

from corpusmill.dataproc.errors import Unreachable, UserError
from corpusmill.dataproc.http_polite import BLOCK, connection, drawn_pause, is_polite
from corpusmill.dataproc.http_requests import request
from corpusmill.dataproc.urls import is_masked, mask

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
PROGRESS_BYTES = 1 << 20
"""An attempt that brought so much (or a quarter of what was missing) counts as the first that failed, if it did."""
CHUNK_BYTES = 1 << 20
SKIPPED_BYTES = 1 << 20
"""So far ahead, what lies between is read rather than asked to be left out."""
TRANSIENT = (408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524)
CONNECT_SECONDS = 10.0
T = TypeVar("T")


def _number(variable: str, default: float) -> float:
    try:
        return max(0.0, float(os.environ.get(variable, default)))
    except ValueError as error:
        raise UserError("this is not a number", where=variable) from error


def silence_seconds() -> float:
    """How long a server may send nothing: `CORPUSMILL_HTTP_TIMEOUT`, 30 by default."""
    return _number("CORPUSMILL_HTTP_TIMEOUT", 30.0) or 30.0


def attempts() -> int:
    """How often a request is tried in a row: `CORPUSMILL_HTTP_ATTEMPTS`, 6 by default."""
    return max(1, int(_number("CORPUSMILL_HTTP_ATTEMPTS", 6)))


def first_pause() -> float:
    """Seconds before the second attempt, doubled before each further one: `CORPUSMILL_HTTP_PAUSE`, 0.5 by default."""
    return _number("CORPUSMILL_HTTP_PAUSE", FIRST_PAUSE)


@dataclass(frozen=True, kw_only=True)
class HttpInfo:
    """What a server says of a file.

    Attributes:
        size: its bytes; None where the server does not say.
        mark: its ETag, or its date; "" where it has neither.
        ranges: whether parts of it can be asked for.
    """

    size: int | None
    mark: str
    ranges: bool


class NoSuchFile(UserError):
    """The server knows no such file."""


class _Transient(Exception):
    """An attempt failed in a way that may pass; the message says how, `pause` how long the server asks to wait."""

    def __init__(self, what: str, pause: float | None = None) -> None:
        super().__init__(what)
        self.pause = pause


def describe_file(url: str) -> HttpInfo:
    """What the server says of a file, by asking for its first byte. Raises UserError if it cannot be fetched.

    (A HEAD would be simpler; a signed URL is signed for GET alone.)
    """

    def ask() -> HttpInfo:
        with _admission(url), closing(_get(url, 0, 0)) as response:
            return _info_of(response)

    return _retry(url, ask)


def _admission(url: str) -> AbstractContextManager[None]:
    """What a request waits for: a free connection of a server that is asked politely."""
    return connection(url) if is_polite(url) else nullcontext()


def exists(url: str) -> bool:
    """Whether there is such a file. Raises UserError where that cannot be found out."""

    def ask() -> bool:
        try:
            with _admission(url), closing(_get(url, 0, 0)):
                return True
        except NoSuchFile:
            return False

    return _retry(url, ask)


def measure_file(url: str) -> tuple[int, str]:
    """(bytes, mark) of a file. Where the server says neither length nor mark, the file is read to its end for both."""
    info = describe_file(url)
    if info.size is not None:
        return info.size, info.mark
    return _measured(url, info.mark) if info.mark else _read_through(url)


@cache
def _measured(url: str, mark: str) -> tuple[int, str]:
    return _read_through(url)[0], mark


def _read_through(url: str) -> tuple[int, str]:
    state, size = xxhash.xxh3_128(), 0
    with open_http(url) as file:
        while data := file.read(CHUNK_BYTES):
            state.update(data)
            size += len(data)
    return size, f"xxh3:{state.hexdigest()}"


def open_http(url: str) -> BinaryIO:
    """Opens a file for reading and seeking. Raises UserError when it is not there or may not be read."""
    info = describe_file(url)
    if not info.ranges:
        return _fetch_whole(url)
    if is_polite(url):
        return io.BufferedReader(_PoliteFile(url, info), CHUNK_BYTES)
    return io.BufferedReader(_RangedFile(url, info), CHUNK_BYTES)


class _Attempts:
    """Counts attempts that failed in a row, and waits between them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._failed = 0

    def wait(self, problem: _Transient, *, went_on: bool = False) -> None:
        """The pause after an attempt that failed; `went_on`: it brought enough to count as the first that did.

        Raises UserError after the last attempt; Unreachable, which an engine tries again later, of a server that is
        asked politely.
        """
        self._failed = 1 if went_on else self._failed + 1
        kind = Unreachable if is_polite(self._url) else UserError
        if self._failed >= attempts():
            times = "once" if self._failed == 1 else f"{self._failed} times in a row"
            hint = "check the URL and the network, or try again later"
            raise kind(f"{problem} ({times})", where=mask(self._url), hint=hint)
        pause = first_pause() * 2 ** (self._failed - 1)
        if problem.pause is not None:
            if problem.pause > LONGEST_PAUSE:
                what = f"{problem} and asks to wait {problem.pause:,.0f} s"
                raise kind(what, where=mask(self._url), hint="try again then")
            pause = problem.pause
        elif is_polite(self._url):
            pause = drawn_pause(pause)
        time.sleep(min(pause, LONGEST_PAUSE))


def _retry(url: str, work: Callable[[], T]) -> T:
    """What `work` returns, by as many attempts as it takes."""
    tries = _Attempts(url)
    while True:
        try:
            return work()
        except _Transient as error:
            tries.wait(error)
        except urllib3.exceptions.HTTPError as error:
            tries.wait(_problem_of(error))


def _get(url: str, start: int | None = None, stop: int | None = None) -> Any:
    """The response to a GET, of bytes from `start` up to and with `stop`, redirects followed: 200, 206 or 416.

    Raises UserError, _Transient, or what urllib3 raises.
    """
    try:
        return _follow(url, "" if start is None else f"bytes={start}-{'' if stop is None else stop}")
    except (urllib3.exceptions.LocationValueError, ValueError) as error:
        raise UserError("this is not a URL of a file", where=mask(url), hint="check its host and port") from error


def _follow(url: str, byte_range: str) -> Any:
    if is_masked(url):
        raise UserError("the credentials of this URL were not stored", where=url, hint="give the full URL again")
    headers = {"Accept-Encoding": "identity", "User-Agent": "corpusmill"} | (
        {"Range": byte_range} if byte_range else {}
    )
    timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, silence_seconds()), read=silence_seconds())
    return _checked(request(url, headers, timeout), url)


def _checked(response: Any, url: str) -> Any:
    status = response.status
    if status in (200, 206, 416):
        return response
    retry_after = response.headers.get("Retry-After")
    response.close()
    said = f"the server answered {status}"
    if status in TRANSIENT or (status == 403 and is_polite(url)):
        raise _Transient(said, _seconds(retry_after))
    where = mask(url)
    if is_polite(url) and status not in (404, 410):  # a public server that refuses says something of itself
        raise Unreachable(said, where, "try again later")
    if status in (401, 403, 407):
        raise UserError(f"{said}: access denied", where, "check the credentials; a signed URL may have expired")
    if status in (404, 410):
        raise NoSuchFile(f"{said}: no such file", where, "check the URL")
    raise UserError(said, where, "check the URL")


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After` (RFC 9110, section 10.2.3) in seconds from now; None where it is not there or not readable."""
    if not retry_after:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    from email.utils import parsedate_to_datetime

    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    return None


def _problem_of(error: Exception) -> _Transient:
    """What an exception of urllib3 says, in words and without a URL."""
    exceptions = urllib3.exceptions
    if isinstance(error, exceptions.NameResolutionError):
        return _Transient("this host is not known (no network, or a wrong name)")
    if isinstance(error, exceptions.NewConnectionError):
        refused = isinstance(error.__cause__, ConnectionRefusedError) or "refused" in str(error)
        return _Transient("the connection was refused" if refused else "no connection to this host")
    if isinstance(error, exceptions.ConnectTimeoutError):
        return _Transient("the server does not answer")
    if isinstance(error, exceptions.ReadTimeoutError):
        return _Transient(f"the server sent nothing for {silence_seconds():g} s")
    if isinstance(error, exceptions.SSLError):
        return _Transient("no secure connection: the server's certificate is not accepted")
    return _Transient("the connection was cut off")


def _info_of(response: Any) -> HttpInfo:
    headers = response.headers
    mark = headers.get("ETag") or headers.get("Last-Modified") or ""
    if response.status == 200:
        length = headers.get("Content-Length", "")
        return HttpInfo(size=int(length) if length.isdigit() else None, mark=mark, ranges=False)
    total = headers.get("Content-Range", "").rpartition("/")[2].strip()
    if response.status == 416 and not total.isdigit():
        total = "0"  # there is no first byte
    return HttpInfo(size=int(total) if total.isdigit() else None, mark=mark, ranges=total.isdigit())


def _fetch_whole(url: str) -> BinaryIO:
    """A whole file as a temporary one without a name."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the reader closes it

    def fetch() -> None:
        file.seek(0)
        file.truncate()
        with _admission(url), closing(_get(url)) as response:
            while data := response.read(CHUNK_BYTES):
                file.write(data)

    try:
        _retry(url, fetch)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file  # type: ignore[return-value]


class _RangedFile(io.RawIOBase):
    """A file of a server that has ranges: one response is open at a time, from where was read last to the end."""

    def __init__(self, url: str, info: HttpInfo) -> None:
        self._url, self._info = url, info
        assert info.size is not None
        self._size = info.size
        self._at = 0
        self._tries, self._received = _Attempts(url), 0
        self._response: Any = None
        self._response_at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = min(len(view), self._size - self._at)
        if count <= 0:
            return 0
        while True:
            try:
                data = self._take(count)
                break
            except _Transient as error:
                self._fail(error)
            except urllib3.exceptions.HTTPError as error:
                self._fail(_problem_of(error))
        view[: len(data)] = data
        self._at += len(data)
        self._received += len(data)
        return len(data)

    def _fail(self, problem: _Transient) -> None:
        self._drop()
        missing = self._size - self._at + self._received
        went_on = self._received >= min(PROGRESS_BYTES, max(1, missing // 4))
        self._received = 0
        self._tries.wait(problem, went_on=went_on)

    def _take(self, count: int) -> bytes:
        """Some of the next `count` bytes, at least one."""
        if self._response is not None and not 0 <= self._at - self._response_at <= SKIPPED_BYTES:
            self._drop()
        if self._response is None:
            self._response = _get(self._url, self._at, None)
            self._response_at = self._at
            self._check_same(self._response)
        while self._response_at < self._at:
            skipped = self._response.read(min(CHUNK_BYTES, self._at - self._response_at))
            if not skipped:
                raise _Transient("the connection was cut off")
            self._response_at += len(skipped)
        data: bytes = self._response.read1(count)
        if not data:
            raise _Transient("the connection was cut off")
        self._response_at += len(data)
        return data

    def _check_same(self, response: Any) -> None:
        now = _info_of(response)
        if response.status != 206 or (now.size, now.mark) != (self._info.size, self._info.mark):
            what = "this file changed while it was read"
            raise UserError(what, where=mask(self._url), hint="run again when nothing is writing to it")
        start = response.headers.get("Content-Range", "").partition("-")[0].rpartition(" ")[2]
        if start != str(self._at):
            raise UserError("the server sent a different range from the one requested", where=mask(self._url))

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def close(self) -> None:
        self._drop()
        super().close()


class _PoliteFile(_RangedFile):
    """A file of a server that is asked politely: fetched by blocks, so that a connection is held only while bytes
    come, and not while they are worked on."""

    def __init__(self, url: str, info: HttpInfo) -> None:
        super().__init__(url, info)
        self._block, self._block_at = b"", 0

    def _take(self, count: int) -> bytes:
        inside = self._at - self._block_at
        if not 0 <= inside < len(self._block):
            self._fetch_block()
            inside = 0
        return self._block[inside : inside + count]

    def _fetch_block(self) -> None:
        wanted = min(BLOCK, self._size - self._at)
        with connection(self._url), closing(_get(self._url, self._at, self._at + wanted - 1)) as response:
            self._check_same(response)
            block = bytearray()
            try:
                while len(block) < wanted and (data := response.read(min(CHUNK_BYTES, wanted - len(block)))):
                    block += data
            except urllib3.exceptions.HTTPError:
                if not block:
                    raise
        if not block:
            raise _Transient("the connection was cut off")
        self._block, self._block_at = bytes(block), self._at
