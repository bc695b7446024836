"""Merging any number of sorted runs of counts into one, in memory that does not follow their size.

Each run has a small buffer; a heap of the buffers' first rows says which row comes next, and rows of the same pretoken
and group are added up as they come. When a buffer runs empty, the kernel returns and the next batch is copied in; when
the output is full, it is handed on. What is seen less often than `min_count`, over all runs and groups, is left out
here, where for the first time the whole count is known.

Cost: 0.1 us a row for some ten runs. Memory: some 0.2 MB for each run, and 4 MB; more only where single pretokens are
larger than that.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.tokenizer.counting.byte_order import compare_beyond, prefix_of
from corpusmill.tokenizer.counting.rows import CountRows
from corpusmill.tokenizer.counting.weighing import MOST, Dropped, overflow

BUFFER_ROWS, BUFFER_BYTES = 1 << 12, 1 << 16
OUTPUT_ROWS, OUTPUT_BYTES = 1 << 16, 1 << 20

SAFE = 1 << 31
"""Numbers up to it are multiplied without a look: dividing to find out takes longer than all else that a row needs."""

DONE, FULL, OVERFLOW = -1, -2, -3
"""What the kernel says other than the number of the run whose buffer is empty."""

STARTED, HEAP, REFILLED, ROWS, WORD, KEPT, UNIQUE, PRETOKENS, BYTES = range(9)
"""Places in its state: whether it began; runs in the heap; the top was refilled; rows of output; the first of them of
the pretoken at hand; pretokens kept; of those left out: how many, how often they occur, their bytes."""


@kernel_step
def comes_first(
    left: int, right: int, data: np.ndarray, offsets: np.ndarray, groups: np.ndarray, heads: np.ndarray
) -> bool:
    """Whether the first row of run `left` comes before that of run `right`, of the same prefix; equal ones: either."""
    one, other = heads[left], heads[right]
    start, at = offsets[left, one], offsets[right, other]
    order = compare_beyond(data, start, offsets[left, one + 1], data, at, offsets[right, other + 1])
    return order < 0 or (order == 0 and groups[left, one] < groups[right, other])


@kernel_step
def sift(
    place: int,
    size: int,
    heap: np.ndarray,
    prefixes: np.ndarray,
    data: np.ndarray,
    offsets: np.ndarray,
    groups: np.ndarray,
    heads: np.ndarray,
) -> None:
    """Moves a run down the heap to where it belongs."""
    run = heap[place]
    own = prefixes[run]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        first = prefixes[heap[child]]
        if child + 1 < size:
            second = prefixes[heap[child + 1]]
            if second < first or (
                second == first and comes_first(heap[child + 1], heap[child], data, offsets, groups, heads)
            ):
                child += 1
                first = second
        if first > own or (first == own and not comes_first(heap[child], run, data, offsets, groups, heads)):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = run


@kernel_step
def close_word(
    state: np.ndarray,
    out_offsets: np.ndarray,
    out_groups: np.ndarray,
    out_counts: np.ndarray,
    totals: np.ndarray,
    min_count: int,
) -> bool:
    """Ends the pretoken at hand: adds it to its groups' totals, takes it back if it is too rare. False: overflow."""
    first, rows = state[WORD], state[ROWS]
    length = out_offsets[first + 1] - out_offsets[first] if rows > first else 0
    kept = first
    total = np.int64(0)
    for row in range(first, rows):
        count = out_counts[row]
        if count == 0:  # counted and taken back
            continue
        out_groups[kept] = out_groups[row]
        out_counts[kept] = count
        kept += 1
        group = out_groups[row]
        if (count > SAFE or length > SAFE) and count > MOST // length:
            return False
        if count > MOST - total or count > MOST - totals[group, 0] or count * length > MOST - totals[group, 1]:
            return False
        total += count
        totals[group, 0] += count
        totals[group, 1] += count * length
    if kept > first and total < min_count:
        state[UNIQUE] += 1
        state[PRETOKENS] += total
        state[BYTES] += total * length
        kept = first
    state[KEPT] += kept > first
    state[ROWS] = state[WORD] = kept
    return True


@kernel
def merge_some(
    data: np.ndarray,
    offsets: np.ndarray,
    groups: np.ndarray,
    counts: np.ndarray,
    sizes: np.ndarray,
    heads: np.ndarray,
    prefixes: np.ndarray,
    heap: np.ndarray,
    out_data: np.ndarray,
    out_offsets: np.ndarray,
    out_groups: np.ndarray,
    out_counts: np.ndarray,
    totals: np.ndarray,
    min_count: int,
    state: np.ndarray,
) -> int:
    """Merges until a buffer is empty (returns the run's number), the output is full, all is done or a sum overflows.

    Args:
        data: uint8, the runs' buffers; offsets: int64 (runs, rows + 1) into it.
        groups, counts: int32 and int64 (runs, rows).
        sizes, heads: int64 (runs,), rows in a buffer, and the next one of them.
        prefixes, heap: uint64 and int64 (runs,), the kernel's own.
        out_data, out_offsets, out_groups, out_counts: the output.
        totals: int64 (groups, 2): pretokens and bytes, what is left out included; added to.
        state: int64 (9,).
    """
    if state[STARTED] == 0:
        state[STARTED] = 1
        for run in range(sizes.shape[0]):
            if sizes[run] > 0:
                prefixes[run] = prefix_of(data, offsets[run, 0], offsets[run, 1])
                heap[state[HEAP]] = run
                state[HEAP] += 1
        for place in range(state[HEAP] // 2 - 1, -1, -1):
            sift(place, state[HEAP], heap, prefixes, data, offsets, groups, heads)
    elif state[REFILLED] == 1:
        run = heap[0]
        if sizes[run] == 0:
            state[HEAP] -= 1
            heap[0] = heap[state[HEAP]]
        else:
            prefixes[run] = prefix_of(data, offsets[run, 0], offsets[run, 1])
        if state[HEAP] > 0:
            sift(0, state[HEAP], heap, prefixes, data, offsets, groups, heads)
    state[REFILLED] = 0
    rows = state[ROWS]
    last = prefix_of(out_data, out_offsets[rows - 1], out_offsets[rows]) if rows > 0 else np.uint64(0)
    while state[HEAP] > 0:
        run = heap[0]
        row = heads[run]
        start = offsets[run, row]
        end = offsets[run, row + 1]
        rows = state[ROWS]
        same = False  # as the last row of output
        if rows > state[WORD]:
            at = out_offsets[rows - 1]
            same = last == prefixes[run] and compare_beyond(data, start, end, out_data, at, out_offsets[rows]) == 0
        if same and out_groups[rows - 1] == groups[run, row]:
            before, count = out_counts[rows - 1], counts[run, row]
            if before > 0 and count > MOST - before:
                return OVERFLOW
            out_counts[rows - 1] = before + count
        else:
            if not same:
                if not close_word(state, out_offsets, out_groups, out_counts, totals, min_count):
                    return OVERFLOW
                rows = state[ROWS]
            write = out_offsets[rows]
            if rows == out_counts.shape[0] or write + end - start > out_data.shape[0]:
                return FULL
            for place in range(end - start):
                out_data[write + place] = data[start + place]
            out_offsets[rows + 1] = write + end - start
            out_groups[rows] = groups[run, row]
            out_counts[rows] = counts[run, row]
            state[ROWS] = rows + 1
            last = prefixes[run]
        heads[run] = row + 1
        if row + 1 == sizes[run]:
            state[REFILLED] = 1
            return run
        prefixes[run] = prefix_of(data, end, offsets[run, row + 2])
        if state[HEAP] > 1:
            sift(0, state[HEAP], heap, prefixes, data, offsets, groups, heads)
    if not close_word(state, out_offsets, out_groups, out_counts, totals, min_count):
        return OVERFLOW
    return DONE


class CountMerge:
    """Iterating over it gives the merged rows, in order; all rows of a pretoken are in one piece.

    Args:
        runs: of each, pieces of rows in order, and for each number of a group in them its number in the result
            (int32, ascending).
        groups: how many groups there are in the result.
        min_count: a pretoken that all runs together have less often is left out.

    Attributes:
        totals: int64 (groups, 2), pretokens and bytes of each group, with what was left out; whole at the end.

    Raises UserError for a sum past 2^63 - 1.
    """

    def __init__(self, runs: Sequence[tuple[Iterable[CountRows], np.ndarray]], groups: int, min_count: int = 1) -> None:
        self.totals = np.zeros((max(1, groups), 2), np.int64)
        self._min_count = min_count
        self._sources = [_pieces(rows) for rows, _ in runs]
        self._numbers = [numbers for _, numbers in runs]
        number = len(runs)
        self._width = BUFFER_BYTES
        self._data = np.empty(number * BUFFER_BYTES, np.uint8)
        self._offsets = np.zeros((number, BUFFER_ROWS + 1), np.int64)
        self._groups = np.zeros((number, BUFFER_ROWS), np.int32)
        self._counts = np.zeros((number, BUFFER_ROWS), np.int64)
        self._sizes, self._heads = np.zeros(number, np.int64), np.zeros(number, np.int64)
        self._prefixes, self._heap = np.zeros(number, np.uint64), np.zeros(number, np.int64)
        rows = max(OUTPUT_ROWS, 2 * groups)  # all rows of a pretoken must fit
        self._out_data = np.empty(OUTPUT_BYTES, np.uint8)
        self._out_offsets = np.zeros(rows + 1, np.int64)
        self._out_groups, self._out_counts = np.zeros(rows, np.int32), np.zeros(rows, np.int64)
        self._state = np.zeros(9, np.int64)

    @property
    def unique(self) -> int:
        """Different pretokens that were given."""
        return int(self._state[KEPT])

    @property
    def dropped(self) -> Dropped:
        """What was left out."""
        return Dropped(*(int(self._state[place]) for place in (UNIQUE, PRETOKENS, BYTES)))

    def __iter__(self) -> Iterator[CountRows]:
        for run in range(len(self._sources)):
            self._refill(run)
        while (said := self._merge_some()) != DONE:
            if said == OVERFLOW:
                raise overflow()
            if said >= 0:
                self._refill(said)
            elif self._state[WORD]:
                yield self._handed_on()
            else:
                self._out_data = np.concatenate([self._out_data, np.empty_like(self._out_data)])
        if self._state[ROWS]:
            yield self._handed_on()

    def _merge_some(self) -> int:
        return merge_some(
            *(self._data, self._offsets, self._groups, self._counts, self._sizes, self._heads),
            *(self._prefixes, self._heap, self._out_data, self._out_offsets, self._out_groups, self._out_counts),
            *(self.totals, self._min_count, self._state),
        )

    def _refill(self, run: int) -> None:
        piece = next(self._sources[run], None)
        self._heads[run] = self._sizes[run] = 0
        if piece is None:
            return
        offsets, data = piece.buffers()
        needed = int(offsets[-1] - offsets[0])
        while needed > self._width:
            self._widen()
        size, base = len(piece), run * self._width
        self._data[base : base + needed] = data[offsets[0] : offsets[-1]]
        self._offsets[run, : size + 1] = offsets - (offsets[0] - base)
        self._groups[run, :size] = self._numbers[run][piece.groups]
        self._counts[run, :size] = piece.counts
        self._sizes[run] = size

    def _widen(self) -> None:
        """Buffers of twice the bytes, for a pretoken that is larger than one."""
        number = len(self._sources)
        wider = np.empty((number, 2 * self._width), np.uint8)
        wider[:, : self._width] = self._data.reshape(number, self._width)
        self._data = wider.reshape(-1)
        self._offsets += (np.arange(number) * self._width)[:, None]
        self._width *= 2

    def _handed_on(self) -> CountRows:
        """The rows of pretokens that are done; what there is of the one at hand moves to the front."""
        done, rows = int(self._state[WORD]), int(self._state[ROWS])
        end, last = int(self._out_offsets[done]), int(self._out_offsets[rows])
        buffers: list[Any] = [
            None,
            pa.py_buffer(self._out_offsets[: done + 1].tobytes()),
            pa.py_buffer(self._out_data[:end].tobytes()),
        ]
        pretokens = pa.LargeBinaryArray.from_buffers(pa.large_binary(), done, buffers)
        given = CountRows(pretokens, self._out_groups[:done].copy(), self._out_counts[:done].copy())
        left = rows - done
        self._out_data[: last - end] = self._out_data[end:last].copy()
        self._out_offsets[: left + 1] = self._out_offsets[done : rows + 1] - end
        self._out_groups[:left] = self._out_groups[done:rows].copy()
        self._out_counts[:left] = self._out_counts[done:rows].copy()
        self._state[ROWS], self._state[WORD] = left, 0
        return given


def _pieces(parts: Iterable[CountRows]) -> Iterator[CountRows]:
    """Pieces that fit a buffer, as long as no pretoken is larger."""
    for part in parts:
        offsets, _ = part.buffers()
        first = 0
        while first < len(part):
            fits = int(np.searchsorted(offsets, offsets[first] + BUFFER_BYTES, side="right")) - 1
            last = max(first + 1, min(fits, first + BUFFER_ROWS))
            yield part.slice(first, last - first)
            first = last


def group_numbers(names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """int32: the place in `wanted` of each name; both ascending."""
    places = {name: place for place, name in enumerate(wanted)}
    return np.array([places[name] for name in names], np.int32)
