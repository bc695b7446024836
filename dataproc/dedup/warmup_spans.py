"""Compiles the kernels of repeated spans, of the index and of components out of core: what a quickstart does not call.

Apart from `warmup.py` so that both compile side by side.
"""

import numpy as np
import pyarrow as pa

from dataproc.dedup import exact, index, lines, spans, stars
from dataproc.dedup.normalise import NORMALISATIONS
from dataproc.dedup.repeats import joined_repeats
from dataproc.dedup.routed import by_hash
from dataproc.dedup.substring import Resolver
from dataproc.dedup.windows import LEAST_LENGTH, contexts, keys_to_tell, window_runs


def compile_kernels() -> None:
    """Runs every kernel once."""
    texts = pa.array(["The same line stands here.\nThe same line stands here." * 4, ""], pa.large_string())
    exact.text_digests(texts, NORMALISATIONS)
    index.compile_kernels()
    found = lines.units(texts, "line", 1)
    lines.unit_digests(texts, found)
    batch = pa.record_batch({"id": pa.array(["a", "b"]), "text": texts.cast(pa.large_binary())})
    runs = window_runs(texts, LEAST_LENGTH)
    shipped = contexts(batch, np.array([0, 200]), np.unique(keys_to_tell(runs, LEAST_LENGTH)), LEAST_LENGTH, 1)
    joined_repeats(pa.Table.from_batches([Resolver(LEAST_LENGTH).add(0, shipped[0])]), LEAST_LENGTH)
    told = spans.Spans(np.array([0]), np.array([1]), np.array([3]))
    spans.cut(texts, spans.to_characters(texts, told))
    nodes = np.array([1, 2, 3], np.uint64)
    by_hash(2)(nodes)
    stars.SmallestNeighbours([(nodes, nodes[::-1].copy())], slots=2).smallest(nodes)
