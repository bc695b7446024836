"""Shares of single tokens: one that is everywhere, unknown ones, special ones in text, and padding.

The commonest token of a text rarely has more than a tenth of it: blanks and line breaks of code, the comma. The limits
are far above that. Padding is looked at where it is (after a sequence's last segment, the pad token and nothing else)
and where it must not be (inside documents).
"""

from collections.abc import Iterator

import numpy as np

from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding, Severity, Tally, percent
from corpusmill.dataproc.lint.measures import Scanned, Totals

COMMON_WARNING, COMMON_ERROR = 0.25, 0.5
UNKNOWN_WARNING, UNKNOWN_ERROR = 0.0001, 0.01
FEWEST_TOKENS = 2048
PADDING_WARNING, FEWEST_SEQUENCES = 0.25, 64


class TokenShares:
    """Single tokens that take an implausible share, unknown tokens, and special tokens inside documents."""

    name = "token-shares"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._reserved = Tally()

    def add(self, block: Block, scanned: Scanned) -> None:
        reserved = self._expected.reserved
        count = int(scanned.counts[reserved].sum()) if len(reserved) else 0
        if count and not self._expected.conversations:  # there they are roles, put in by the template
            at = np.flatnonzero(np.isin(block.tokens, reserved))
            rows = np.searchsorted(block.begins, at, side="right") - 1
            self._reserved.add(count, block.shard, block.places(rows))

    def findings(self, totals: Totals) -> Iterator[Finding]:
        if totals.tokens < FEWEST_TOKENS:
            return
        yield from self._common(totals)
        unknown = int(totals.counts[self._expected.unknown].sum()) if len(self._expected.unknown) else 0
        if unknown > UNKNOWN_WARNING * totals.tokens:
            yield Finding(
                check="unknown-tokens",
                severity="error" if unknown > UNKNOWN_ERROR * totals.tokens else "warning",
                seen=f"{percent(unknown, totals.tokens)} of the tokens are unknown tokens",
                expected="next to none: such text is lost",
                hint="use a tokenizer with byte fallback, or clean the text of what it cannot write",
            )
        if self._reserved.count:
            yield Finding(
                check="special-tokens",
                severity="error" if self._expected.encoded else "warning",
                seen=f"{self._reserved.count:,} special tokens without a role in packing stand in the text",
                expected="none: text that spells one is encoded as text",
                hint="encode documents without parsing special tokens in them",
                where=self._reserved.where,
            )

    def _common(self, totals: Totals) -> Iterator[Finding]:
        counts = totals.counts[:-1].copy()
        special = self._expected.special
        if special is not None:
            counts[[one for one in (special.eos, special.bos) if one is not None and one < len(counts)]] = 0
        token = int(counts.argmax())
        if (share := counts[token] / totals.tokens) > COMMON_WARNING:
            spelled = self._expected.spellings
            text = f" ({spelled[token].as_py()!r})" if spelled is not None and token < len(spelled) else ""
            yield Finding(
                check=self.name,
                severity="error" if share > COMMON_ERROR else "warning",
                seen=f"id {token}{text} is {share:.0%} of all tokens",
                expected=f"no token above {COMMON_WARNING:.0%}",
                hint="look at samples: filler, a failed decoding, or padding that counts as text",
            )


class Padding:
    """Padding inside documents, filling that is not the pad token, sequences without text, too much of it."""

    name = "padding"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        special = expected.special
        self._pad = special.pad if special else None
        self._own = special is not None and special.pad not in (special.eos, special.bos)
        self._inside, self._strange, self._empty = Tally(), Tally(), Tally()

    def add(self, block: Block, scanned: Scanned) -> None:
        empty = np.flatnonzero(block.used == 0)
        if len(empty):
            self._empty.add(len(empty), block.shard, block.places(empty))
        if self._pad is None:
            return
        if self._own and (count := int(scanned.counts[self._pad])):
            at = np.flatnonzero(block.tokens == self._pad)
            rows = np.searchsorted(block.begins, at, side="right") - 1
            inner = at - block.begins[rows] < block.used[rows]
            self._inside.add(count, block.shard, block.places(rows[inner]))
        short = np.flatnonzero(block.used < block.sizes)
        if len(short):
            room = block.sizes[short] - block.used[short]
            first = np.repeat(block.begins[short] + block.used[short] - (np.cumsum(room) - room), room)
            wrong = block.tokens[first + np.arange(int(room.sum()))] != self._pad
            if wrong.any():
                self._strange.add(int(wrong.sum()), block.shard, block.places(np.repeat(short, room)[wrong]))

    def findings(self, totals: Totals) -> Iterator[Finding]:
        hint = "pack again; sequences may have been cut or joined by another program"
        if self._inside.count:
            seen, wanted = (
                f"{self._inside.count:,} pad tokens inside documents",
                "pad tokens after the last document only",
            )
            yield self._finding("error", seen, wanted, hint, self._inside)
        if self._strange.count:
            seen = f"{self._strange.count:,} tokens after the last document are not the pad token (id {self._pad})"
            yield self._finding("error", seen, "padding", hint, self._strange)
        if self._empty.count:
            seen = f"{self._empty.count:,} sequences hold padding alone"
            yield self._finding("error", seen, "text in every sequence", hint, self._empty)
        places = totals.tokens + totals.padding
        if (
            self._expected.policy in ("best-fit", "concat")
            and totals.sequences >= FEWEST_SEQUENCES
            and totals.padding > PADDING_WARNING * places
        ):
            seen = f"{percent(totals.padding, places)} of all places are padding"
            hint = "pack documents of one group together, or use shorter sequences"
            yield self._finding(
                "warning", seen, f"under {PADDING_WARNING:.0%} for {self._expected.policy}", hint, Tally()
            )

    def _finding(self, severity: Severity, seen: str, wanted: str, hint: str, tally: Tally) -> Finding:
        return Finding(check=self.name, severity=severity, seen=seen, expected=wanted, hint=hint, where=tally.where)
