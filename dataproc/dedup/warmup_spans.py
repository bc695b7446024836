"""Compiles the kernels of repeated spans: substrings, paragraphs and lines."""

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup import exact, lines, spans, windows
from corpusmill.dataproc.dedup.normalise import NORMALISATIONS
from corpusmill.dataproc.dedup.repeats import joined_repeats
from corpusmill.dataproc.dedup.substring import Resolver
from corpusmill.dataproc.dedup.windows import LEAST_LENGTH


def compile_kernels() -> None:
    """Runs every kernel once. The texts are long enough for a resolver's table to grow, and one is not NFC."""
    texts = pa.array([" ".join(map(str, range(400)))] * 2 + ["e\u0301"], pa.large_string())
    named = pa.record_batch({"id": pa.array(["a", "b", "c"]), "text": texts})
    exact.text_digests(texts, NORMALISATIONS)
    shared = windows.shared_keys([windows.twice_at_most(windows.window_runs(texts, LEAST_LENGTH).keys)])[0]
    starts = np.array([0, 1490, 2980])
    shipped = windows.contexts(named, starts, shared, LEAST_LENGTH, 1)[0]
    joined_repeats(pa.Table.from_batches([Resolver(LEAST_LENGTH).add(0, shipped)]), LEAST_LENGTH)
    lines.unit_digests(texts, lines.units(texts, "line", 1))
    spans.cut(texts, spans.to_characters(texts, spans.Spans(*(np.array([number]) for number in (0, 1, 2)))))
