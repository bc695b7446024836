"""Counting the pretokens of batch after batch, by group of documents, within a given memory limit.

A table (`table.py`) grows with the unique pretokens of the text, endlessly on an endless text. So it has a
bound: when the next growth would pass it, the rows are handed over, sorted, to be written to disk as a run, and the
table begins anew. How often that happens changes nothing in the result, since runs are merged by adding.

Memory, which the bound covers: for each unique pretoken 43 to 128 bytes of slots, half as much again while they grow,
and 88 bytes and twice the spelling for the rest, the most of which is taken while rows are sorted. Only a pretoken that
is larger than the bound passes it. The batch that is counted comes on top.
"""

from collections.abc import Callable
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.rows import CountRows, sorted_rows
from corpusmill.tokenizer.counting.table import ENTRY_SHIFT, GROUP_SHIFT, MOST_GROUPS, count_spans, move_slots
from corpusmill.tokenizer.keys import KEY_MASKS
from corpusmill.tokenizer.patterns import Pattern, pattern_named
from corpusmill.tokenizer.pretokens import pretoken_blocks, read_text

FIRST_SLOTS, LEAST_SLOTS = 1 << 16, 1 << 5
SLOT_BYTES, ENTRY_BYTES = 32, 88
UNBOUNDED = 1 << 62

Spill = Callable[[CountRows, list[str]], None]
"""Takes the rows of a full table and the names of their groups, ascending."""


class Counter:
    """Counts pretokens by group of documents. Not for two threads at once.

    Args:
        pattern: how text is cut.
        memory: most bytes of the table, its growth and its sorting included; counts only with `spill`.
        spill: takes the rows when the table is full.
        most_groups: more groups than this are a mistake of the user's.
    """

    def __init__(
        self,
        pattern: str | Pattern = "deepseek-v3",
        *,
        memory: int = UNBOUNDED,
        spill: Spill | None = None,
        most_groups: int = MOST_GROUPS,
    ) -> None:
        self.pattern = pattern_named(pattern)
        self._memory = memory if spill else UNBOUNDED
        self._spill = spill
        self._most_groups = min(most_groups, MOST_GROUPS)
        self._groups: dict[str, int] = {}
        slots = FIRST_SLOTS
        while slots > LEAST_SLOTS and 2 * _footprint(slots, slots // 2, 4 * slots) > self._memory:
            slots //= 2
        self._slots = np.zeros((slots, 4), np.uint64)
        self._offsets = np.zeros(slots // 2 + 1, np.int64)
        self._spellings = np.empty(4 * slots, np.uint8)
        self._entries = np.zeros(1, np.int64)

    @property
    def unique(self) -> int:
        """Unique pretokens in the table now, those of each group by themselves."""
        return int(self._entries[0])

    @property
    def memory_bytes(self) -> int:
        """Bytes that the table holds now."""
        return sum(array.nbytes for array in (self._slots, self._offsets, self._spellings))

    @property
    def group_names(self) -> list[str]:
        """The groups so far, ascending; [""] where documents have none."""
        return sorted(self._groups)

    def add_texts(self, texts: pa.Array, groups: pa.Array | None = None) -> None:
        """Counts the pretokens of documents: all of them, or none when it raises anything but a lack of memory.

        Args:
            texts: a string array without nulls.
            groups: the name of each document's group, strings of the same length; null is "".
        """
        pieces = [("", texts)] if groups is None else _by_group(texts, groups)
        numbers = [self._number(name) for name, _ in pieces]
        done = [0] * len(pieces)
        try:
            for place, (_, piece) in enumerate(pieces):
                offsets, data = read_text(piece)
                for start, ends in pretoken_blocks(offsets, data, self.pattern):
                    self._add(data, start, ends, numbers[place], 1)
                    done[place] += 1
        except BaseException:  # a panic of a library in Rust, too, which is no Exception
            for place, (_, piece) in enumerate(pieces):  # the same cuts again, up to the one that raised
                offsets, data = read_text(piece)
                for start, ends in islice(pretoken_blocks(offsets, data, self.pattern), done[place]):
                    self._add(data, start, ends, numbers[place], -1)
            raise

    def rows(self) -> CountRows:
        """The table's rows, groups numbered as in `group_names`; the counter may go on."""
        number = self.unique
        offsets = self._offsets[: number + 1]
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._spellings[: offsets[-1]])]
        pretokens = pa.LargeBinaryArray.from_buffers(pa.large_binary(), number, buffers)
        used = np.flatnonzero(self._slots[:, 2])
        marks = self._slots[used, 2]
        entries = (marks >> np.uint64(ENTRY_SHIFT)).astype(np.int64) - 1
        counts, groups = np.empty(number, np.int64), np.empty(number, np.int32)
        counts[entries] = self._slots[used, 3].astype(np.int64)
        group_numbers = (marks >> np.uint64(GROUP_SHIFT)).astype(np.int64) & (MOST_GROUPS - 1)
        groups[entries] = self._ranks()[group_numbers]
        return sorted_rows(pretokens, groups, counts)

    def hand_over(self) -> None:
        """Gives the rows to `spill`, even if there are none, and begins anew."""
        assert self._spill is not None
        self._spill(self.rows(), self.group_names)
        self._slots[:] = 0
        self._entries[0] = 0
        if _footprint(len(self._slots), len(self._offsets), len(self._spellings)) > self._memory:
            self._spellings = np.empty(4 * len(self._slots), np.uint8)

    def _number(self, name: str) -> int:
        if name not in self._groups and len(self._groups) >= self._most_groups:
            what = f"there are more than {self._most_groups} groups of documents ('{name}' is one more)"
            raise UserError(what, hint="group by a column with fewer values, or raise the limit")
        return self._groups.setdefault(name, len(self._groups))

    def _ranks(self) -> np.ndarray:
        """int32: number by order of appearance to number in `group_names`."""
        ranks = np.zeros(max(1, len(self._groups)), np.int32)
        for rank, name in enumerate(self.group_names):
            ranks[self._groups[name]] = rank
        return ranks

    def _add(self, data: np.ndarray, start: int, ends: np.ndarray, group: int, weight: int) -> None:
        while True:
            table = (KEY_MASKS, self._slots, self._offsets, self._spellings, self._entries)
            done = count_spans(data, start, ends, weight, group, *table)
            if done == len(ends):
                return
            if done:
                start, ends = int(ends[done - 1]), ends[done:]
            self._make_room(int(ends[0]) - start)

    def _make_room(self, length: int) -> None:
        """Room for one more pretoken of so many bytes at least: by growing, or else by handing the rows over."""
        full = self.unique + 1 >= len(self._offsets)
        if not (self._more_entries() if full else self._more_bytes(length)):
            self.hand_over()

    def _more_entries(self) -> bool:
        slots, entries = len(self._slots), len(self._offsets) - 1
        spelled = len(self._spellings)
        if entries > slots // 2:
            return False
        if _footprint(3 * slots, slots, spelled) <= self._memory:  # the old slots stay until the new ones are filled
            larger = np.zeros((2 * slots, 4), np.uint64)
            move_slots(self._slots, larger)
            self._slots, more = larger, slots
        elif _footprint(slots, slots // 4 * 3, spelled) <= self._memory:
            more = slots // 4 * 3
        else:
            return False
        self._offsets = _grown(self._offsets, more + 1)
        return True

    def _more_bytes(self, length: int) -> bool:
        needed = int(self._offsets[self.unique]) + length
        size = max(needed, len(self._spellings) // 2 * 3)
        fits = _footprint(len(self._slots), len(self._offsets), size) + len(self._spellings) <= self._memory
        if fits or not self.unique:
            self._spellings = _grown(self._spellings, size)
        return fits or not self.unique


def _footprint(slots: int, entries: int, spelled: int) -> int:
    return slots * SLOT_BYTES + entries * ENTRY_BYTES + 2 * spelled


def _grown(array: np.ndarray, size: int) -> np.ndarray:
    """A longer array that begins with this one; what is new is not initialised."""
    larger = np.empty(size, array.dtype)
    larger[: len(array)] = array
    return larger


def _by_group(texts: pa.Array, groups: pa.Array) -> list[tuple[str, pa.Array]]:
    names = pc.fill_null(groups.cast(pa.string()), "")
    distinct = pc.unique(names).to_pylist()
    if len(distinct) == 1:
        return [(distinct[0], texts)]
    return [(name, texts.filter(pc.equal(names, name))) for name in distinct]
