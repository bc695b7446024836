"""Arrow IPC, as a file (.arrow, .ipc, .feather version 2) or a stream (what Hugging Face's `datasets` writes).

Record batches are found by the headers of their messages (`arrow_messages`) and read as one stream that is put together
from the schema, the dictionaries and the batches of the piece. So a file of either kind is split by batches, the number
of a row is known without reading what comes before, and a file that is cut off gives the batches that are whole.

A batch's bytes are checked before they are used: offsets that point outside would end the process. A batch that
cannot be read is reported and lost alone; so is a row that cannot be a document (`tables`). Memory: a record batch
as it was written, unpacked, which is the writer's choice (1,000 rows in `datasets`, 65,536 in Feather), the
dictionaries, and documents of some 16 MiB. What its headers say that a batch takes with the dictionaries before it,
unpacked, is known before anything is: more than `MAXIMUM_BATCH_BYTES` is reported and not read.
"""

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import BinaryIO

import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.readers.arrow_messages import Layout, Message, read_layout
from corpusmill.dataproc.readers.batches import Report, Unread
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.tables import check_columns, columns_read, documents_of_rows, slices

MAXIMUM_BATCH_BYTES = 1 << 30


def read_arrow(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a range of record batches; what cannot be read is reported."""

    def broken(row: int, where: str, problem: str, rows: int | None = None) -> None:
        reason = Unread(f"broken Arrow: {problem}", rows)
        report(f"{fields.source}/{piece.name}#{row}", f"{piece.path}{where}", reason, None)

    with storage.open_input(piece.path) as file:
        layout = read_layout(file)
        try:
            schema = pa.ipc.open_stream(_Spans(file, [layout.schema] if layout.schema else [])).schema
        except (pa.ArrowException, OSError) as error:
            if not piece.start:
                broken(0, "", layout.problem or str(error))
            return
        rows_of_all = sum(batch.rows for batch in layout.batches)
        if problem := check_columns(schema, fields, rows_of_all):
            if not piece.start:
                report(f"{fields.source}/{piece.name}#0", piece.path, problem, None)
            return
        firsts = [0, *accumulate(batch.rows for batch in layout.batches)]
        stop = min(piece.stop or len(layout.batches), len(layout.batches))
        for number, batch in _read_batches(file, layout, piece.start, stop):
            first, rows = firsts[number], layout.batches[number].rows
            if isinstance(batch, str):
                broken(first, f", rows {first} to {first + rows - 1} (record batch {number})", batch, rows)
                continue
            for part in slices(batch.select(columns_read(batch.schema.names, fields)), fields):
                yield documents_of_rows(part, first, piece, fields, report)
                first += part.num_rows
        if layout.problem and stop == len(layout.batches):
            broken(firsts[-1], f", from row {firsts[-1]} on", layout.problem)


def _read_batches(file: BinaryIO, layout: Layout, start: int, stop: int) -> Iterator[tuple[int, pa.RecordBatch | str]]:
    """(number, batch, or why it cannot be read) of the batches of a range."""
    reader, broken, dictionaries = None, False, layout.dictionary_bytes()
    for number in range(start, stop):
        extent = layout.batches[number]
        batch: pa.RecordBatch | str
        if extent.unpacked + dictionaries[number] > MAXIMUM_BATCH_BYTES:
            batch, reader = f"it is longer than {MAXIMUM_BATCH_BYTES} bytes", None
        else:
            try:
                if reader is None:
                    messages = _messages(layout, number, number + 1 if broken else stop)
                    reader = pa.ipc.open_stream(_Spans(file, messages))
                batch = reader.read_next_batch()
                batch = _problem_of(batch, extent.rows) or batch
            except (pa.ArrowException, StopIteration, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the storage failed, not the file
                batch, reader = str(error) or "no record batch here", None
        broken = reader is None or broken
        reader = None if broken else reader
        yield number, batch


def _messages(layout: Layout, start: int, stop: int) -> list[Message]:
    """The schema, then the batches of a range and every dictionary that comes before one of them."""
    assert layout.schema is not None
    between = sorted(
        [(before, 0, message) for before, message in layout.dictionaries if before < stop]
        + [(number, 1, layout.batches[number]) for number in range(start, stop)],
        key=itemgetter(0, 1),
    )
    return [layout.schema, *(message for _, _, message in between)]


def _problem_of(batch: pa.RecordBatch, rows: int) -> str:
    """Why a batch must not be used; strings that are not UTF-8 are left to whoever decodes them."""
    if batch.num_rows != rows:
        return f"{batch.num_rows} rows where its header says {rows}"
    if batch.get_total_buffer_size() > MAXIMUM_BATCH_BYTES:
        return f"it is longer than {MAXIMUM_BATCH_BYTES} bytes"
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if "UTF8" not in str(error):
                return str(error)
    return ""


class _Spans(io.RawIOBase):
    """Stretches of a file as one, to be read from its beginning to its end."""

    def __init__(self, file: BinaryIO, messages: Sequence[Message]) -> None:
        self._file, self._messages = file, messages
        self._edges = [0, *accumulate(message.bytes for message in messages)]
        self._at = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number = bisect_right(self._edges, self._at) - 1
        if number >= len(self._messages):
            return 0
        begun, end = self._edges[number : number + 2]
        self._file.seek(self._messages[number].start + self._at - begun)
        data = self._file.read(min(len(buffer), end - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
