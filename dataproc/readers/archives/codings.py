"""Transfer and content codings of HTTP bodies undone: chunked, gzip, deflate, br and zstd, stacked in any order.

Archives hold bodies as they were sent, or decoded with the headers left as they were; a crawler may have stopped in the
middle. So there are three outcomes, the same for each coding:

- decoded. What stands behind the end of a stream is ignored, as browsers do; further members of gzip and frames of zstd
  are part of it (RFC 1952, RFC 8878).
- cut off: the stream ends before its end. What there is of it is kept, and `Body.truncated` says what is missing.
- broken, which raises: the bytes are damaged, or were never in this coding. A body that is plain text although a coding
  is named was decoded by the archive before it was stored.

Chunk extensions and trailers are passed over (RFC 9112, section 7.1). `deflate` is a zlib stream (RFC 9110), or the raw
one that many servers send. Memory: each coding gives at most a byte more than `limit`, and what is longer is refused;
windows of zstd are at most 128 MiB.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from corpusmill.dataproc.decompression import BROKEN, GZIP_MAGIC, ZSTD_MAGIC, igzip_machine, zstd_machines
from corpusmill.dataproc.readers.archives.http import Response, looks_like_text

BROTLI_SLICE_BYTES = 4 << 10
ZSTD_SLICE_BYTES = 1 << 10
"""What the machine is fed at a time, which bounds what it gives."""
WINDOW_BYTES = 1 << 27
_PASSED_FRAME = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_CHUNK_BEGUN = re.compile(rb"\r?[ \t]*(?:[0-9A-Fa-f]{1,15}[ \t]*(?:;[^\n]*)?\r?)?\Z")


class Broken(Exception):
    """A body is damaged, or was never in the coding that it names."""


class TooLong(Exception):
    """A body is longer than the limit when decoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """A body without its codings; `truncated` says which of them was cut off, "" if none was."""

    data: bytes
    truncated: str = ""


Undo = Callable[[bytes, int], tuple[bytes, bool]]
"""`undo(data, limit)`: (decoded, whether the stream was whole), up to a byte more than the limit. Raises Broken."""


def decode_body(response: Response, body: bytes, limit: int) -> Body:
    """The body of a response as it was before it was coded. Raises Broken or TooLong."""
    transfer = [name.lower() for name in response.values("transfer-encoding")]
    content = [name.lower() for name in response.values("content-encoding")]
    codings = [name for name in reversed(content + transfer) if name not in _NONE]
    truncated = "" if codings else _missing(response, body)
    for name in codings:
        undo = CODINGS.get(name)
        if undo is None:
            if looks_like_text(body):  # no coding at all, such as a charset, or undone by the archive
                continue
            raise Broken(f"nothing here decodes '{name[:40]}'")
        try:
            decoded, whole = undo(body, limit)
        except (Broken, *BROKEN) as error:
            if looks_like_text(body) and not (undo is _undo_chunked and _CHUNK.match(body)):
                continue  # held decoded, as many archives do, and the header is left over
            raise Broken(str(error)) from error
        if not whole and name in _UNMARKED and len(body) >= UNMARKED_BYTES and looks_like_text(body):
            continue
        if len(decoded) > limit:
            raise TooLong
        body = decoded
        truncated = truncated or ("" if whole else f"{name} cut off")
    return Body(data=body, truncated=truncated)


def _missing(response: Response, body: bytes) -> str:
    """Whether a body without codings is shorter than its header says."""
    lengths = {value for value in response.values("content-length") if value.isascii() and value.isdigit()}
    return "shorter than its Content-Length" if len(lengths) == 1 and int(max(lengths)[:18]) > len(body) else ""


def _undo_chunked(data: bytes, limit: int) -> tuple[bytes, bool]:
    chunks: list[bytes] = []
    at = 0
    while match := _CHUNK.match(data, at):
        size, begin = int(match[1], 16), match.end()
        if not size:
            return b"".join(chunks), True
        chunks.append(data[begin : begin + size])
        at = begin + size
        if at > len(data):
            return b"".join(chunks), False
        at += 2 if data.startswith(b"\r\n", at) else 1 if data.startswith(b"\n", at) else 0
    if not _CHUNK_BEGUN.match(data, at):
        raise Broken(f"no chunk size at byte {at} but '{data[at : at + 20].decode('ascii', 'replace')}'")
    return b"".join(chunks), False


def _undo_gzip(data: bytes, limit: int) -> tuple[bytes, bool]:
    """All members; where igzip finds one broken or cut off, zlib gives what comes before."""
    if not data.startswith(GZIP_MAGIC):
        if data and not GZIP_MAGIC.startswith(data):
            raise Broken("no gzip here")
        return b"", False
    try:
        decoded, whole = _undo_members(data, limit, igzip_machine)
    except BROKEN:
        whole = False
    if not whole:
        decoded, whole = _undo_members(data, limit, lambda: zlib.decompressobj(wbits=31))
    return decoded, whole


def _undo_members(data: bytes, limit: int, begin: Callable[[], Any]) -> tuple[bytes, bool]:
    pieces: list[bytes] = []
    left = limit + 1
    while data.startswith(GZIP_MAGIC) and left > 0:
        machine = begin()
        pieces.append(machine.decompress(data, left))
        left -= len(pieces[-1])
        if left > 0 and not machine.eof:
            return b"".join(pieces), False
        data = machine.unused_data
    return b"".join(pieces), not (data and GZIP_MAGIC.startswith(data))


def _undo_deflate(data: bytes, limit: int) -> tuple[bytes, bool]:
    zlib_header = len(data) > 1 and data[0] & 15 == 8 and not int.from_bytes(data[:2], "big") % 31
    machine = zlib.decompressobj(wbits=15 if zlib_header else -15)
    decoded = machine.decompress(data, limit + 1)
    return decoded, machine.eof or len(decoded) > limit


def _undo_brotli(data: bytes, limit: int) -> tuple[bytes, bool]:
    """By slices; one that the library refuses, since the stream ends or breaks in it, is fed again byte by byte."""
    import brotli

    machine, pieces, left = brotli.Decompressor(), list[bytes](), limit + 1
    for at in range(0, len(data), BROTLI_SLICE_BYTES):
        try:
            left -= _feed_brotli(machine, data[at : at + BROTLI_SLICE_BYTES], left, pieces)
        except brotli.error as error:
            machine, pieces, left = brotli.Decompressor(), [], limit + 1
            for begin in range(0, at, BROTLI_SLICE_BYTES):
                left -= _feed_brotli(machine, data[begin : begin + BROTLI_SLICE_BYTES], left, pieces)
            try:
                for byte in range(at, at + BROTLI_SLICE_BYTES):
                    if left <= 0 or machine.is_finished():
                        break
                    left -= _feed_brotli(machine, data[byte : byte + 1], left, pieces)
            except brotli.error:
                raise Broken("a broken br stream") from error
        if left <= 0 or machine.is_finished():
            return b"".join(pieces), True
    return b"".join(pieces), False


def _feed_brotli(machine: Any, data: bytes, left: int, pieces: list[bytes]) -> int:
    """Appends what some data decode to, and says how many bytes that is; it may be a little more than `left`."""
    given = 0
    while left > given and (data or not machine.can_accept_more_data()):
        pieces.append(machine.process(data, output_buffer_limit=left - given))
        given += len(pieces[-1])
        data = b""
    return given


def _undo_zstd(data: bytes, limit: int) -> tuple[bytes, bool]:
    """All frames, some of which may be made to be passed over."""
    if not data.startswith(ZSTD_MAGIC) and not _PASSED_FRAME.match(data):
        if data and not ZSTD_MAGIC.startswith(data):
            raise Broken("no zstd here")
        return b"", False
    begin, pieces, left = zstd_machines(WINDOW_BYTES), list[bytes](), limit + 1
    while left > 0:
        if _PASSED_FRAME.match(data):
            data = data[8 + int.from_bytes(data[4:8], "little") :]
        elif data.startswith(ZSTD_MAGIC):
            machine, at = begin(), 0
            while left > 0 and not machine.eof and at < len(data):
                pieces.append(machine.decompress(data[at : at + ZSTD_SLICE_BYTES]))
                left -= len(pieces[-1])
                at += ZSTD_SLICE_BYTES
            if left > 0 and not machine.eof:
                return b"".join(pieces), False
            data = machine.unused_data + data[at:]
        else:
            break
    return b"".join(pieces), not (data and ZSTD_MAGIC.startswith(data))


_UNMARKED = ("br", "deflate", "x-deflate")
"""Streams that begin with no mark, so that text may look like the beginning of one."""
UNMARKED_BYTES = 32
"""No beginning of one is longer and looks like text."""
_NONE = ("", "identity", "none")
CODINGS: dict[str, Undo] = {
    "chunked": _undo_chunked,
    "gzip": _undo_gzip,
    "x-gzip": _undo_gzip,
    "deflate": _undo_deflate,
    "x-deflate": _undo_deflate,
    "br": _undo_brotli,
    "zstd": _undo_zstd,
}
