"""Whether ids are what the tokenizer makes of the text that they spell.

Ids of a text, decoded and encoded again, are the same ids. Packing splits some tokens that join punctuation and line
breaks (`tokenizer/boundary.py`), so both sides are compared with all of these split. Ids of another tokenizer, or ids
that no way of cutting text makes, give others. Cost: decoding and encoding, about 15 million ids/s on one core.
"""

import numpy as np
import pyarrow as pa

from corpusmill.tokenizer.boundary import BoundaryTable, boundary_table, split_joined
from corpusmill.tokenizer.decoding import decode_lists
from corpusmill.tokenizer.encoder import Tokenizer

SAME = -1


class RoundTrip:
    """Compares lists of ids with what the tokenizer gives for their text.

    Args:
        joined: `boundary_table(tokenizer)`, for whoever has it already.
    """

    def __init__(self, tokenizer: Tokenizer, joined: BoundaryTable | None = None) -> None:
        self._tokenizer = tokenizer
        self._joined = boundary_table(tokenizer) if joined is None else joined

    def __call__(self, lists: pa.LargeListArray) -> np.ndarray:
        """int64 (N,): -1 where a list comes back as it was, else how many of its last ids do.

        Args:
            lists: large_list<int32> (N,), stretches of text without special tokens, whose bytes are UTF-8.
        """
        texts = decode_lists(self._tokenizer, lists).cast(pa.large_string())
        given, again = self._split(lists), self._split(self._tokenizer.encode(texts))
        ours, theirs = (rows.offsets.to_numpy() for rows in (given, again))
        ids, other = given.values.to_numpy(), again.values.to_numpy()
        result = np.full(len(lists), SAME, np.int64)
        lengths = np.diff(ours)
        if np.array_equal(ours, theirs) and np.array_equal(ids, other):
            return result
        for row in range(len(lists)):
            one, two = ids[ours[row] : ours[row + 1]], other[theirs[row] : theirs[row + 1]]
            if not np.array_equal(one, two):
                common = min(len(one), len(two))
                differ = np.flatnonzero(one[len(one) - common :] != two[len(two) - common :])
                result[row] = common - 1 - int(differ[-1]) if len(differ) else min(common, int(lengths[row]) - 1)
        return result

    def _split(self, rows: pa.LargeListArray) -> pa.LargeListArray:
        return split_joined(rows, np.zeros(len(rows), np.uint64), 1.0, self._joined)[0]
