"""Splitting tokens that join punctuation and line breaks, so that a model also sees the two apart.

DeepSeek-V3's pattern makes tokens such as `.` + line break. A prompt that ends in `.` without the break is then
tokenised unlike anything in training (token boundary bias); the report (arXiv 2412.19437, section 4.1) therefore
splits a share of them at random during training. It gives neither the share nor the place of the split: here the token
is cut before its first line break, and the share is a setting; packing's default of 0.1 is our choice, not
DeepSeek's. A shard's header records the share asked for; its manifest also says how many tokens were split.

A token takes part when it is an optional space, then punctuation and symbols, then line breaks, all of them whole
characters. What stands in its place is computed once for each tokenizer, by encoding both parts. Each draw is a pure
function of (seed, document, position of the token in the document), so it is the same in any batch, on any worker;
decoded bytes never change. Cost: one table look-up for each id.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.randomness import random_uniform
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.unicode import MARKED, unicode_classes


@dataclass(frozen=True)
class BoundaryTable:
    """What each token that joins punctuation and line breaks is split into.

    Attributes:
        starts: int64 (vocab_size + 1,): token t becomes `ids[starts[t] : starts[t + 1]]`; nothing there: it stays.
        ids: int32, first those of the punctuation part, then those of the line-break part.
        breaks: int64 (vocab_size,): where in `ids` the line-break part begins.
        joined: bool (vocab_size,): whether token t takes part; small enough to stay in the processor's cache.
    """

    starts: np.ndarray
    ids: np.ndarray
    breaks: np.ndarray
    joined: np.ndarray

    def __len__(self) -> int:
        """How many tokens take part."""
        return int(np.count_nonzero(self.joined))

    def parts(self, token: int) -> tuple[list[int], list[int]]:
        """(punctuation part, line-break part) of a token; both empty when it does not take part."""
        first, middle, last = self.starts[token], self.breaks[token], self.starts[token + 1]
        return self.ids[first:middle].tolist(), self.ids[middle:last].tolist()


def _cut(token: bytes | None, classes: np.ndarray) -> int:
    """Bytes before the first line break of a token that takes part; 0 for any other, and where an id has no token."""
    if token is None:
        return 0
    head = token.rstrip(b"\r\n")
    if len(head) == len(token):
        return 0
    try:
        characters = head.decode().removeprefix(" ")
    except UnicodeDecodeError:
        return 0
    return len(head) if characters and all(classes[ord(c)] & MARKED for c in characters) else 0


def boundary_table(tokenizer: Tokenizer) -> BoundaryTable:
    """Finds the tokens that join punctuation and line breaks, and encodes their parts."""
    classes = unicode_classes()
    first = tokenizer.vocabulary.specials
    ordinary = tokenizer.vocabulary.tokens[first:].to_pylist()
    joined = [(number, token, cut) for number, token in enumerate(ordinary, first) if (cut := _cut(token, classes))]
    pieces = [piece for _, token, cut in joined for piece in (token[:cut], token[cut:])]
    encoded = tokenizer.encode_pieces(pa.array(pieces, pa.large_binary()))
    ends = encoded.offsets.to_numpy()
    taking_part = np.array([number for number, _, _ in joined], np.int64)
    lengths = np.zeros(tokenizer.vocab_size, np.int64)
    lengths[taking_part] = ends[2::2] - ends[:-2:2]
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    breaks = starts[:-1].copy()
    breaks[taking_part] = ends[1::2]
    parts = encoded.values.to_numpy().astype(np.int32)
    return BoundaryTable(read_only(starts), read_only(parts), read_only(breaks), read_only(lengths > 0))


@kernel
def most_growth(ids: np.ndarray, joined: np.ndarray, starts: np.ndarray) -> int:
    """How many more ids there would be if each that takes part were split."""
    growth = 0
    for token in ids:
        if joined[token]:
            growth += starts[token + 1] - starts[token] - 1
    return growth


@kernel
def split_rows(
    ids: np.ndarray,
    offsets: np.ndarray,
    keys: np.ndarray,
    probability: float,
    joined: np.ndarray,
    starts: np.ndarray,
    parts: np.ndarray,
    out: np.ndarray,
    lists: np.ndarray,
) -> tuple[int, int]:
    """Copies rows of ids to `out`, split where the draw falls below `probability`; returns (ids written, splits).

    Rows are `ids[offsets[r] : offsets[r + 1]]`; those of the result begin at `lists`, int64 of the same length.
    """
    filled = 0
    touched = 0
    lists[0] = 0
    for row in range(offsets.shape[0] - 1):
        for place in range(offsets[row], offsets[row + 1]):
            token = ids[place]
            if joined[token] and random_uniform(keys[row], np.uint64(place - offsets[row])) < probability:
                touched += 1
                for part in range(starts[token], starts[token + 1]):
                    out[filled] = parts[part]
                    filled += 1
            else:
                out[filled] = token
                filled += 1
        lists[row + 1] = filled
    return filled, touched


def split_joined(
    rows: pa.Array, keys: np.ndarray, probability: float, table: BoundaryTable
) -> tuple[pa.LargeListArray, int]:
    """Splits each token that joins punctuation and line breaks with a probability.

    Args:
        rows: list or large_list of int32, the ids of each document, from its first token on.
        keys: uint64, one for each document: `random_keys(seed, "boundary", ids)`.
        probability: 0 to 1.
        table: `boundary_table(tokenizer)`.

    Returns:
        (large_list<int32> of the documents, how many tokens were split)
    """
    if not 0 <= probability <= 1:
        raise ValueError("probability must be from 0 to 1")
    rows = rows.cast(pa.large_list(pa.int32()))
    offsets = read_only(rows.offsets.to_numpy())
    ids = read_only(rows.values.to_numpy())
    used = ids[offsets[0] : offsets[-1]]
    out = np.empty(len(used) + most_growth(used, table.joined, table.starts), np.int32)
    lists = np.empty(len(offsets), np.int64)
    keys = read_only(np.asarray(keys, np.uint64))
    filled, touched = split_rows(
        *(ids, offsets, keys, float(probability), table.joined, table.starts, table.ids, out, lists),
    )
    values = pa.Array.from_buffers(pa.int32(), filled, [None, pa.py_buffer(out[:filled])])
    return pa.LargeListArray.from_arrays(pa.array(lists), values), touched
