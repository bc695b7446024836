"""Compiles the kernels of de-duplication, FIM and packing ahead of workers, which then find them in numba's cache.

Each public function is called once on a tiny input: the dtypes are those of production, because the functions
themselves cast to them. Cold this takes some seconds of one core; when the cache has them, a fraction of one.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup import absorbing, bands, candidates, components, jaccard, minhash
from corpusmill.dataproc.sequences import fim, packing
from corpusmill.dataproc.sequences.shards import SpecialIds


def compile_kernels() -> None:
    """Runs every kernel of this package, of `dataproc.sequences.fim` and of `dataproc.sequences.packing` once."""
    texts = pa.array(["one two three four five six", "one two three four five six", ""], pa.large_string())
    rows = np.array([0]), np.array([1])
    minhash.signatures(pa.array(["e\u0301"], pa.large_string()), minhash.MinHashSettings(permutations=4))  # not NFC
    signatures = minhash.signatures(texts, minhash.MinHashSettings(permutations=4))
    minhash.similarity(signatures, signatures, *rows)
    jaccard.true_similarity(texts, 5, *rows)
    keys = bands.band_keys(signatures, bands=2, rows=2)
    pairs = candidates.candidate_pairs(*bands.key_rows(keys, np.arange(3, dtype=np.uint64)))
    components.components(*pairs)
    empty = absorbing.by_shingles(np.zeros(1, np.int64), np.zeros(0, np.uint64))
    none = np.zeros(0, np.int64)
    absorbing.absorb(none, none, empty, text=none, protected=np.zeros(0, bool), threshold=0.5)
    components.component_labels(2, *rows)

    tokens = pa.array([[1, 2, 3], [1, 2, 3], []], pa.list_(pa.int32()))
    draws: dict[str, Any] = {"keys": np.arange(3, dtype=np.uint64), "rates": np.ones(3), "minimum": 1, "maximum": 100}
    tables: dict[str, Any] = {"token_lengths": np.full(4, 9), "starts_character": np.ones(4, bool)}
    fim.draw_splits(texts, **draws)
    splits = fim.draw_token_splits(tokens, texts, **draws, **tables)
    pieces, _ = fim.cut_tokens(tokens, splits)
    special = SpecialIds(eos=0, pad=0, fim_begin=3, fim_hole=4, fim_end=5)
    documents = fim.assemble(pieces, splits, special)
    placement = packing.pack(documents.value_lengths().to_numpy(), capacity=16)
    packing.fill(placement, documents, special.pad)
