"""Compiling the kernels of counting ahead of use: see `warmup.py`."""

import numpy as np
import pyarrow as pa

from corpusmill.tokenizer.counting.counter import Counter
from corpusmill.tokenizer.counting.counts import PretokenCounts, counts_of
from corpusmill.tokenizer.counting.merging import CountMerge
from corpusmill.tokenizer.counting.rows import CountRows, partition_numbers


def compile_counts(texts: pa.Array) -> PretokenCounts:
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
