"""Entropy of ids, shard by shard: constant and random ids stand out from text.

In bits a token, of the ids by themselves. Text in a vocabulary of 8,000 to 130,000 has 8 to 12 (docs/lint.md); a
constant shard 0, uniform ids the logarithm of the vocabulary. Shards of one group are also compared with each other, by
their median; groups are different on purpose.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding, Severity
from corpusmill.dataproc.lint.measures import Scanned, Totals

LEAST_BITS = 2.0
UNIFORM = 0.95
"""Share of the entropy that uniform ids would have, from which a shard is taken for random."""
FEWEST_TOKENS = 4096
FEWEST_SHARDS = 4
OUTLIER_BITS, OUTLIER_DEVIATIONS = 2.5, 6.0


@dataclass(frozen=True)
class ShardEntropy:
    """One shard: its tokens, bits a token, and how many different ids it has."""

    shard: str
    group: str
    tokens: int
    bits: float
    distinct: int


def entropy_bits(counts: np.ndarray) -> float:
    """Entropy of a histogram, in bits."""
    positive = counts[counts > 0].astype(np.float64)
    total = positive.sum()
    return float(np.log2(total) - (positive * np.log2(positive)).sum() / total) if total else 0.0


class Entropy:
    """Shards whose ids are constant, random, or unlike those of their neighbours."""

    name = "entropy"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self.shards: list[ShardEntropy] = []
        self._counts = np.zeros(expected.vocab_size + 1, np.int64)
        self._shard = ""

    def add(self, block: Block, scanned: Scanned) -> None:
        if block.shard != self._shard:
            self._close()
            self._shard, self._group = block.shard, block.group
        self._counts += scanned.counts

    def _close(self) -> None:
        tokens = int(self._counts.sum())
        if tokens:
            distinct = int(np.count_nonzero(self._counts))
            entry = ShardEntropy(self._shard, self._group, tokens, round(entropy_bits(self._counts), 4), distinct)
            self.shards.append(entry)
            self._counts[:] = 0

    def findings(self, totals: Totals) -> Iterator[Finding]:
        self._close()
        large = [shard for shard in self.shards if shard.tokens >= FEWEST_TOKENS]
        if constant := [shard for shard in large if shard.bits < LEAST_BITS]:
            yield self._finding("error", constant, f"under {LEAST_BITS:g} bits a token: nearly constant ids")
        vocabulary = self._expected.vocab_size
        if self._expected.names_vocabulary:
            random = [
                one
                for one in large
                if one.tokens >= vocabulary and one.bits > UNIFORM * uniform_bits(one.tokens, vocabulary)
            ]
            if random:
                yield self._finding(
                    "error", random, f"nearly the {np.log2(vocabulary):.1f} bits of uniform ids: random ids"
                )
        for group in sorted({shard.group for shard in large}):
            yield from self._outliers([shard for shard in large if shard.group == group])

    def _outliers(self, shards: list[ShardEntropy]) -> Iterator[Finding]:
        if len(shards) < FEWEST_SHARDS:
            return
        bits = np.array([shard.bits for shard in shards])
        median = float(np.median(bits))
        limit = max(OUTLIER_BITS, OUTLIER_DEVIATIONS * float(np.median(np.abs(bits - median))))
        far = [shard for shard in shards if abs(shard.bits - median) > limit and shard.bits >= LEAST_BITS]
        if far:
            yield self._finding("warning", far, f"far from the {median:.2f} bits of the group's other shards")

    def _finding(self, severity: Severity, shards: list[ShardEntropy], seen: str) -> Finding:
        named = [f"{shard.shard} ({shard.bits:.2f} bits)" for shard in shards[:3]]
        hint = "look at a sequence of it: corpusmill inspect show"
        seen = f"{len(shards):,} shards have {seen}"
        return Finding(
            check=self.name, severity=severity, seen=seen, expected="the entropy of text", hint=hint, where=named
        )


def uniform_bits(tokens: int, vocabulary: int) -> float:
    """What uniform ids have in a sample of so many, to first order (Miller and Madow)."""
    return float(np.log2(vocabulary) - (vocabulary - 1) / (2 * tokens * np.log(2)))
