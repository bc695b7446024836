"""Compiles the kernels of repeated spans, of the index and of components out of core: what a quickstart does not call.

Apart from `warmup.py` so that both compile side by side.
"""

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup import exact, index, lines, spans, stars, windows
from corpusmill.dataproc.dedup.normalise import NORMALISATIONS
from corpusmill.dataproc.dedup.repeats import joined_repeats
from corpusmill.dataproc.dedup.routed import by_hash
from corpusmill.dataproc.dedup.substring import Resolver
from corpusmill.dataproc.dedup.windows import LEAST_LENGTH


def compile_kernels() -> None:
    """Runs every kernel once. The texts are long enough for a resolver's table to grow, which is a kernel, too."""
    texts = pa.array([" ".join(map(str, range(400)))] * 2 + [""], pa.large_string())
    named = pa.record_batch({"id": pa.array(["a", "b", "c"]), "text": texts})
    exact.text_digests(texts, NORMALISATIONS)
    index.compile_kernels()
    shared = windows.shared_keys([windows.twice_at_most(windows.window_runs(texts, LEAST_LENGTH).keys)])[0]
    starts = np.array([0, 1490, 2980])
    shipped = windows.contexts(named, starts, shared, LEAST_LENGTH, 1)[0]
    joined_repeats(pa.Table.from_batches([Resolver(LEAST_LENGTH).add(0, shipped)]), LEAST_LENGTH)
    lines.unit_digests(texts, lines.units(texts, "line", 1))
    spans.cut(texts, spans.to_characters(texts, spans.Spans(*(np.array([number]) for number in (0, 1, 2)))))
    nodes = np.array([1, 2, 3], np.uint64)
    by_hash(2)(nodes)
    stars.SmallestNeighbours([(nodes, nodes[::-1].copy())], slots=2).smallest(nodes)
