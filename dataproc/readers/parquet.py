"""Parquet: columns by name (`tables`), a row group's rows by and by.

Nothing in a file is trusted: Parquet does not check that strings are UTF-8, and a page may be broken behind a sound
footer. A row that cannot be a document is reported, and so are unreadable parts of a row group; the rest is read.
Memory: one batch of rows (`BATCH_BYTES` by the footer's account, at most `BATCH_ROWS`) and the pages it comes from.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.batches import Report, Unread
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.tables import check_columns, columns_read, documents_of_rows, rows_a_batch


def read_parquet(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a range of row groups. A row without a text is reported; UserError for a missing column."""
    storage.open_input(piece.path).close()  # a file that is not there is a mistake, a broken one an input like others
    try:
        file = open_part(piece.path)
    except UserError as error:
        report(f"{fields.source}/{piece.name}#0", piece.path, Unread(error.what), None)
        return
    with file:
        if problem := check_columns(file.schema_arrow, fields, piece.path):
            report(f"{fields.source}/{piece.name}#0", piece.path, Unread(problem), None)
            return
        first = sum(file.metadata.row_group(group).num_rows for group in range(piece.start))
        for group in range(piece.start, piece.stop or file.num_row_groups):
            yield from _read_group(file, group, first, piece, fields, report)
            first += file.metadata.row_group(group).num_rows


def _read_group(
    file: pq.ParquetFile, group: int, first: int, piece: Piece, fields: Fields, report: Report
) -> Iterator[pa.RecordBatch]:
    metadata = file.metadata.row_group(group)
    batches = file.iter_batches(
        batch_size=rows_a_batch(metadata.num_rows, metadata.total_byte_size),
        row_groups=[group],
        columns=columns_read(file.schema_arrow.names, fields),
        use_threads=False,
    )
    row = first
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            # An OSError is a broken page or storage that fails. The storage's has a number; one of a remote store
            # may have none, and is raised, too, since trying again may help.
            remote = isinstance(error, OSError) and (error.errno is not None or storage.is_url(piece.path))
            if remote or isinstance(error, MemoryError):
                raise
            place = f"{piece.path}, rows {row} to {first + metadata.num_rows - 1} (row group {group})"
            report(f"{fields.source}/{piece.name}#{row}", place, Unread(f"broken Parquet: {error}"), None)
            return
        if batch is None:
            return
        yield documents_of_rows(batch, row, piece, fields, report)
        row += batch.num_rows
