"""What the CSV parser reads: a file's bytes uncompressed, as UTF-8 whatever they are, and a tail behind them.

The parser hands over rows of another length as text, and ends the file at one that is not UTF-8. So bytes that are not
UTF-8 pass through it as characters of the last plane for private use, drawn anew for each file, and are bytes again in
the columns, where they cost their row. That costs a check of each block, at memory speed.
"""

import re
import secrets
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.decompression import DecompressedFile, codec_of
from corpusmill.dataproc.readers.pieces import Fields, Piece


class CsvSource:
    """A file's uncompressed bytes from its beginning on, and a tail behind them.

    Attributes:
        head: the first bytes.
        odd: the characters that stand for bytes that are not UTF-8.
        ended: whether all of it was read.
        at_line_end: whether the file ends with a line break.
    """

    closed = False

    def __init__(self, file: Any, piece: Piece, fields: Fields, tail: str) -> None:
        file.seek(0)
        codec = codec_of(piece.path, fields.zstd_window)
        self._stream = DecompressedFile(file, codec, ends_at_break=True) if codec else file
        self._tail = tail.encode()
        self.odd = _OddBytes()
        self.ended, self.at_line_end, self._repaired = False, True, False
        self.head = self._left = self._stream.read(8)

    @property
    def problem(self) -> str:
        """What is wrong with the compressed file, as far as it was read."""
        return getattr(self._stream, "problem", "")

    def read(self, count: int) -> bytes:
        """So many bytes, unless the end comes first: the parser wants the first line in its first block."""
        if self.ended:
            return b""
        pieces, missing = [self._left], count - len(self._left)
        while missing > 0 and (data := self._stream.read(missing)):
            pieces.append(data)
            missing -= len(data)
        whole, self._left = b"".join(pieces), b""
        self.ended = missing > 0
        if whole:
            self.at_line_end = whole.endswith((b"\n", b"\r"))
        if not self.ended:
            cut = _whole_characters(whole)
            whole, self._left = whole[:cut], whole[cut:]
        if not _is_utf8(whole):
            self._repaired = True
            whole = self.odd.hide(whole)
        return whole + self._tail if self.ended else whole

    def as_read(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Columns of bytes with bytes that are not UTF-8 where the file has some."""
        if not self._repaired:
            return batch
        return pa.RecordBatch.from_arrays([self.odd.restore(column) for column in batch], names=batch.schema.names)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Does nothing: whoever opened the file closes it."""


class _OddBytes:
    """128 characters of the last plane for private use, which stand for the bytes that are not UTF-8."""

    def __init__(self) -> None:
        first = 0x100000 + 128 * secrets.randbelow(0xFF00 // 128)
        self._characters = {0xDC80 + byte: first + byte for byte in range(128)}
        self._shown = {first + byte: "\ufffd" for byte in range(128)}
        self._beginning = chr(first).encode()[:2]
        self._bytes = {chr(first + byte).encode(): bytes([128 + byte]) for byte in range(128)}
        self._pattern = re.compile(b"|".join(map(re.escape, self._bytes)))

    def hide(self, data: bytes) -> bytes:
        return data.decode("utf-8", "surrogateescape").translate(self._characters).encode()

    def shown(self, text: str) -> str:
        return text.translate(self._shown)

    def restore(self, column: pa.Array) -> pa.Array:
        """A column of bytes with the bytes themselves."""
        marked = pc.match_substring(column, self._beginning).fill_null(False)
        values = [
            self._pattern.sub(lambda match: self._bytes[match[0]], value) for value in column.filter(marked).to_pylist()
        ]
        return pc.replace_with_mask(column, marked, pa.array(values, column.type)) if values else column


def _whole_characters(data: bytes) -> int:
    """How many bytes of a block come before a character of UTF-8 that may go on in the next one."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:  # the first of a character of 2, 3 or 4 bytes
            return len(data) - back if back < 2 + (byte >= 0xE0) + (byte >= 0xF0) else len(data)
        if byte < 0x80:
            break
    return len(data)


def _is_utf8(data: bytes) -> bool:
    buffers = [None, pa.py_buffer(np.array([0, len(data)], np.int64)), pa.py_buffer(data)]
    try:
        pa.Array.from_buffers(pa.large_string(), 1, buffers).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
