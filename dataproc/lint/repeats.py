"""Sequences that repeat: hashes of all of them, exact up to 2**23 sequences and from there on a share of them by hash.

A sequence is its 64-bit hash. All hashes are kept until there are `MOST_SEQUENCES`; then those in the upper half of the
range are dropped, and so on: what is kept depends on the sequences alone, and a repeat is kept with its twin. So memory
is bounded (24 bytes a sequence, 192 MiB, and as much while they are sorted), and a set of 2**30 sequences is judged by
every 128th.

The same stretch of the same document twice is a shard that was written twice. Equal text under two ids is what
de-duplication would have removed; that is a note, or a warning where it is much. A shard most of which stands in
another is a copy of it.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding, Severity, percent
from corpusmill.dataproc.lint.measures import Scanned, Totals
from corpusmill.dataproc.randomness import random_keys

MOST_SEQUENCES = 1 << 23
SAME_TEXT_WARNING = 0.05
COPY, FEWEST_OF_COPY = 0.5, 8
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Repeats:
    """Sequences that stand in the set twice."""

    name = "repeats"

    def __init__(self, expected: Expected, most: int = MOST_SEQUENCES) -> None:
        self._expected, self._most = expected, most
        self._kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._size, self.level = 0, 0
        self._shards: list[tuple[str, int]] = []  # name, number of the first sequence
        self._next = 0

    def add(self, block: Block, scanned: Scanned) -> None:
        if not self._shards or self._shards[-1][0] != block.shard:
            self._shards.append((block.shard, self._next - block.first))
        numbers = np.arange(self._next, self._next + len(block), dtype=np.int64)
        self._next += len(block)
        text = block.used > 0
        self._keep(_places(block)[text], scanned.hashes[text], numbers[text])

    def _keep(self, places: np.ndarray, hashes: np.ndarray, numbers: np.ndarray) -> None:
        here = hashes <= self._limit
        self._kept.append((hashes[here], numbers[here], places[here]))
        self._size += int(here.sum())
        while self._size > self._most:
            self.level += 1
            self._kept = [tuple(array[kept[0] <= self._limit] for array in kept) for kept in self._kept]  # type: ignore[misc]
            self._size = sum(len(kept[0]) for kept in self._kept)

    @property
    def _limit(self) -> np.uint64:
        return np.uint64((1 << (64 - self.level)) - 1)

    def findings(self, totals: Totals) -> Iterator[Finding]:
        if self._size < 2:
            return
        hashes, numbers, places = (np.concatenate([kept[column] for kept in self._kept]) for column in range(3))
        order = np.lexsort((numbers, places, hashes))
        hashes, numbers, places = hashes[order], numbers[order], places[order]
        again = np.append(False, hashes[1:] == hashes[:-1])
        if not again.any():
            return
        known = places != 0
        same_place = again & known & np.append(False, (places[1:] == places[:-1]))
        scale = 1 << self.level
        copies = self._copies(hashes, numbers, again)
        if same_place.any():
            count = int(same_place.sum()) * scale
            seen = f"{count:,} sequences hold the same stretches of the same documents as another"
            yield self._finding("error", seen, self._where(numbers[same_place]), "remove what was written twice")
        elif copies:
            names = [f"{name} ({share:.0%})" for name, share in copies[:3]]
            seen = f"most of {len(copies):,} shards stands in others, too"
            yield self._finding("error", seen, names, "remove the copies")
        rest = int((again & ~same_place).sum()) * scale
        if rest and not copies:
            much = rest > SAME_TEXT_WARNING * totals.sequences
            seen = f"{percent(rest, totals.sequences)} of the sequences ({rest:,}) repeat the text of another"
            hint = "de-duplicate the documents (corpusmill dedup), unless they are repeated on purpose"
            yield self._finding("warning" if much else "note", seen, self._where(numbers[again & ~same_place]), hint)

    def _copies(self, hashes: np.ndarray, numbers: np.ndarray, again: np.ndarray) -> list[tuple[str, float]]:
        """(name, share) of shards most of whose sequences stand in an earlier shard, too."""
        firsts = np.array([first for _, first in self._shards], np.int64)
        shard = np.searchsorted(firsts, numbers, side="right") - 1
        run = np.cumsum(~again) - 1
        first_shard = np.minimum.reduceat(shard, np.flatnonzero(~again))[run]
        elsewhere = np.bincount(shard[again & (shard != first_shard)], minlength=len(firsts))
        all_of = np.bincount(shard, minlength=len(firsts))
        bad = np.flatnonzero((elsewhere > COPY * all_of) & (all_of >= FEWEST_OF_COPY))
        return [(self._shards[number][0], elsewhere[number] / all_of[number]) for number in bad.tolist()]

    def _where(self, numbers: np.ndarray) -> list[str]:
        firsts = np.array([first for _, first in self._shards], np.int64)
        places = []
        for number in np.sort(numbers)[:3].tolist():
            at = int(np.searchsorted(firsts, number, side="right")) - 1
            places.append(f"{self._shards[at][0]} sequence {number - firsts[at]}")
        return places

    def _finding(self, severity: Severity, seen: str, where: list[str], hint: str) -> Finding:
        wanted = "every sequence once"
        return Finding(check=self.name, severity=severity, seen=seen, expected=wanted, hint=hint, where=where)


def _places(block: Block) -> np.ndarray:
    """uint64 (N,): a hash of the stretch of a document that a sequence begins with; 0 where the format has no ids."""
    out = np.zeros(len(block), np.uint64)
    if block.documents is None or not len(block.begin):
        return out
    head = np.flatnonzero(np.append(True, block.row[1:] != block.row[:-1]))
    keys = random_keys(0, "lint", block.documents.take(pa.array(head)))
    with np.errstate(over="ignore"):
        out[block.row[head]] = ((keys + block.start[head].astype(np.uint64)) * _MIX) | np.uint64(1)
    return out
