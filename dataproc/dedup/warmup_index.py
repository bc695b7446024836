"""Compiles the kernels of an index and of components out of core: more than dedup in core calls."""

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup import exact, index, stars
from corpusmill.dataproc.dedup.normalise import NORMALISATIONS
from corpusmill.dataproc.dedup.routed import by_hash


def compile_kernels() -> None:
    """Runs every kernel once."""
    exact.text_digests(pa.array(["One text, not NFC: e\u0301.", ""], pa.large_string()), NORMALISATIONS)
    index.call_kernels()
    nodes = np.array([1, 2, 3], np.uint64)
    by_hash(2)(nodes)
    stars.SmallestNeighbours([(nodes, nodes[::-1].copy())], slots=2).smallest(nodes)
