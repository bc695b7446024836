"""CSV and TSV, plain, .gz or .zst, by pyarrow's reader: the first line names the columns, and all values are text.

Fields of CSV may be quoted and then hold line breaks (RFC 4180); TSV has no quoting (IANA,
text/tab-separated-values); settings say otherwise. A row with too few or too many fields is dropped alone; where
the parser gives up (a row longer than `maximum_record_bytes` or 64 MiB, a broken stream), the rest of the file is
reported as one. Rows are numbered from 0, those that cannot be parsed left out. A file is one piece, since only a
reader from the start knows what is quoted. Memory: a block of at most 64 MiB, parsed.

A quotation mark that is not closed takes everything behind it into one field, and the parser says nothing. So a row of
our own is put behind the last one: where it does not come out again as a row, the file ends inside a field, and what
that field took is reported instead of being kept as a text. That costs a look at one row a block.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv

from corpusmill.dataproc import storage
from corpusmill.dataproc.readers.batches import Report, Unread
from corpusmill.dataproc.readers.csv_source import CsvSource
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.signatures import foreign_format
from corpusmill.dataproc.readers.tables import check_columns, columns_read, documents_of_rows, slices

BLOCK_BYTES = 64 << 20
SHOWN_BYTES = 1 << 16
UNCLOSED = "a quotation mark is not closed: the file ends inside a field"
NOT_UTF8 = "the name of a column is not UTF-8"
NONE = "none"
"""What `csv_quote` and `csv_escape` are where there is no such character."""


def read_csv(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a CSV file; rows that are none are reported, and so is a file without a column for the text."""
    named, row = f"{fields.source}/{piece.name}#", 0
    source: Any = None
    dialect = _Dialect.of(piece.path, fields)
    mark = secrets.token_hex(16)
    unclosed: list[str] = []

    def invalid(broken: Any) -> str:
        text = source.odd.shown(str(broken.text))
        if mark in text:
            unclosed.append(text)
        elif broken.number is None or broken.number > 1:  # the first line was read before
            problem = f"{broken.actual_columns} fields where the first line has {broken.expected_columns}"
            report(f"{named}line-{broken.number}", f"{piece.path}, line {broken.number}", problem, text)
        return "skip"

    with storage.open_input(piece.path) as file:
        try:
            names, problem = _read_names(file, piece, fields, dialect, mark)
            if problem:
                report(f"{named}0", piece.path, problem, None)
            if problem or not names:
                return
            source = CsvSource(file, piece, fields, f"\n{mark}{dialect.delimiter * (len(names) - 1)}\n")
            reader = dialect.open(source, fields.maximum_record_bytes, names, invalid)
            for batch in iter(reader.read_next_batch, None):
                batch, taken = _without_mark(batch, mark.encode())
                unclosed += taken
                if source.ended and source.problem and not source.at_line_end:
                    batch = batch.slice(0, batch.num_rows - 1)  # the row that the stream breaks off in
                batch = source.as_read(batch.select(columns_read(batch.schema.names, fields)))
                for part in slices(batch, fields):
                    yield documents_of_rows(part, row, piece, fields, report)
                    row += part.num_rows
        except StopIteration:
            pass
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the storage failed, not the file
            problem = Unread(f"broken CSV: {error}")
        if source is not None and source.problem:
            problem = Unread(source.problem)
        elif unclosed:
            problem = Unread(UNCLOSED)
        if problem:
            text = unclosed[0].partition(mark)[0][:SHOWN_BYTES] if unclosed else None
            report(f"{named}{row}", f"{piece.path}, from row {row} on", problem, text)


def _read_names(
    file: Any, piece: Piece, fields: Fields, dialect: "_Dialect", mark: str
) -> tuple[list[str], Unread | None]:
    """The names of the columns, none for an empty file; and why nothing of the file can be read."""
    source = CsvSource(file, piece, fields, f"\n{mark}\n")
    if other := foreign_format(source.head):
        return [], Unread(f"this is {other}, despite its name")
    try:
        inferred = dialect.open(source, fields.maximum_record_bytes, [], lambda row: "skip").schema
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise
        return [], Unread(source.problem or UNCLOSED)  # for the mark is no line by itself, either
    schema = pa.schema([field.with_type(pa.large_binary()) for field in inferred])
    if any(source.odd.shown(name) != name for name in schema.names):
        return [], Unread(NOT_UTF8)
    problem = check_columns(schema, fields)
    if problem and len(schema) == 1 and schema.field(0).name == mark:
        return [], Unread(source.problem) if source.problem else None
    return ([], problem) if problem else (schema.names, None)


def _without_mark(batch: pa.RecordBatch, mark: bytes) -> tuple[pa.RecordBatch, list[str]]:
    """A batch without the row of the mark; and the text of a field that took it in, whose row is left out, too."""
    if not batch.num_rows:
        return batch, []
    last = [column[-1].as_py() or b"" for column in batch.columns]
    if not any(mark in value for value in last):
        return batch, []
    field = next(value for value in last if mark in value)
    taken = [] if field == mark else [field.decode("utf-8", "replace")]
    return batch.slice(0, batch.num_rows - 1), taken


@dataclass(frozen=True)
class _Dialect:
    """What separates, quotes and escapes; "" for none."""

    delimiter: str
    quote: str
    escape: str

    @classmethod
    def of(cls, path: str, fields: Fields) -> "_Dialect":
        """That of the settings, or else of the file's ending."""
        tabs = ".tsv" in path[-9:].lower()
        quote = ("" if tabs else '"') if fields.csv_quote is None else fields.csv_quote.replace(NONE, "")
        escape = "" if fields.csv_escape is None else fields.csv_escape.replace(NONE, "")
        return cls(fields.csv_delimiter or ("\t" if tabs else ","), quote, escape)

    def open(self, source: Any, limit: int, names: list[str], invalid: Any) -> pyarrow.csv.CSVStreamingReader:
        """The rows as columns of bytes, which is what they are until their UTF-8 is checked."""
        read = pyarrow.csv.ReadOptions(use_threads=False, block_size=max(1 << 16, min(BLOCK_BYTES, limit)))
        parse = pyarrow.csv.ParseOptions(
            delimiter=self.delimiter,
            quote_char=self.quote or False,
            escape_char=self.escape or False,
            newlines_in_values=bool(self.quote or self.escape),
            invalid_row_handler=invalid,
        )
        convert = pyarrow.csv.ConvertOptions(check_utf8=False, column_types=dict.fromkeys(names, pa.large_binary()))
        return pyarrow.csv.open_csv(source, read, parse, convert)
