"""Begin and end tokens: whether every document has those that it should, and only there.

A segment that does not end in the end token goes on in another sequence, so it reaches to the end of its own: packing
cuts a document nowhere else. A shorter one is a document that lost its end, and can be told from one sequence alone.
Over a whole set as many documents end as begin.

Of conversations neither is asked: an answer ends with the token, and whether a conversation does is up to its template.

Where a format does not say which stretch begins a document, a set is held to itself: as many begin tokens as end
tokens, or none.
"""

from collections.abc import Iterator

import numpy as np

from corpusmill.dataproc.lint.blocks import UNKNOWN, Block
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding, Severity, Tally, percent
from corpusmill.dataproc.lint.measures import Scanned, Totals

MOST_LENGTH = 1 << 20
FOREIGN_SHARE = 0.001
"""Below this share of documents a foreign set's slips are warnings."""


class EndTokens:
    """Documents without their end token, and end tokens inside documents."""

    name = "end-tokens"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._eos = expected.special.eos if expected.special else None
        self._bos = expected.special.bos if expected.special else None
        self._begun = self._ended = 0
        self._cut = np.zeros(MOST_LENGTH + 1, np.int64)
        self._examples: list[tuple[int, str]] = []
        self._inside = Tally()
        self._longest = 0
        self._packed = False

    def add(self, block: Block, scanned: Scanned) -> None:
        if self._eos is None or not len(block.begin) or self._expected.conversations:
            return
        ends = scanned.last == self._eos
        self._ended += int(ends.sum())
        self._begun += int((block.start == 0).sum())
        self._packed |= bool((block.start != 0).any())
        self._longest = max(self._longest, int(block.sizes.max()))
        early = 0
        if self._bos == self._eos:
            early = int(((block.start == 0) & (scanned.head == self._eos) & (block.length > 1)).sum())
        cut = np.flatnonzero(~ends)
        reach = (block.begin[cut] + block.length[cut] - block.begins[block.row[cut]]).clip(0, MOST_LENGTH)
        self._cut += np.bincount(reach, minlength=MOST_LENGTH + 1)
        shorter = np.flatnonzero(reach < self._longest)[: 64 - len(self._examples)]
        for number in shorter.tolist():
            row = int(block.row[cut[number]]) + block.first
            self._examples.append((int(reach[number]), f"{block.shard} sequence {row}"))
        surplus = int(scanned.counts[self._eos]) - int(ends.sum()) - early
        if surplus > 0:
            self._locate_inside(block, surplus)

    def _locate_inside(self, block: Block, surplus: int) -> None:
        at = np.flatnonzero(block.tokens == self._eos)
        number = np.searchsorted(block.begin, at, side="right") - 1
        end = block.begin[number] + block.length[number]
        inner = (number >= 0) & (at < end - 1)
        self._inside.add(surplus, block.shard, block.places(block.row[number[inner]]))

    def findings(self, totals: Totals) -> Iterator[Finding]:
        expected = self._expected
        if self._eos is None or not totals.segments or expected.conversations:
            return
        if expected.eos is False:
            if self._ended:
                yield self._finding("warning", f"{self._ended:,} documents end with it", "no end token (eos is off)")
            return
        if not self._ended and not totals.counts[self._eos]:
            severity: Severity = "error" if expected.ours else "warning"
            seen = f"no end token (id {self._eos}) anywhere"
            yield self._finding(severity, seen, "one at the end of every document")
            return
        capacity = self._longest if expected.ours or self._packed else MOST_LENGTH
        missing = int(self._cut[: min(capacity, MOST_LENGTH)].sum())
        if missing and not expected.loose_ends:
            where = [place for reach, place in self._examples if reach < capacity][:3]
            bad = expected.ours or missing > FOREIGN_SHARE * totals.segments
            seen = f"{missing:,} documents break off before their end token, inside a sequence"
            yield self._finding("error" if bad else "warning", seen, "an end token at the end of every document", where)
        lost = self._begun - self._ended
        if expected.ours and expected.whole and lost and abs(lost) != missing:
            seen = f"{self._begun:,} documents begin and {self._ended:,} end"
            yield self._finding("error", seen, "as many ends as beginnings")
        if self._inside.count and expected.ours:
            seen = f"{self._inside.count:,} end tokens inside documents"
            yield self._finding("error", seen, "end tokens at ends only", self._inside.where)

    def _finding(self, severity: Severity, seen: str, wanted: str, where: list[str] | None = None) -> Finding:
        hint = "tokenise again with the end token appended, and cut documents at sequence ends only"
        return Finding(check=self.name, severity=severity, seen=seen, expected=wanted, hint=hint, where=where or [])


class BeginTokens:
    """Documents without their begin token, with one that nobody asked for, or with two."""

    name = "begin-tokens"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        special = expected.special
        self._bos = special.bos if special else None
        self._shared = special is not None and self._bos == special.eos
        self._begun = self._with = 0
        self._missing, self._present, self._inside, self._double = Tally(), Tally(), Tally(), Tally()
        self._packed = False

    def add(self, block: Block, scanned: Scanned) -> None:
        if self._bos is None or not len(block.begin) or self._expected.conversations:
            return
        begins, has = block.start == 0, scanned.head == self._bos
        self._packed |= bool((block.start == UNKNOWN).any())
        self._begun += int(begins.sum())
        self._with += int((begins & has).sum())
        self._tally(self._missing, block, begins & ~has)
        self._tally(self._present, block, begins & has)
        second = block.tokens[np.minimum(block.begin + 1, len(block.tokens) - 1)]
        double = has & (second == self._bos) & (block.length > (2 if self._shared else 1))
        self._tally(self._double, block, double)
        surplus = int(scanned.counts[self._bos]) - int(has.sum()) - int(double.sum())
        if not self._shared and surplus > 0:
            at = np.flatnonzero(block.tokens == self._bos)
            number = (np.searchsorted(block.begin, at, side="right") - 1).clip(0)
            inner = (at > block.begin[number]) & (at < block.begin[number] + block.length[number])
            self._inside.add(surplus, block.shard, block.places(block.row[number[inner]]))

    @staticmethod
    def _tally(tally: Tally, block: Block, flags: np.ndarray) -> None:
        if flags.any():
            tally.add(int(flags.sum()), block.shard, block.places(block.row[flags]) if len(tally.where) < 3 else ())

    def findings(self, totals: Totals) -> Iterator[Finding]:
        expected = self._expected
        if self._bos is None or not totals.segments or expected.conversations:
            return
        begun = f"of {self._begun:,} documents"
        if expected.bos and self._missing.count:
            seen = f"{self._missing.count:,} {begun} do not begin with the begin token (id {self._bos})"
            yield self._finding("error", seen, "a begin token at the start of every document", self._missing)
        if expected.bos is False and self._present.count and not self._shared:
            seen = f"{self._present.count:,} {begun} begin with the begin token (id {self._bos})"
            yield self._finding("error", seen, "no begin tokens (bos is off)", self._present)
        if expected.bos is None:
            yield from self._against_itself(totals)
        if self._double.count:
            seen = f"{self._double.count:,} documents begin with two begin tokens"
            yield self._finding("error", seen, "one", self._double)
        if self._inside.count and (expected.ours or not self._packed):
            seen = f"{self._inside.count:,} begin tokens inside documents"
            yield self._finding(
                "error" if expected.ours else "warning", seen, "begin tokens at beginnings only", self._inside
            )

    def _against_itself(self, totals: Totals) -> Iterator[Finding]:
        assert self._bos is not None and self._expected.special is not None
        if self._shared:
            return
        begins, ends = int(totals.counts[self._bos]), int(totals.counts[self._expected.special.eos])
        if not begins:
            seen = f"no document begins with the begin token that the tokenizer has (id {self._bos})"
            yield self._finding("note", seen, "one at the start of every document, if the model is to see it", Tally())
        elif self._packed and ends and abs(begins - ends) > FOREIGN_SHARE * ends + 1:
            yield self._finding("error", f"{begins:,} begin tokens and {ends:,} end tokens", "as many of both", Tally())
        elif not self._packed and self._missing.count > 0:
            bad = self._missing.count > FOREIGN_SHARE * self._begun
            seen = f"{percent(self._missing.count, self._begun)} of the documents lack the begin token that others have"
            yield self._finding("error" if bad else "warning", seen, "all or none", self._missing)

    def _finding(self, severity: Severity, seen: str, wanted: str, tally: Tally) -> Finding:
        hint = "tokenise again, with the begin token added once by one program"
        return Finding(check=self.name, severity=severity, seen=seen, expected=wanted, hint=hint, where=tally.where)
