"""CSV and TSV, plain, .gz or .zst, by pyarrow's reader: the first line names the columns, and all values are text.

Fields may be quoted and then hold line breaks (RFC 4180). A row with too few or too many fields is dropped alone; where
the parser gives up (a row longer than `maximum_record_bytes` or 64 MiB, a broken stream), the rest of the file is
reported as one. Rows are numbered from 0, those that cannot be parsed left out. A file is one piece, since only a
reader from the start knows what is quoted. Memory: a block of at most 64 MiB, parsed.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv

from corpusmill.dataproc import storage
from corpusmill.dataproc.decompression import DecompressedFile, codec_of
from corpusmill.dataproc.readers.batches import Report, Unread
from corpusmill.dataproc.readers.jsonl import foreign_format
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.tables import check_columns, columns_read, documents_of_rows, rows_a_batch

BLOCK_BYTES = 64 << 20


def read_csv(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a CSV file; rows that are none are reported. UserError for a missing column."""
    named = f"{fields.source}/{piece.name}#"

    def invalid(row: Any) -> str:
        problem = f"{row.actual_columns} fields where the first line has {row.expected_columns}"
        report(f"{named}line-{row.number}", f"{piece.path}, line {row.number}", problem, row.text)
        return "skip"

    with storage.open_input(piece.path) as file:
        codec = codec_of(piece.path)
        if codec is None and (other := foreign_format(file.read(8))):
            report(f"{named}0", piece.path, Unread(f"this is {other}, whatever its name says"), None)
            return
        row = 0
        source: Any = file
        try:
            names: list[str] = []
            for handler in (lambda row: "skip", invalid):  # the first pass only reads the column names
                file.seek(0)
                source = DecompressedFile(file, codec, ends_at_break=True) if codec else file
                reader = _open(source, piece.path, fields.maximum_record_bytes, names, handler)
                names = reader.schema.names
            if problem := check_columns(reader.schema, fields, piece.path):
                report(f"{named}0", piece.path, Unread(problem), None)
                return
            while True:
                batch = reader.read_next_batch()
                batch = batch.select(columns_read(batch.schema.names, fields))
                step = rows_a_batch(batch.num_rows, batch.nbytes)
                for at in range(0, batch.num_rows, step):
                    part = batch.slice(at, step)
                    yield documents_of_rows(part, row + at, piece, fields, report)
                row += batch.num_rows
        except StopIteration:
            problem = ""
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the storage failed, not the file
            problem = "" if "Empty CSV file" in str(error) else f"broken CSV: {error}"
        if problem := getattr(source, "problem", "") or problem:
            report(f"{named}{row}", f"{piece.path}, from row {row} on", Unread(problem), None)


def _open(source: Any, path: str, limit: int, names: list[str], invalid: Any) -> pyarrow.csv.CSVStreamingReader:
    """The rows as columns of bytes, which is what they are until their UTF-8 is checked."""
    read = pyarrow.csv.ReadOptions(use_threads=False, block_size=max(1 << 16, min(BLOCK_BYTES, limit)))
    delimiter = "\t" if ".tsv" in path[-8:] else ","
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=invalid)
    convert = pyarrow.csv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.large_binary()))
    return pyarrow.csv.open_csv(source, read, parse, convert)
