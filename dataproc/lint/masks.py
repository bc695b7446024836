"""Loss masks, labels and attention masks beside tokens, in formats that have columns: all zero, shifted, or on padding.

`loss_mask` and `attention_mask` are 1 where a token counts; `labels` are ids, with -100 where none is to be learned,
either those of the tokens themselves (Hugging Face's models shift them) or those of the next tokens (Megatron's
loaders). What is learned must be text, and the edge of a mask must be the edge of the padding.
"""

from collections.abc import Iterator

import numpy as np

from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.findings import Finding, Severity, Tally, percent

COLUMNS = ("loss_mask", "labels", "attention_mask")
IGNORED = -100
SHIFTS = (0, 1, -1, 2, -2)
LEAST_AGREEMENT = 0.999
LITTLE_LEARNED = 0.01


class Masks:
    """One column of masks or labels, held against its tokens."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._places = self._on = self._text = self._padding = 0
        self._agree = np.zeros(len(SHIFTS), np.int64)
        self._labels = 0
        self._empty, self._padded, self._values, self._sizes = Tally(), Tally(), Tally(), Tally()
        self._short = self._long = self._edges = 0

    def add(self, block: Block, offsets: np.ndarray, values: np.ndarray) -> None:
        """Looks at a block's values: item i has values[offsets[i]:offsets[i + 1]]."""
        sizes = np.diff(offsets)
        if len(sizes) != len(block) or (sizes != block.sizes).any():
            wrong = np.flatnonzero(sizes != block.sizes) if len(sizes) == len(block) else np.arange(1)
            self._sizes.add(max(1, len(wrong)), block.shard, block.places(wrong))
            return
        learned = values != IGNORED if self.column == "labels" else values == 1
        row = np.repeat(np.arange(len(block)), block.sizes)
        inside = np.arange(len(values)) - np.repeat(block.begins, block.sizes) < np.repeat(block.used, block.sizes)
        self._places += len(values)
        self._on += int(learned.sum())
        self._text += int(inside.sum())
        self._padding += len(values) - int(inside.sum())
        self._tally(self._padded, block, row[learned & ~inside])
        self._tally(self._empty, block, np.flatnonzero(np.bincount(row[learned], minlength=len(block)) == 0))
        if self.column == "labels":
            self._compare(block.tokens, values, row, learned)
        else:
            self._tally(self._values, block, row[(values != 0) & (values != 1)])
            self._edge(block, values)

    @staticmethod
    def _tally(tally: Tally, block: Block, rows: np.ndarray) -> None:
        if len(rows):
            tally.add(len(rows), block.shard, block.places(rows))

    def _compare(self, tokens: np.ndarray, values: np.ndarray, row: np.ndarray, learned: np.ndarray) -> None:
        """How many labels are the token `shift` places on, for each shift; both ends of an item are left out."""
        at = np.flatnonzero(learned)
        most = max(SHIFTS)
        at = at[(at >= most) & (at < len(tokens) - most)]
        at = at[(row[at - most] == row[at]) & (row[at + most] == row[at])]
        self._labels += len(at)
        self._agree += [int((values[at] == tokens[at + shift]).sum()) for shift in SHIFTS]

    def _edge(self, block: Block, values: np.ndarray) -> None:
        """Of items with padding: whether the mask ends one place before or after the text."""
        edge = np.flatnonzero((block.used < block.sizes) & (block.used > 1))
        last = block.begins[edge] + block.used[edge] - 1
        self._edges += len(edge)
        self._short += int((values[last] == 0).sum())
        self._long += int((values[last + 1] == 1).sum())

    def findings(self) -> Iterator[Finding]:
        """What is wrong with the column."""
        if self._sizes.count:
            seen = f"{self.column} is not as long as the tokens in {self._sizes.count:,} items"
            yield self._finding("error", seen, "a value for every token", self._sizes)
        if not self._places:
            return
        if not self._on:
            yield self._finding("error", f"{self.column} learns nothing at all", "text that is learned", self._empty)
            return
        if self._padded.count:
            late = self._edges and self._long == self._edges and self._padded.count == self._long
            what = (
                "is shifted: it ends one token after the text" if late else f"covers {self._padded.count:,} pad tokens"
            )
            yield self._finding("error", f"{self.column} {what}", "0 on padding", self._padded)
        elif self._edges > 1 and self._short == self._edges and self.column == "attention_mask":
            yield self._finding(
                "error", f"{self.column} ends one token before the text, always", "1 up to the end", Tally()
            )
        if self._empty.count:
            seen = f"{self.column} learns nothing in {self._empty.count:,} items"
            yield self._finding("warning", seen, "some text learned in each", self._empty)
        if self._values.count:
            seen = f"{self.column} has {self._values.count:,} values besides 0 and 1"
            yield self._finding("error", seen, "0 and 1", self._values)
        if self._on < LITTLE_LEARNED * self._text:
            yield self._finding(
                "warning", f"{self.column} learns {percent(self._on, self._text)} of the text", "more", Tally()
            )
        yield from self._shift()

    def _shift(self) -> Iterator[Finding]:
        if not self._labels:
            return
        agreement = self._agree / self._labels
        if max(agreement[0], agreement[1]) >= LEAST_AGREEMENT:
            return
        best = int(agreement.argmax())
        if agreement[best] >= LEAST_AGREEMENT:
            seen = f"labels are the tokens {SHIFTS[best]:+d} places on"
        else:
            seen = f"labels agree with {agreement[0]:.1%} of the tokens and {agreement[1]:.1%} of the next ones"
        yield self._finding("error", seen, "the tokens themselves, or the next ones", Tally())

    def _finding(self, severity: Severity, seen: str, wanted: str, tally: Tally) -> Finding:
        hint = "write the column again from the tokens and their padding"
        return Finding(check="loss-mask", severity=severity, seen=seen, expected=wanted, hint=hint, where=tally.where)
