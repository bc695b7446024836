"""Adding up a pretoken's counts over groups, each scaled as `balance.py` says, to whole numbers.

Scales are multiples of 2^-20 and everything is integer arithmetic, so the result is the same on every machine. A sum is
cut to a whole number after a fraction was added that the pretoken's own hash gives: one in three of the pretokens that
should count 1/3 counts 1, and what they have in common still counts as it should; plain rounding would drop all of
them. Where every scale is 1, counts stay as they were counted. What passes 63 bits is an error, never a wrap.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.tokenizer.counting.balance import BITS, ONE
from corpusmill.tokenizer.counting.rows import CountRows
from corpusmill.tokenizer.keys import hash_of, key_of, same_bytes

MOST = (1 << 63) - 1
OVERFLOW = -1


@dataclass(frozen=True)
class Dropped:
    """What was left out because it was seen too seldom: unique pretokens, how often they occur, their bytes."""

    unique: int = 0
    pretokens: int = 0
    bytes: int = 0

    def __add__(self, other: "Dropped") -> "Dropped":
        return Dropped(self.unique + other.unique, self.pretokens + other.pretokens, self.bytes + other.bytes)

    def as_values(self, text_bytes: int) -> dict[str, Any]:
        """For a record: the numbers, and their share of so many bytes of text."""
        return {**asdict(self), "share": round(self.bytes / text_bytes, 6) if text_bytes else 0.0}


@dataclass(frozen=True)
class Weighed:
    """Rows of one group, each pretoken once, and what `min_count` left out."""

    rows: CountRows
    dropped: Dropped


@kernel
def weigh_rows(
    data: np.ndarray,
    offsets: np.ndarray,
    groups: np.ndarray,
    counts: np.ndarray,
    scales: np.ndarray,
    min_count: int,
    places: np.ndarray,
    weighted: np.ndarray,
    dropped: np.ndarray,
) -> int:
    """Adds up the rows of each pretoken; returns how many pretokens are left, or `OVERFLOW`.

    Args:
        data, offsets, groups, counts: rows in order.
        scales: int64 (groups,), in units of 2^-20.
        min_count: pretokens of fewer are left out, before they are weighed.
        places, weighted: int64 (N,), filled with a row of each pretoken and its count.
        dropped: int64 (3,), pretokens left out, their counts and bytes; added to.
    """
    kept = 0
    row = 0
    rows = counts.shape[0]
    while row < rows:
        start = offsets[row]
        length = offsets[row + 1] - start
        first = row
        total = whole = part = np.int64(0)
        while row < rows:
            at = offsets[row]
            if row > first:
                if offsets[row + 1] - at != length:
                    break
                if not same_bytes(data, at, data, start, length):
                    break
            count = counts[row]
            if count > MOST - total:
                return OVERFLOW
            total += count
            scale = scales[groups[row]]
            upper = count >> BITS
            if scale > 0 and upper > MOST // scale:
                return OVERFLOW
            part += (count & (ONE - 1)) * scale
            carried = part >> BITS
            part &= ONE - 1
            if upper * scale > MOST - carried or upper * scale + carried > MOST - whole:
                return OVERFLOW
            whole += upper * scale + carried
            row += 1
        if total < min_count:
            dropped[0] += 1
            dropped[1] += total
            dropped[2] += total * length
            continue
        low, high = key_of(data, start, length)
        whole += (part + np.int64(hash_of(low, high, length) & np.uint64(ONE - 1))) >> BITS
        if whole < 0:
            return OVERFLOW
        if whole > 0:
            places[kept] = first
            weighted[kept] = whole
            kept += 1
    return kept


def weigh(rows: CountRows, scales: np.ndarray | None = None, min_count: int = 1) -> Weighed:
    """Each pretoken once, with the sum of its rows' counts times the scales of their groups.

    Args:
        rows: all rows of each of their pretokens.
        scales: int64 (groups,), as from `group_scales`; without it, counts are only added.
        min_count: a pretoken that was seen less often is left out.

    Raises UserError for a count past 2^63 - 1.
    """
    if scales is None:
        scales = np.full(int(rows.groups.max(initial=0)) + 1, ONE, np.int64)
    offsets, data = rows.buffers()
    places, weighted, dropped = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64), np.zeros(3, np.int64)
    groups, counts = read_only(rows.groups), read_only(rows.counts)
    kept = weigh_rows(data, offsets, groups, counts, read_only(scales), min_count, places, weighted, dropped)
    if kept == OVERFLOW:
        raise overflow()
    pretokens = rows.pretokens if kept == len(rows) else rows.pretokens.take(pa.array(places[:kept]))
    left_out = Dropped(*(int(number) for number in dropped))
    return Weighed(CountRows(pretokens, np.zeros(kept, np.int32), weighted[:kept].copy()), left_out)


def overflow() -> UserError:
    """The error of a count that 64 bits do not hold."""
    return UserError("a count exceeds 2^63 - 1", hint="count less text, or give smaller weights")
