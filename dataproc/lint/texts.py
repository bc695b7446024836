"""Whether the text comes back: a sample of documents is decoded, and encoded again by the tokenizer.

Ids of another tokenizer, shifted ids and swapped bytes may all be inside of the vocabulary; but their bytes are rarely
UTF-8, and encoding what they spell gives other ids. So do ids that the tokenizer's own way of cutting text never makes.
The sample is `PER_BLOCK` whole plain documents of every block, evenly spaced: the same for any number of workers.

Cost: decoding and encoding the sample, at most `MOST_TOKENS` of it: a few seconds for a set of any size. Memory: one
block's part of the sample.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.exchange.items import running
from corpusmill.dataproc.lint.blocks import UNKNOWN, Block, whole_documents
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding, Severity, Tally, percent
from corpusmill.dataproc.lint.measures import Scanned, Totals

PER_BLOCK = 8
LONGEST = 1 << 15
MOST_TOKENS = 1 << 25
EDGE = 24
"""Ids at the end of a stretch that must come back where it is ragged: it may begin inside of a document, or be two."""
EDGE_BYTES = 64
SLIPS = 0.02
"""Share of the documents of a foreign set above which a slip is an error: libraries differ in rare cases."""
REPLACED = b"\xef\xbf\xbd"
REPLACED_WARNING = 0.02


class Texts:
    """Documents whose bytes are not UTF-8, whose text has replacement characters, or does not give its ids again."""

    name = "round-trip"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._sampled = self._tokens = self._encoded = 0
        self._broken, self._replaced, self._other = Tally(), Tally(), Tally()
        vocabulary = expected.vocab_size
        self._special = np.zeros(vocabulary + 1, bool)
        roles = [one for one in vars(expected.special).values() if one is not None] if expected.special else []
        ids = np.array([*roles, *expected.reserved.tolist()], np.int64)
        self._special[ids[(ids >= 0) & (ids < vocabulary)]] = True

    def add(self, block: Block, scanned: Scanned) -> None:
        special, spellings = self._expected.special, self._expected.spellings
        if spellings is None or special is None or not len(block.begin) or self._tokens > MOST_TOKENS:
            return
        chosen = self._chosen(block, special.eos)
        if not len(chosen):
            return
        begin, length = block.begin[chosen], block.length[chosen]
        has_begin = (scanned.head[chosen] == special.bos) & (length > 1) if special.bos is not None else False
        begin, length = begin + has_begin, length - has_begin
        length = length - (block.tokens[begin + np.maximum(length, 1) - 1] == special.eos)
        offsets = running(length)
        inside = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], length) + np.repeat(begin, length)
        ids = block.tokens[inside]
        owner = np.repeat(np.arange(len(chosen)), length)
        sound = (ids >= 0) & (ids < len(spellings))
        sound &= ~self._special[np.where(sound, ids, 0)]
        plain = (np.bincount(owner[~sound], minlength=len(chosen)) == 0) & (length > 0)
        if plain.any():
            lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(ids)).filter(pa.array(plain))
            self._look(block, lists, block.row[chosen[plain]], block.start[chosen[plain]] == UNKNOWN)

    def _chosen(self, block: Block, eos: int) -> np.ndarray:
        """Numbers of the sampled segments."""
        whole = whole_documents(block, eos)
        if not len(whole) and (block.start == UNKNOWN).any():
            # Packed by somebody else: what stands between two end tokens of a sequence ends a document at least.
            last = block.tokens[block.begin + block.length - 1] == eos
            inner = np.append(False, block.row[1:] == block.row[:-1])
            whole = np.flatnonzero(last & inner & (block.length > 2 * EDGE))
        elif not len(whole) and self._expected.eos is not True:
            whole = np.flatnonzero(block.start == 0)
        whole = whole[block.length[whole] <= LONGEST]
        picks = np.unique(np.linspace(0, len(whole) - 1, min(PER_BLOCK, len(whole))).astype(np.int64))
        return whole[picks]

    def _look(self, block: Block, lists: pa.LargeListArray, rows: np.ndarray, ragged: np.ndarray) -> None:
        self._sampled += len(lists)
        self._tokens += len(lists.flatten())
        texts = spelled_lists(self._expected.spellings, lists)
        spelled = texts.to_pylist()
        valid = np.array([is_text(text, loose) for text, loose in zip(spelled, ragged.tolist(), strict=True)])
        self._count(self._broken, block, rows[~valid])
        replaced = pc.match_substring(texts, REPLACED).to_numpy(zero_copy_only=False)
        self._count(self._replaced, block, rows[replaced])
        good = np.array([number for number, text in enumerate(spelled) if is_text(text, ragged=False)], np.int64)
        if self._expected.round_trip is None or not len(good):
            return
        self._encoded += len(good)
        kept = lists.take(pa.array(good))
        same = self._expected.round_trip(kept)
        length = pc.list_value_length(kept).to_numpy()
        other = (same >= 0) & ~(ragged[good] & (same >= np.minimum(EDGE, length // 2)))
        if self._expected.eos is False:  # nothing says where a document ends, and the last tokens may be cut
            other &= False
        self._count(self._other, block, rows[good[other]])

    @staticmethod
    def _count(tally: Tally, block: Block, rows: np.ndarray) -> None:
        if len(rows):
            tally.add(len(rows), block.shard, block.places(rows))

    def findings(self, totals: Totals) -> Iterator[Finding]:
        of = f"of {self._sampled:,} sampled documents"
        hint = "these may be another tokenizer's ids, or shifted or swapped: see corpusmill inspect show --tokens"
        if self._broken.count:
            seen = f"{self._broken.count:,} {of} do not decode to UTF-8"
            yield self._finding("utf-8", self._broken, self._sampled, seen, "whole characters", hint)
        if self._other.count:
            seen = f"{self._other.count:,} of {self._encoded:,} sampled documents give other ids when encoded again"
            yield self._finding(self.name, self._other, self._encoded, seen, "the ids that the tokenizer gives", hint)
        if self._replaced.count > REPLACED_WARNING * self._sampled:
            yield Finding(
                check="replacement-characters",
                severity="warning",
                seen=f"{percent(self._replaced.count, self._sampled)} {of} hold U+FFFD",
                expected=f"under {REPLACED_WARNING:.0%}",
                hint="texts were decoded with the wrong character set before they were tokenised",
                where=self._replaced.where,
            )

    def _finding(self, check: str, tally: Tally, whole: int, seen: str, wanted: str, hint: str) -> Finding:
        bad = self._expected.encoded or tally.count > SLIPS * whole
        severity: Severity = "error" if bad else "warning"
        return Finding(check=check, severity=severity, seen=seen, expected=wanted, hint=hint, where=tally.where)


def spelled_lists(spellings: pa.LargeBinaryArray, lists: pa.LargeListArray) -> pa.LargeBinaryArray:
    """The bytes of each list of ids, large_binary (N,)."""
    bounds = lists.offsets.to_numpy()
    taken = spellings.take(pa.array(lists.values.to_numpy()[bounds[0] : bounds[-1]])).fill_null(b"")
    ends = running(pc.binary_length(taken).to_numpy())[bounds - bounds[0]]
    data = b"".join(taken.to_pylist())
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(lists), [None, pa.py_buffer(ends), pa.py_buffer(data)]
    )


def is_text(data: bytes, ragged: bool) -> bool:
    """Whether bytes are UTF-8; of a ragged stretch its last `EDGE_BYTES`, from where a character begins."""
    if ragged:
        data = data[-EDGE_BYTES:]
        data = data[next((at for at in range(min(4, len(data))) if data[at] & 0xC0 != 0x80), 0) :]
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
