"""Lines of a file or of a range of it, plain or compressed, each with its place.

A line belongs to the range in which it begins, so ranges that meet give each line once. In a plain file that is a
range of bytes; in a compressed one a range of members (`members`), of which a line may cross any number. A place is
(member, offset): where the member begins in the file, and where the line begins in what the member holds; of a plain
file, (0, offset in the file).

Memory: a chunk and one line of at most `limit` bytes. A longer line is passed over by its length alone, so neither an
endless line nor a decompression bomb can fill the memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from corpusmill.dataproc.decompression import Codec
from corpusmill.dataproc.readers.batches import Unread
from corpusmill.dataproc.readers.members import Chunk, Share, read_members

CHUNK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that follow each other (without their line feeds), or one that is broken (`problem`).

    Attributes:
        member: where the member in which they begin begins in the file; 0 in a plain file.
        at: where the first of them begins in the member, uncompressed.
    """

    member: int
    at: int
    lines: list[bytes]
    problem: str = ""


def is_blank(line: bytes) -> bool:
    """Whether a line holds nothing but JSON's white space (RFC 8259, section 2), which a form feed is not."""
    return not line.strip(b" \t\r")


def read_lines(file: BinaryIO, codec: Codec | None, start: int, stop: int, limit: int) -> Iterator[Lines]:
    """The lines of a range of a seekable file in order; `stop` 0 is its end.

    A line longer than `limit` is given as a problem, without its bytes, and so is what a broken member breaks off (with
    what there is of it).
    """
    begun: list[bytes] = []
    begun_bytes = 0
    place, ours = (0, 0), True

    def finish(problem: str = "") -> Iterator[Lines]:
        nonlocal begun, begun_bytes
        if ours:
            if begun_bytes > limit:
                yield Lines(*place, [b""], problem or f"a line longer than {limit} bytes")
            else:
                yield Lines(*place, [b"".join(begun)], problem)
        begun, begun_bytes = [], 0

    for chunk in read_members(file, codec, start, stop) if codec else _plain(file, start, stop):
        if not begun_bytes:
            if chunk.share is Share.AFTER:
                return
            place, ours = (chunk.member, chunk.at), chunk.share is Share.OURS
        if chunk.problem:
            yield from finish(Unread(chunk.problem))
            continue
        first, *whole = chunk.data.split(b"\n")
        begun_bytes += len(first)
        if begun_bytes <= limit:
            begun.append(first)
        else:
            begun = []
        if not whole:
            continue
        yield from finish()
        if chunk.share is Share.AFTER:
            return
        rest = whole.pop()
        if chunk.share is Share.OURS and whole:
            yield from _within(chunk, len(first) + 1, whole, limit)
        place, ours = (chunk.member, chunk.at + len(chunk.data) - len(rest)), chunk.share is Share.OURS
        begun, begun_bytes = [rest] if len(rest) <= limit else [], len(rest)
    if begun_bytes:
        yield from finish()


def _within(chunk: Chunk, at: int, lines: list[bytes], limit: int) -> Iterator[Lines]:
    """Lines that begin and end in a chunk, from its byte `at` on."""
    at += chunk.at
    if max(map(len, lines)) <= limit:
        yield Lines(chunk.member, at, lines)
        return
    for line in lines:
        if len(line) > limit:
            yield Lines(chunk.member, at, [b""], f"a line longer than {limit} bytes")
        else:
            yield Lines(chunk.member, at, [line])
        at += len(line) + 1


def _plain(file: BinaryIO, start: int, stop: int) -> Iterator[Chunk]:
    """A plain file from the byte before a range on, as one member."""
    offset = max(start - 1, 0)
    file.seek(offset)
    while True:
        edge = start if offset < start else stop if offset < stop else 0
        if not (data := file.read(min(CHUNK_BYTES, edge - offset) if edge else CHUNK_BYTES)):
            return
        share = Share.BEFORE if offset < start else Share.OURS if not stop or offset < stop else Share.AFTER
        yield Chunk(member=0, at=offset, data=data, share=share)
        offset += len(data)
