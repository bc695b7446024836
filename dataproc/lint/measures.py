"""One pass over a set: each block is scanned once, and every check takes from it what it needs.

Memory: a block (4 MiB of tokens of a shard, 16 of a foreign file) and its segments, 8 bytes an id of the vocabulary for
the set and for one shard, 4 MiB of lengths, and 16 bytes a sequence up to `dataproc.lint.repeats.MOST_SEQUENCES`.
Nothing grows with the corpus but a line for each shard.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.counting import scan
from corpusmill.dataproc.lint.findings import Finding


@dataclass(frozen=True)
class Scanned:
    """What the kernel and the ends of segments give of a block.

    Attributes:
        counts: int64 (V + 1,), how often each id stands in sequences, padding left out; the last are ids outside.
        hashes: uint64 (N,) of the sequences. outside: int64 (N,), ids outside of the vocabulary.
        head, last: int32 (G,), first and last token of each segment.
    """

    counts: np.ndarray
    hashes: np.ndarray
    outside: np.ndarray
    head: np.ndarray
    last: np.ndarray


@dataclass
class Totals:
    """What the set holds.

    Attributes:
        sequences, tokens, padding, segments: counts; tokens without padding.
        documents: those whose first token is there, or where nothing says that, those that end.
        counts: int64 (V + 1,), as in `Scanned`.
    """

    counts: np.ndarray
    sequences: int = 0
    tokens: int = 0
    padding: int = 0
    segments: int = 0
    documents: int = 0
    sources: dict[str, int] = field(default_factory=dict)

    def add(self, block: Block, scanned: Scanned) -> None:
        """Counts a block."""
        used = int(block.used.sum())
        self.sequences += len(block)
        self.tokens += used
        self.padding += int(block.sizes.sum()) - used
        self.segments += len(block.begin)
        self.documents += int((block.start == 0).sum())
        self.counts += scanned.counts
        count_sources(block, self.sources)


def count_sources(block: Block, sources: dict[str, int]) -> None:
    """Adds a block's tokens by source."""
    if block.sources is None or not len(block.begin):
        return
    coded = block.sources.dictionary_encode()
    tokens = np.bincount(coded.indices.to_numpy(), block.length, len(coded.dictionary)).astype(np.int64)
    for name, count in zip(coded.dictionary.to_pylist(), tokens.tolist(), strict=True):
        sources[name] = sources.get(name, 0) + count


class Check(Protocol):
    """A check: takes blocks, in any number, and then says what it found."""

    def add(self, block: Block, scanned: Scanned) -> None:
        """Looks at a block."""

    def findings(self, totals: Totals) -> Iterator[Finding]:
        """What is wrong, when all blocks were seen."""


def scanned_block(block: Block, vocab_size: int) -> Scanned:
    """A block, looked at once."""
    counts, hashes, outside = scan(block.tokens, block.begins, block.used, vocab_size)
    if not len(block.begin):
        return Scanned(counts, hashes, outside, np.zeros(0, np.int32), np.zeros(0, np.int32))
    most = len(block.tokens) - 1
    head = block.tokens[np.minimum(block.begin, most)]
    last = block.tokens[np.minimum(block.begin + np.maximum(block.length, 1) - 1, most)]
    return Scanned(counts, hashes, outside, head, last)
