"""Compiles the kernels of near-duplicates ahead of workers, which then find them in numba's cache.

Each public function is called once on a tiny input: the dtypes are those of production, because the functions
themselves cast to them. Cold this takes some seconds of one core; when the cache has them, a fraction of one.
"""

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup import absorbing, bands, candidates, components, jaccard, minhash


def compile_kernels() -> None:
    """Runs every kernel once that signing, pairing, clustering in core and applying call."""
    texts = pa.array(["one two three four five e\u0301"] * 2 + [""], pa.large_string())  # not NFC
    rows = np.array([0]), np.array([1])
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
