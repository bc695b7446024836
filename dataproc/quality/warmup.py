"""Compiles the kernels of quality once, so that worker processes find them in numba's disk cache: some 8 s, cold."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.quality import calibration
from corpusmill.dataproc.quality.lines import LineSettings, to_lines
from corpusmill.dataproc.quality.model_file import open_model, write_model
from corpusmill.dataproc.quality.scorer import KernelScorer
from corpusmill.dataproc.quality.trainer import Hyperparameters, train
from corpusmill.dataproc.quality.words import WordNumbers


def compile_kernels() -> None:
    """Trains a tiny classifier and scores by it."""
    texts = pa.array(["one two", "two 三 three"], pa.large_string())
    settings = LineSettings(split_unspaced=True)
    to_lines(texts)
    words = WordNumbers()
    tokens, ends = words.number(*to_lines(texts, settings))
    chosen = Hyperparameters(dimensions=2, epochs=1, word_ngrams=2, buckets=4)
    model = train(tokens, ends, np.array([0, 1], np.int32), words, ("__label__a", "__label__b"), chosen, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        with path.open("wb") as file:
            write_model(model, file)
        KernelScorer(open_model(str(path)), 0, settings).score(texts)
    calibration.fit("isotonic", np.array([0.2, 0.8, 0.4]), np.array([True, False, True]))
