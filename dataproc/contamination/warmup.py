"""Compiles the kernels of decontamination once, so that worker processes find them in numba's disk cache."""

import pyarrow as pa

from corpusmill.dataproc.contamination.decontaminate import Decontamination, common_ngrams, decontaminate
from corpusmill.dataproc.contamination.index import build_index, crowded
from corpusmill.dataproc.contamination.items import EvaluationSet


def compile_kernels() -> None:
    """Runs every kernel once: a long item, a short one, and a document that holds both."""
    words = [f"w{number}" for number in range(11)] + ["e\u0301"]
    texts = pa.array([" ".join(words), " ".join(words[2:6])], pa.large_string())
    index = build_index([EvaluationSet("s", pa.array(["a", "b"]), texts)], ngram=5, minimum=3)
    index = index.without(crowded(index, 1))
    batch = pa.record_batch({"id": pa.array(["d"]), "text": pa.array([" ".join(words[3:])], pa.large_string())})
    common_ngrams(batch, index)
    decontaminate(batch, index, Decontamination(action="cut", margin=1, least_piece=1))
