"""Compiling this package's kernels ahead of use, so that numba's cache on disk holds them.

Compiling takes some twenty seconds of processor time once for each machine and version; loading from the cache, a
fraction of a second. The command line calls this in a process of its own on first use. It runs the public functions on
tiny inputs, so that the kernels' argument types are by construction those that are used.
"""

from itertools import product

import numpy as np
import pyarrow as pa

from corpusmill.tokenizer.boundary import boundary_table, split_joined
from corpusmill.tokenizer.counting.counter import Counter
from corpusmill.tokenizer.counting.counts import PretokenCounts, counts_of
from corpusmill.tokenizer.counting.merging import CountMerge
from corpusmill.tokenizer.counting.rows import CountRows, partition_numbers
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.special import layout_named
from corpusmill.tokenizer.warm import table_of
from corpusmill.tokenizer.warming import common_pieces


def compile_kernels() -> None:
    """Runs every kernel once. Builds the Unicode tables, too, if they are not there yet."""
    words = ["".join(letters) for letters in product("abcdefghijklmnop", repeat=4)]  # so many that tables grow
    texts = pa.array([" ".join(words), "One line.\nAnother one: 中文, " + "x" * 100 + ".\n" * 9, ""], pa.large_string())
    table = _count(texts)
    layout = layout_named("compact")
    vocabulary = train_merges(table, layout.model_size(600), list(layout.first))
    tokenizer = Tokenizer(vocabulary, layout.tokens(len(vocabulary)), "deepseek-v3", fingerprint="")
    pieces = common_pieces(tokenizer, table, 100)
    table_of(pieces, tokenizer.encode_pieces(pieces))
    rows = tokenizer.encode(texts)
    split_joined(rows, np.zeros(len(rows), np.uint64), 0.5, boundary_table(tokenizer))


def _count(texts: pa.Array) -> PretokenCounts:
    """Counts, merges and adds up the pretokens of some texts, enough of them for the table to grow; gives the table."""
    counter = Counter()
    counter.add_texts(texts)
    rows = counter.rows()
    partition_numbers(rows, 2)
    numbers = np.zeros(1, np.int32)
    merged = list(CountMerge([(iter([rows]), numbers), (iter([rows.slice(0, 1)]), numbers)], 1))
    pretokens = pa.concat_arrays([piece.pretokens for piece in merged])
    counts = np.concatenate([piece.counts for piece in merged])
    return counts_of(CountRows(pretokens, np.zeros(len(counts), np.int32), counts))
