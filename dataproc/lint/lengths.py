"""Lengths of documents: a heap at one length, with next to nothing beyond it, is where somebody cut them.

A document's length is where its last segment ends. Lengths up to 2**20 are counted one by one (4 MiB). A limit in
characters leaves no such heap; one in tokens does.
"""

from collections.abc import Iterator

import numpy as np

from corpusmill.dataproc.lint.blocks import UNKNOWN, Block
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding, percent
from corpusmill.dataproc.lint.measures import Scanned, Totals

LONGEST = 1 << 20
SHORTEST_CUT = 32
"""Tokens: shorter documents share lengths by chance."""
FEWEST, LEAST_SHARE = 16, 0.005
OVER_NEIGHBOURS = 8.0
EMPTY_WARNING = 0.01


class Lengths:
    """Documents that were all cut at one length, and empty ones."""

    name = "document-lengths"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self.counts = np.zeros(LONGEST + 1, np.int32)
        self._eos = expected.special.eos if expected.special else None
        self._marks = bool(expected.bos) + (expected.eos is not False)

    def add(self, block: Block, scanned: Scanned) -> None:
        if not len(block.begin):
            return
        ended = block.start != UNKNOWN
        if self._eos is not None and self._expected.eos is not False:
            is_end = scanned.last == self._eos
            # A document without its end token counts where it breaks off: that is what a cut one looks like.
            stops = block.begin + block.length - block.begins[block.row] < block.sizes[block.row]
            ended = ended & (is_end | stops | (block.sizes[block.row] == block.length))
        reach = (block.start + block.length)[ended].clip(0, LONGEST)
        self.counts += np.bincount(reach, minlength=LONGEST + 1).astype(np.int32)

    def findings(self, totals: Totals) -> Iterator[Finding]:
        documents = int(self.counts.sum())
        if (empty := int(self.counts[: self._marks + 1].sum())) > EMPTY_WARNING * documents:
            yield Finding(
                check="empty-documents",
                severity="warning",
                seen=f"{percent(empty, documents)} of the documents hold no text",
                expected=f"under {EMPTY_WARNING:.0%}",
                hint="filter empty documents before packing",
            )
        length, count, beyond = cut_length(self.counts)
        if count:
            yield Finding(
                check=self.name,
                severity="error" if not beyond else "warning",
                seen=f"{count:,} of {documents:,} documents have {length:,} tokens exactly, and {beyond:,} are longer",
                expected="lengths that thin out",
                hint="documents were truncated before packing: tokenise them whole, packing cuts them without loss",
            )


def cut_length(counts: np.ndarray) -> tuple[int, int, int]:
    """(length, documents of it, documents beyond) where documents heap up and nearly all longer ones are missing;
    zeros where they don't. `counts`: documents by length."""
    documents = int(counts.sum())
    lengths = np.flatnonzero(counts)
    lengths = lengths[lengths >= SHORTEST_CUT]
    if not len(lengths):
        return 0, 0, 0
    here = counts[lengths].astype(np.int64)
    beyond = here.sum() - np.cumsum(here)
    heaps = np.flatnonzero((here >= max(FEWEST, LEAST_SHARE * documents)) & (here > 4 * beyond))
    for number in heaps.tolist():
        length, count = int(lengths[number]), int(here[number])
        below = counts[int(0.8 * length) : length]
        if len(below) and count > OVER_NEIGHBOURS * max(1.0, float(below.mean())):
            return length, count, int(beyond[number])
    return 0, 0, 0
