"""How many records a piece holds, where that can be told without decoding them: for files that are given up as a whole.

Parquet says it in its footer and Arrow in the headers of its messages; lines of JSON are counted. What a file says of
itself may be wrong, so such a number is for people and for the law that nothing is lost, and bounds nothing.
"""

from collections.abc import Callable

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.decompression import codec_of
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.arrow_messages import read_layout
from corpusmill.dataproc.readers.lines import is_blank, read_lines
from corpusmill.dataproc.readers.pieces import Piece

COUNTED_LINE_BYTES = 64 << 20


def count_records(piece: Piece) -> int | None:
    """The records of a piece; None where that is not known."""
    count = _COUNTERS.get(piece.format)
    return count(piece) if count else None


def _count_lines(piece: Piece) -> int:
    with storage.open_input(piece.path) as file:
        blocks = read_lines(file, codec_of(piece.path), piece.start, piece.stop, COUNTED_LINE_BYTES)
        return sum(1 for block in blocks for line in block.lines if not is_blank(line))


def _count_rows(piece: Piece) -> int | None:
    try:
        file = open_part(piece.path)
    except UserError:
        return None
    with file:
        groups = range(piece.start, piece.stop or file.num_row_groups)
        return sum(max(0, file.metadata.row_group(group).num_rows) for group in groups)


def _count_batches(piece: Piece) -> int:
    with storage.open_input(piece.path) as file:
        batches = read_layout(file).batches
    return sum(batch.rows for batch in batches[piece.start : piece.stop or None])


_COUNTERS: dict[str, Callable[[Piece], int | None]] = {
    "jsonl": _count_lines,
    "parquet": _count_rows,
    "arrow": _count_batches,
}
