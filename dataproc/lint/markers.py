"""Markers of fill-in-the-middle: one of each in every rearranged document, none in others, as many as were asked for.

The segments say which documents were rearranged; a foreign set has its markers alone, and then there must be as many of
each of the three.
"""

from collections.abc import Iterator

import numpy as np

from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding, percent
from corpusmill.dataproc.lint.measures import Scanned, Totals

FEWEST_DOCUMENTS = 500
DEVIATIONS = 6.0


class Markers:
    """FIM markers against the documents that were rearranged, and their share against the setting."""

    name = "fim"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._rearranged = self._begun = 0

    def add(self, block: Block, scanned: Scanned) -> None:
        begins = block.start == 0
        self._begun += int(begins.sum())
        self._rearranged += int((begins & block.fim).sum())

    def findings(self, totals: Totals) -> Iterator[Finding]:
        expected, markers = self._expected, self._expected.markers
        if not markers or max(markers) >= expected.vocab_size or not expected.whole:
            return
        counts = [int(totals.counts[marker]) for marker in markers]
        if len(set(counts)) > 1 or (expected.ours and counts[0] != self._rearranged):
            documents = f", {self._rearranged:,} documents are rearranged" if expected.ours else ""
            yield Finding(
                check=self.name,
                severity="error",
                seen=f"{counts[0]:,}, {counts[1]:,} and {counts[2]:,} markers of begin, hole and end{documents}",
                expected="one of each in every rearranged document",
                hint="documents were cut after they were rearranged, or these are not its markers: pack again",
            )
        rate, share = expected.fim_rate, self._rearranged / max(self._begun, 1)
        if not expected.ours or rate is None or self._begun < FEWEST_DOCUMENTS:
            return
        slack = DEVIATIONS * float(np.sqrt(max(rate * (1 - rate), 1e-9) / self._begun))
        if share > rate + slack or (expected.fim_is_one_rate and share < rate / 2 - slack):
            yield Finding(
                check=self.name,
                severity="warning",
                seen=f"{percent(self._rearranged, self._begun)} of the documents are rearranged",
                expected=f"about {rate:.0%}, as the header says",
                hint="see fim_minimum and fim_maximum: documents outside of these lengths are never rearranged",
            )
