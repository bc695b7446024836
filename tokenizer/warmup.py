"""Compiling this package's kernels ahead of use, so that numba's cache on disk holds them.

Compiling takes some twenty seconds of processor time once for each machine and version; loading from the cache, a
fraction of a second. The command line calls this in a process of its own on first use. It runs the public functions on
tiny inputs, so that the kernels' argument types are by construction those that are used.
"""

import numpy as np
import pyarrow as pa

from tokenizer.boundary import boundary_table, split_joined
from tokenizer.bpe import train_merges
from tokenizer.counts import Counter, partition
from tokenizer.encoder import Tokenizer
from tokenizer.special import layout_named


def compile_kernels() -> None:
    """Runs every kernel once. Builds the Unicode tables, too, if they are not there yet."""
    words = [f"{letter}{number:04}x" for letter in "abcdefghijklm" for number in range(10_000)]
    texts = pa.array([" ".join(words), "One line.\nAnother one: 中文, " + "x" * 100 + ".\n" * 9, ""], pa.large_string())
    counter = Counter()
    counter.add_texts(texts)  # enough unique pretokens for the table to grow
    table = counter.result()
    counter.add_counts(partition(table, 2)[0])
    layout = layout_named("compact")
    vocabulary = train_merges(table, layout.model_size(600), list(layout.first))
    tokenizer = Tokenizer(vocabulary, layout.tokens(len(vocabulary)), "deepseek-v3", fingerprint="")
    rows = tokenizer.encode(texts)
    split_joined(rows, np.zeros(len(rows), np.uint64), 0.5, boundary_table(tokenizer))
