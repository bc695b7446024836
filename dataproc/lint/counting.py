"""The one kernel of lint: how often each id stands in a block, and a hash of each sequence.

A histogram by `np.bincount` copies the ids to 64 bits first and gives nothing by sequence; here ids are counted, those
outside of the vocabulary by sequence, and each sequence is hashed (xor, multiply, shift: 64 bits a sequence), in one
pass over the tokens as they lie. Cost: docs/lint.md has the measured rate.
"""

import numpy as np

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel_in_place
from corpusmill.dataproc.kernels.hashing import MIX

GOLDEN = 0x9E3779B97F4A7C15


@kernel_in_place
def _scan(tokens, begins, used, counts, hashes, outside):
    vocabulary = counts.shape[0] - 1
    for sequence in range(begins.shape[0]):
        state = np.uint64(used[sequence] + 1) * np.uint64(GOLDEN)  # not small: no token takes it to 0
        strange = 0
        for place in range(begins[sequence], begins[sequence] + used[sequence]):
            token = np.int64(tokens[place])
            state = (state ^ np.uint64(token)) * np.uint64(MIX)
            state ^= state >> np.uint64(32)
            if 0 <= token < vocabulary:
                counts[token] += 1
            else:
                strange += 1
        counts[vocabulary] += strange
        outside[sequence] = strange
        hashes[sequence] = state


def scan(
    tokens: np.ndarray, begins: np.ndarray, used: np.ndarray, vocabulary: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(counts int64 (V + 1,), the last of them ids outside; hashes uint64 (N,); ids outside by sequence int64 (N,)).

    Args:
        tokens: int32 (T,).
        begins: int64 (N,), first token of each sequence. used: int64 (N,), its tokens without padding.
        vocabulary: V.
    """
    counts = np.zeros(vocabulary + 1, np.int64)
    hashes, outside = np.zeros(len(begins), np.uint64), np.zeros(len(begins), np.int64)
    _scan(read_only(tokens, np.int32), read_only(begins, np.int64), read_only(used, np.int64), counts, hashes, outside)
    return counts, hashes, outside
