"""JSON files that are not JSON lines: an array of objects, one object, or objects one after another, on any lines.

Objects are found in a stream, by the nesting of braces outside of strings, and parsed one by one; so an array of any
size is read in bounded memory, and an object that is not JSON costs only itself. A string never spans lines in JSON, so
a missing or extra quotation mark matters only until the end of its line. Anything between objects that is not an
object is reported; where braces do not match, the rest of the file may be reported as one.

An object without an id is numbered by the byte at which it begins, uncompressed. Memory: a chunk of 4 MiB and at worst
(all braces) 60 bytes for each byte of it, one object of at most `maximum_record_bytes`, and a batch. Cost: some
270 MB/s to find the objects, 120 MB/s to make documents of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.decompression import codec_of
from corpusmill.dataproc.readers.batches import BatchBuilder, Report, Unread
from corpusmill.dataproc.readers.members import Chunk, read_members
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.records import TextOf, record_parser
from corpusmill.dataproc.readers.signatures import BYTE_ORDER_MARK, foreign_format

CHUNK_BYTES = 4 << 20
BETWEEN = b" \t\r\n,[]"
OPEN, CLOSE, QUOTE, BACKSLASH, LINE_FEED = 1, 2, 3, 4, 5
MARKS = np.zeros(256, np.uint8)
MARKS[[ord("{"), ord("[")]] = OPEN
MARKS[[ord("}"), ord("]")]] = CLOSE
MARKS[ord('"')], MARKS[ord("\\")], MARKS[ord("\n")] = QUOTE, BACKSLASH, LINE_FEED


@dataclass(frozen=True, slots=True)
class Stretch:
    """An object, or what stands between objects and should not (`problem`), with its offset."""

    at: int
    data: bytes
    problem: str = ""


def read_json(piece: Piece, fields: Fields, report: Report, text_of: TextOf | None = None) -> Iterator[pa.RecordBatch]:
    """Documents of a JSON file; what is not an object with a text is reported with its byte offset."""
    builder, parse, prefix = BatchBuilder(), record_parser(fields, text_of), f"{fields.source}/{piece.name}#"
    with storage.open_input(piece.path) as file:
        codec = codec_of(piece.path, fields.zstd_window)
        if codec is None and (other := foreign_format(file.read(8))):
            report(f"{prefix}0", piece.path, Unread(f"this is {other}, despite its name"), None)
            return
        file.seek(0)
        if codec:
            chunks = (part for chunk in read_members(file, codec) for part in _cut(chunk))
        else:
            chunks = ((data, "") for data in iter(lambda: file.read(CHUNK_BYTES), b""))
        for stretch in find_objects(chunks, fields.maximum_record_bytes):
            row = stretch.problem or parse(stretch.data, prefix, stretch.at)
            if isinstance(row, tuple):
                builder.add_row(row)
                if builder.full:
                    yield builder.take()
            else:
                text = stretch.data.decode("utf-8", "replace") if stretch.data else None
                report(f"{prefix}{stretch.at}", f"{piece.path}, byte {stretch.at}", row, text)
    yield builder.take()


def _cut(chunk: Chunk) -> Iterator[tuple[bytes, str]]:
    """A chunk, which can be larger where it was packed well, as parts of at most `CHUNK_BYTES`."""
    for at in range(0, max(1, len(chunk.data)), CHUNK_BYTES):
        yield chunk.data[at : at + CHUNK_BYTES], chunk.problem


def find_objects(chunks: Iterable[tuple[bytes, str]], limit: int) -> Iterator[Stretch]:
    """The objects of a stream of (data, problem), and what is wrong in it, in order."""
    nesting = _Nesting()
    pending = _Pending(limit)
    inside = False
    for data, problem in chunks:
        if problem:
            yield Stretch(pending.at, pending.take(), Unread(problem))
            inside = False
            nesting.forget()
            continue
        done = 0
        for edge in nesting.edges(data):
            pending.add(data[done:edge], inside)
            yield from _object(pending) if inside else _between(pending)
            inside, done = not inside, edge
        pending.add(data[done:], inside)
    if inside:
        yield Stretch(pending.at, pending.take(), "cut off: this object does not end")
        return
    yield from _between(pending)
    if nesting.base and nesting.depth:
        yield Stretch(pending.at, b"", "cut off: this array does not end")


def _object(pending: "_Pending") -> Iterator[Stretch]:
    at, problem = pending.at, pending.problem
    yield Stretch(at, pending.take(), problem)


def _between(pending: "_Pending") -> Iterator[Stretch]:
    at, problem, data = pending.at, pending.problem, pending.take()
    inner = data.lstrip(BETWEEN)
    if inner or problem:
        yield Stretch(at + len(data) - len(inner), inner.rstrip(BETWEEN), problem or "not an object")


class _Pending:
    """The stretch being read: its bytes, unless they are too many, and where it begins."""

    def __init__(self, limit: int) -> None:
        self._limit, self._data, self._dropped = limit, bytearray(), 0
        self.at = 0

    @property
    def problem(self) -> str:
        return f"longer than {self._limit} bytes" if self._dropped else ""

    def add(self, data: bytes, inside: bool) -> None:
        if not self.at:
            data = b" " * len(BYTE_ORDER_MARK) + data[3:] if data.startswith(BYTE_ORDER_MARK) else data
        if not inside and not self._data and not self._dropped:  # so that endless blanks are not a stretch too long
            self.at += len(data) - len(data := data.lstrip(BETWEEN))
        self._data += data
        if len(self._data) > self._limit:
            self._dropped += len(self._data)
            self._data = bytearray()

    def take(self) -> bytes:
        """The bytes, or none if they were too many; what follows is another stretch."""
        data = b"" if self._dropped else bytes(self._data)
        self.at += self._dropped + len(self._data)
        self._data, self._dropped = bytearray(), 0
        return data


class _Nesting:
    """Follows strings and braces through a stream, a chunk at a time.

    Attributes:
        base: how deep objects lie: 1 in an array, else 0.
        depth: how deep the stream stands.
    """

    def __init__(self) -> None:
        self.base = self.depth = 0
        self._known = False
        self._in_string = self._escaped = self._in_object = self._in_array = False

    def forget(self) -> None:
        """After a break: what comes next is taken for something between objects."""
        self.depth = self.base
        self._in_string = self._escaped = self._in_object = self._in_array = False

    def edges(self, data: bytes) -> Iterator[int]:
        """Where objects of the base begin and end in a chunk, by turns."""
        values = np.frombuffer(data, np.uint8)
        places = np.flatnonzero(MARKS[values])
        marks = MARKS[values[places]]
        quotes = places[marks == QUOTE]
        quotes = quotes[~self._follow_escapes(quotes, places[marks == BACKSLASH], len(data))]
        lines = places[marks == LINE_FEED]
        braces = places[(marks == OPEN) | (marks == CLOSE)]
        braces = braces[~self._follow_strings(braces, quotes, lines)]
        if not len(braces):
            return
        if not self._known:
            self._known, self.base = True, int(values[braces[0]] == ord("["))
        step = np.where(MARKS[values[braces]] == OPEN, 1, -1)
        after = self.depth + np.cumsum(step)
        after -= np.minimum(0, np.minimum.accumulate(after))  # a brace that closes nothing
        self.depth = int(after[-1])
        outer = braces[((step == 1) & (after == self.base + 1)) | ((step == -1) & (after == self.base))]
        for place in outer.tolist():
            mark = data[place]
            if mark in b"{[":
                self._in_object, self._in_array = mark == ord("{"), mark == ord("[")
                if self._in_object:
                    yield place
            elif self._in_object or self._in_array:
                if self._in_object:
                    yield place + 1
                self._in_object = self._in_array = False

    def _follow_escapes(self, quotes: np.ndarray, backslashes: np.ndarray, length: int) -> np.ndarray:
        """Which quotes are escaped, by the runs of backslashes before them."""
        escaped = np.zeros(len(quotes), bool)
        numbers = np.arange(len(backslashes))
        begins = np.diff(backslashes, prepend=-2) != 1
        run = numbers - np.maximum.accumulate(np.where(begins, numbers, 0)) + 1  # backslashes up to this one
        if self._escaped and len(backslashes) and backslashes[0] == 0:
            first = np.cumsum(begins) == 1
            run = run + first
        if len(backslashes):
            before = np.minimum(np.searchsorted(backslashes, quotes - 1), len(backslashes) - 1)
            escaped = (backslashes[before] == quotes - 1) & (run[before] % 2 == 1)
        if self._escaped and len(quotes) and quotes[0] == 0:
            escaped[0] = True
        if length:
            ends = len(backslashes) > 0 and backslashes[-1] == length - 1
            self._escaped = bool(ends and run[-1] % 2 == 1)
        return escaped

    def _follow_strings(self, braces: np.ndarray, quotes: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """Which braces lie in strings. Quotes are counted from the beginning of each line."""
        before = np.concatenate([[0], np.searchsorted(quotes, lines)])
        begun = np.full(len(before), 0)
        begun[0] = self._in_string
        line = np.searchsorted(lines, braces)
        inside = (np.searchsorted(quotes, braces) - before[line] + begun[line]) % 2 == 1
        self._in_string = bool((len(quotes) - before[-1] + begun[-1]) % 2 == 1)
        return inside
