"""What an Arrow IPC file or stream holds, by the headers of its messages alone.

Both are a chain of messages (Arrow columnar format, "Encapsulated message format"): a marker and the length of a
header, the header (a flatbuffer), a body. The schema comes first, then dictionaries and record batches. A file has that
chain, too, between its first 8 bytes and its footer; so one walk serves both, and a file that lost its footer gives
what it has. Rows and lengths are read out of the header here, since pyarrow reads a body with each header. Nothing is
trusted: a field outside of its header, or a message outside of the file, ends the walk with a problem.

Cost: two small reads a message, whatever the bodies hold; and one for each buffer of a compressed body, since what it
takes uncompressed is said there alone.
"""

import os
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import BinaryIO

FILE_MAGIC = b"ARROW1"
MARKER = 0xFFFFFFFF
HEADER_BYTES = 1 << 24
SCHEMA, DICTIONARY, RECORD_BATCH = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Message:
    """A dictionary or record batch: where it lies, and what its header says of it.

    Attributes:
        rows: of a record batch.
        unpacked: its bytes with all buffers uncompressed.
        dictionary: the number of the dictionary that this is, or adds to (`delta`).
    """

    start: int
    bytes: int
    rows: int = 0
    unpacked: int = 0
    dictionary: int = 0
    delta: int = 0


@dataclass
class Layout:
    """The messages of a file, in order, up to its end or to a problem.

    Attributes:
        schema: the message that names the columns; None where not even that can be read.
        dictionaries: (how many batches come before it, message).
    """

    schema: Message | None = None
    dictionaries: list[tuple[int, Message]] = field(default_factory=list)
    batches: list[Message] = field(default_factory=list)
    problem: str = ""

    def dictionary_bytes(self) -> list[int]:
        """What the dictionaries take, uncompressed, that are in force at each batch."""
        current: dict[int, int] = {}
        taken, left = list[int](), deque(self.dictionaries)
        for number in range(len(self.batches)):
            while left and left[0][0] <= number:
                _, message = left.popleft()
                before = current.get(message.dictionary, 0) if message.delta else 0
                current[message.dictionary] = before + message.unpacked
            taken.append(sum(current.values()))
        return taken


def read_layout(file: BinaryIO) -> Layout:
    """Walks the messages of a seekable file. What is broken or cut off is reported, with its place in the file."""
    layout = Layout()
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    offset = 8 if file.read(len(FILE_MAGIC)) == FILE_MAGIC else 0
    while True:
        file.seek(offset)
        head = file.read(8)
        if (offset == size or head == bytes(4)) and layout.schema:
            return layout  # a stream may end without a mark
        if len(head) < 8:
            layout.problem = f"cut off at byte {size}"
            return layout
        marker, length = struct.unpack("<II", head)
        prefix = 8
        if marker != MARKER:
            prefix, length = 4, marker  # as before version 0.15
        if not length:
            return layout
        if length > HEADER_BYTES:
            layout.problem = f"no Arrow message at byte {offset}"
            return layout
        file.seek(offset + prefix)
        header = file.read(length)
        try:
            kind, body, content, packed = _read_header(header)
            if offset + prefix + length + body > size:
                layout.problem = f"cut off at byte {size}: a message from byte {offset} on is not whole"
                return layout
            unpacked = body + sum(_unpacked(file, offset + prefix + length, body, buffer) for buffer in packed)
        except (struct.error, ValueError):
            layout.problem = f"no Arrow message at byte {offset}"
            return layout
        message = Message(start=offset, bytes=prefix + length + body, unpacked=unpacked, **content)
        if kind == SCHEMA and layout.schema is None:
            layout.schema = message
        elif kind == RECORD_BATCH and layout.schema:
            layout.batches.append(message)
        elif kind == DICTIONARY and layout.schema:
            layout.dictionaries.append((len(layout.batches), message))
        else:
            layout.problem = f"no Arrow message at byte {offset}"
            return layout
        offset += message.bytes


def _read_header(header: bytes) -> tuple[int, int, dict[str, int], list[tuple[int, int]]]:
    """(kind, body length, fields of `Message`, (offset, length) of compressed buffers) of a message (Message.fbs).

    Raises struct.error or ValueError.
    """
    message = struct.unpack_from("<I", header)[0]
    kind = _scalar(header, message, 1, "<B")
    body = _scalar(header, message, 3, "<q")
    batch, content = _table(header, message, 2), dict[str, int]()
    if kind == DICTIONARY and batch:
        content = {"dictionary": _scalar(header, batch, 0, "<q"), "delta": _scalar(header, batch, 2, "<B")}
        batch = _table(header, batch, 1)
    elif kind == RECORD_BATCH and batch:
        content = {"rows": _scalar(header, batch, 0, "<q")}
    packed = list[tuple[int, int]]()
    if kind in (RECORD_BATCH, DICTIONARY) and batch and _table(header, batch, 3):
        packed = _buffers(header, batch)
    if body < 0 or content.get("rows", 0) < 0:
        raise ValueError
    return kind, body, content, packed


def _buffers(header: bytes, batch: int) -> list[tuple[int, int]]:
    """(offset, length) of the buffers of a record batch, which are structs of two longs in a vector."""
    vector = _table(header, batch, 2)
    count = struct.unpack_from("<I", header, vector)[0] if vector else 0
    if vector + 4 + 16 * count > len(header):
        raise ValueError
    values = struct.unpack_from(f"<{2 * count}q", header, vector + 4) if count else ()
    return list(zip(values[::2], values[1::2], strict=True))


def _unpacked(file: BinaryIO, begun: int, body: int, buffer: tuple[int, int]) -> int:
    """By how much a compressed buffer grows: its length uncompressed stands before it, or -1 if it is plain."""
    offset, length = buffer
    if offset < 0 or length < 0 or offset + length > body:
        raise ValueError
    if length < 8:
        return 0
    file.seek(begun + offset)
    return max(0, struct.unpack("<q", file.read(8))[0] - length)


def _table(header: bytes, table: int, number: int) -> int:
    """Where the table or vector that a field refers to lies; 0 for one that is left out."""
    place = _field(header, table, number)
    return place + struct.unpack_from("<I", header, place)[0] if place else 0


def _field(header: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table lies; 0 for one that is left out."""
    places = table - struct.unpack_from("<i", header, table)[0]
    if places < 0:
        raise ValueError
    if 4 + 2 * number >= struct.unpack_from("<H", header, places)[0]:
        return 0
    place = struct.unpack_from("<H", header, places + 4 + 2 * number)[0]
    return table + place if place else 0


def _scalar(header: bytes, table: int, number: int, layout: str) -> int:
    place = _field(header, table, number)
    return struct.unpack_from(layout, header, place)[0] if place else 0
