"""All checks over one set: blocks go in, findings come out, the gravest first.

linter = Linter(expected)
for block in blocks:
    linter.add(block)
report = linter.report()
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.ends import BeginTokens, EndTokens
from corpusmill.dataproc.lint.entropy import Entropy, ShardEntropy, entropy_bits
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import SEVERITIES, Finding
from corpusmill.dataproc.lint.identity import Identity
from corpusmill.dataproc.lint.lengths import Lengths
from corpusmill.dataproc.lint.markers import Markers
from corpusmill.dataproc.lint.measures import Check, Totals, scanned_block
from corpusmill.dataproc.lint.repeats import Repeats
from corpusmill.dataproc.lint.shares import Padding, TokenShares
from corpusmill.dataproc.lint.sources import Sources
from corpusmill.dataproc.lint.texts import Texts

CHECKS = (Identity, BeginTokens, EndTokens, Texts, Entropy, TokenShares, Padding, Markers, Lengths, Repeats, Sources)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What lint says of a set.

    Attributes:
        findings: errors first, then warnings, then notes.
        totals: of the set.
        shards: entropy of each.
        bits: entropy of all ids together.
    """

    findings: Sequence[Finding]
    totals: Totals
    shards: Sequence[ShardEntropy]
    bits: float

    @property
    def severities(self) -> Counter[str]:
        """How many findings there are of each severity."""
        return Counter(finding.severity for finding in self.findings)

    def to_values(self) -> dict[str, Any]:
        """Findings and totals, as JSON has them."""
        totals, severities = self.totals, self.severities
        return {
            "sequences": totals.sequences,
            "tokens": totals.tokens,
            "documents": totals.documents,
            "padding": totals.padding,
            "bits_per_token": self.bits,
            "errors": severities["error"],
            "warnings": severities["warning"],
            "notes": severities["note"],
            "findings": [finding.to_values() for finding in self.findings],
        }


class Linter:
    """Takes the blocks of a set in order, each once."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self.totals = Totals(np.zeros(expected.vocab_size + 1, np.int64))
        self._entropy = Entropy(expected)
        self._checks: list[Check] = [
            self._entropy if kind is Entropy else kind(expected)  # type: ignore[abstract]
            for kind in CHECKS
        ]

    def add(self, block: Block) -> None:
        """Looks at a block."""
        scanned = scanned_block(block, self._expected.vocab_size)
        self.totals.add(block, scanned)
        for check in self._checks:
            check.add(block, scanned)

    def report(self, more: Sequence[Finding] = ()) -> Report:
        """What was found, with what others found of the same set."""
        findings = [*more, *(finding for check in self._checks for finding in check.findings(self.totals))]
        findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
        bits = round(entropy_bits(self.totals.counts), 4)
        return Report(findings=findings, totals=self.totals, shards=self._entropy.shards, bits=bits)
