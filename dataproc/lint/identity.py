"""Whose ids these are: outside of the vocabulary, of a smaller one, or of another width or byte order.

Ids written as one type and read as another have shapes of their own. 32 bits read as 16: every second id is the same, 0
in a small vocabulary. 16 read as 32: an id is two that the vocabulary has, one above the other. The wrong byte order:
swapped back, all are in the vocabulary. A sample of each shard's beginning shows it. What stays inside of the
vocabulary is `dataproc.lint.texts`' to find.
"""

from collections.abc import Iterator

import numpy as np

from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding, Tally, percent
from corpusmill.dataproc.lint.measures import Scanned, Totals

SAMPLE = 1 << 16
MOST_SHAPES = 64
LEAST_OUTSIDE = 0.02
"""Share of ids outside of the vocabulary from which a byte order is suspected."""
ENOUGH_TOKENS = 50
"""Tokens for each id of the vocabulary, after which its upper part should have been met."""
UPPER = 0.6


class Identity:
    """Ids that the tokenizer does not have, and what may have happened to them."""

    name = "vocabulary"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._outside = Tally()
        self._shapes: dict[str, list[str]] = {}
        self._seen: set[str] = set()

    def add(self, block: Block, scanned: Scanned) -> None:
        if (count := int(scanned.counts[-1])) and self._expected.names_vocabulary:
            self._outside.add(count, block.shard, block.places(np.flatnonzero(scanned.outside)))
        if block.shard in self._seen or len(self._seen) >= MOST_SHAPES:
            return
        self._seen.add(block.shard)
        vocabulary = self._expected.vocab_size if self._expected.names_vocabulary else 0
        if shape := id_shape(block.tokens[:SAMPLE], vocabulary):
            self._shapes.setdefault(shape, []).append(block.shard)

    def findings(self, totals: Totals) -> Iterator[Finding]:
        for shape, shards in self._shapes.items():
            yield Finding(
                check="dtype",
                severity="error",
                seen=f"{shape}, in {len(shards):,} of the {len(self._seen):,} files looked at",
                expected="ids of the type that they were written as, little-endian",
                hint="read the file again with the type that wrote it",
                where=shards[:3],
            )
        if self._outside.count:
            yield Finding(
                check=self.name,
                severity="error",
                seen=f"{self._outside.count:,} ids ({percent(self._outside.count, totals.tokens)}) are outside of it",
                expected=f"ids below {self._expected.vocab_size:,}",
                hint="name the tokenizer that produced these ids, or tokenise again",
                where=self._outside.where,
            )
        yield from self._smaller(totals)

    def _smaller(self, totals: Totals) -> Iterator[Finding]:
        vocabulary = self._expected.vocab_size
        if not self._expected.names_vocabulary or totals.tokens < ENOUGH_TOKENS * vocabulary:
            return
        counts = totals.counts[:-1].copy()
        special = self._expected.special
        roles = [one for one in vars(special).values() if one is not None and one < vocabulary] if special else []
        counts[roles] = 0
        highest = int(np.flatnonzero(counts).max(initial=0))
        if highest < UPPER * vocabulary:
            yield Finding(
                check=self.name,
                severity="warning",
                seen=f"no id above {highest:,} in {totals.tokens:,} tokens",
                expected=f"ids from all of a vocabulary of {vocabulary:,}",
                hint="these may be the ids of a smaller tokenizer",
            )


def id_shape(tokens: np.ndarray, vocab_size: int) -> str:
    """What a wrong type has made of ids, in words; "" where they look like ids.

    Args:
        tokens: int32 (T,), a stretch as it lies.
        vocab_size: 0 where it is not known; then only what needs no vocabulary is looked for.
    """
    if len(tokens) < 64:
        return ""
    values, counts = np.unique(tokens, return_counts=True)
    common = values[counts.argmax()]
    is_common = tokens == common
    other = ~is_common[:-1]
    alternates = other.any() and is_common[1:][other].mean() > 0.95
    if alternates and 0.4 < is_common.mean() < 0.6 and len(values) > 8:
        return f"every second id is {common}: 32 bits a token, read as 16"
    if not vocab_size:
        return ""
    outside = (tokens < 0) | (tokens >= vocab_size)
    if outside.mean() < LEAST_OUTSIDE:
        return ""
    wide = tokens.view(np.uint32)
    low, high = wide & 0xFFFF, wide >> 16
    if (((low < vocab_size) & (high < vocab_size)) | ~outside).all() and outside.mean() > 0.5 and vocab_size <= 1 << 16:
        text = low[outside]
        if len(np.unique(text)) > 8:
            return "ids are two of the vocabulary, one above the other: 16 bits a token, read as 32"
    if (wide < 1 << 16).all() and (wide.astype(np.uint16).byteswap() < vocab_size).mean() > 0.999:
        return "ids are in the vocabulary once their two bytes are swapped: the wrong byte order"
    if (wide.byteswap() < vocab_size).mean() > 0.999:
        return "ids are in the vocabulary once their four bytes are swapped: the wrong byte order"
    return ""
