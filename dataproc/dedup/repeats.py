"""Repeated windows to spans of bytes that don't show how the windows were come by.

Windows that stand next to each other, and whose first copies do, make one span. In what repeats itself (a run of one
character, `0, 0, 0, …`, a verse sung three times) the copies of neighbours begin anew after a period; there a span
goes on as long as the period does, so that a run of a million characters is one span and not a million.

Partitions cut rows of windows anywhere and report a period or not, depending on where they begin to look. So rows are
first taken apart to the largest stretches of windows with neighbouring copies, which are the same however they came,
and then put together: a stretch joins the one before when its first copy begins where that one's does and it is no
longer; being shorter, it is the last.

Cost: a sort of the rows of a block, and one pass. Memory: 150 bytes a row.
"""

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.spans import one_array
from corpusmill.dataproc.kernels.compiling import kernel

REPEATS = pa.schema(
    [
        pa.field("start", pa.int64(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("first", pa.string(), nullable=False),
        pa.field("first_start", pa.int64(), nullable=False),
        pa.field("period", pa.int64(), nullable=False),
    ]
)
"""Neighbouring repeated windows: byte of the first in the block, how many; document and byte of its first copy. The
copies of the others follow that one byte by byte, and begin anew there after `period` windows, if that is not 0."""


def _taken_apart(columns: list[np.ndarray]) -> list[np.ndarray]:
    """Rows (start, count, name, first_start, period) with the first and the last cycle of periodic ones apart."""
    start, count, name, first_start, period = columns
    cycles = np.where(period > 0, (count - 1) // np.maximum(period, 1), 0)  # whole ones before the last
    head = np.where(cycles > 0, period, count)
    middle = np.maximum(cycles - 1, 0) * period
    counts = np.stack([head, middle, count - head - middle], axis=1)
    starts = start[:, None] + np.cumsum(counts, axis=1) - counts
    periods = np.stack([np.zeros_like(period), period, np.zeros_like(period)], axis=1)
    there = counts.ravel() > 0
    spread = [np.repeat(column, 3) for column in (name, first_start)]
    return [column.ravel()[there] for column in (starts, counts, *spread, periods)]


@kernel
def _put_together(start, count, name, first_start, period, opens):
    """Marks in `opens` the stretches that begin a span."""
    head = 0
    length = np.int64(0)  # windows of a cycle of the span
    ended = True
    for row in range(start.shape[0]):
        own = period[row] if period[row] else count[row]
        goes_on = (
            not ended
            and start[row] == start[row - 1] + count[row - 1]
            and name[row] == name[head]
            and first_start[row] == first_start[head]
            and (own == length or (own < length and period[row] == 0))
        )
        opens[row] = not goes_on
        if goes_on:
            ended = own < length
        else:
            head, length, ended = row, own, False


def joined_repeats(repeats: pa.Table, length: int) -> pa.Table:
    """The spans of a block's repeated windows.

    Args:
        repeats: rows of `REPEATS` of all partitions, in any order; each window once.
        length: bytes of a window.

    Returns:
        A table of `start`, `end` (bytes of the block's text), `first` and `first_start`, sorted by start. Spans may
        overlap where the copy changes.
    """
    ordered = repeats.take(pa.array(np.argsort(repeats["start"].to_numpy(), kind="stable")))
    documents = one_array(ordered["first"]).dictionary_encode()
    start, count, first_start, period = (
        ordered[name].to_numpy() for name in ("start", "count", "first_start", "period")
    )
    names = documents.indices.to_numpy().astype(np.int64)
    start, count, names, first_start, period = _taken_apart([start, count, names, first_start, period])
    opens = np.ones(len(start), bool)
    opens[1:] = (
        (start[1:] != start[:-1] + count[:-1])
        | (first_start[1:] != first_start[:-1] + count[:-1])
        | (names[1:] != names[:-1])
        | (period[1:] > 0)
        | (period[:-1] > 0)
    )
    heads = np.flatnonzero(opens)
    counts = np.add.reduceat(count, heads) if len(heads) else count
    start, names, first_start, period = (column[heads] for column in (start, names, first_start, period))
    spans = np.ones(len(start), bool)
    _put_together(start, counts, names, first_start, period, spans)
    heads = np.flatnonzero(spans)
    counts = np.add.reduceat(counts, heads) if len(heads) else counts
    return pa.table(
        {
            "start": start[heads],
            "end": start[heads] + counts + (length - 1),
            "first": documents.dictionary.take(pa.array(names[heads])),
            "first_start": first_start[heads],
        }
    )
