"""The score of a document: the probability that a fastText classifier gives a label, by a kernel or by the library.

A fastText classifier is linear: the mean of rows, times the output matrix. So the product of the two matrices is taken
once, when a model is opened, and a word then adds one number a label to a document's sum, in place of a hundred or
more to a vector. A model of 2 GB (256 dimensions, two million buckets) becomes a table of 16 MB, and a document costs
one look-up a word: 170 to 180 MB/s a core of documentation and code, four times what datatrove's filter does by
calling the library. Sums are float64; scores are those of the library within 1e-5 (its sums are float32).

Quantised models, models with parts of words, and losses other than softmax go through the library, in lists: asked
about single strings, `predict` of fastText 0.9.3 fails under NumPy 2, and each call costs ten microseconds in any
version.

The score is fastText's own number, which is the probability plus 1e-5, here at most 1: published thresholds (0.018112
of DCLM) are of that number. An empty document, or one of white space alone, scores 0; fastText would give it what the
end of a line is like.
"""

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError, require_extra
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.quality.lines import LineSettings, as_strings, to_lines
from corpusmill.dataproc.quality.model_file import Opened, open_model
from corpusmill.dataproc.quality.trainer import NGRAM_STEP
from corpusmill.dataproc.quality.words import LONG_START, hash_whole_word, hash_word, long_end, long_step

LARGEST_FOLD = 64
"""Labels up to which the product of the matrices is taken: beyond, it is no smaller than the model."""

FASTTEXT_OFFSET = 1e-5
"""What `std_log` of fastText adds to a probability before its logarithm is taken."""

_BLOCK_ROWS = 1 << 16
_LIST_BYTES = 4 << 20


class Scorer(Protocol):
    """Scores documents; a score depends on its own document alone."""

    def score(self, texts: pa.Array) -> np.ndarray:
        """float64 of shape (N,) in [0, 1]."""
        ...


def open_scorer(path: str, label: str, settings: LineSettings) -> Scorer:
    """The scorer of a local model file, opened once a process as long as the file stays as it is.

    Args:
        path: of any fastText classifier.
        label: whose probability is the score, with or without its prefix `__label__`.
        settings: how a text becomes a line.

    Raises:
        UserError: no such file or label, or no fastText classifier.
    """
    mark = tuple(storage.identity(path)) if storage.exists(path) else ()
    return _open(path, label, settings, mark)


@lru_cache(maxsize=4)
def _open(path: str, label: str, settings: LineSettings, mark: tuple[int | str, ...]) -> Scorer:
    opened = open_model(path)
    wanted = [i for i, name in enumerate(opened.labels) if label in (name, name.removeprefix("__label__"))]
    if not wanted:
        shown = ", ".join(sorted(opened.labels)[:8]) + (", …" if len(opened.labels) > 8 else "")
        raise UserError(f"the model has no label '{label}'", path, f"its labels are {shown}")
    if opened.why_not or len(opened.labels) > LARGEST_FOLD:
        return ListScorer(path, opened.labels[wanted[0]], settings)
    return KernelScorer(opened, wanted[0], settings)


class KernelScorer:
    """Scores by the folded matrices. Memory: 4 bytes a label for each bucket, 16 (with two labels) for each slot of a
    table of words that is at most half full.

    Args:
        opened: the model.
        label: number of the label.
        settings: how a text becomes a line.
    """

    def __init__(self, opened: Opened, label: int, settings: LineSettings) -> None:
        self._settings, self._label = settings, label
        self._word_ngrams, self._buckets = opened.word_ngrams, opened.buckets
        words, classes = len(opened.starts), len(opened.output)
        folded = _fold(opened.input, opened.output)
        self._bucket_sums = folded[words:].copy()
        hashes = np.empty(words, np.uint64)
        _hash_words(opened.data, opened.starts, opened.stops, hashes)
        slots = 1 << max(4, int(2 * words - 1).bit_length())
        # A word's hash and what it adds lie together, so that a word costs one look into memory
        self._slots = np.zeros((slots, 1 + -(-classes // 2)), np.uint64)
        _fill_slots(self._slots, self._slots.view(np.float32), hashes, folded[:words])
        self._end = hash_whole_word(np.frombuffer(b"</s>", np.uint8))

    def score(self, texts: pa.Array) -> np.ndarray:
        """float64 of shape (N,) in [0, 1]."""
        offsets, data = to_lines(texts, self._settings)
        out = np.empty(len(texts), np.float64)
        _score(
            offsets, data, self._slots, self._slots.view(np.float32), self._bucket_sums, self._buckets,
            self._word_ngrams, self._end[0], np.uint64(self._end[1]), self._label, out,
        )  # fmt: skip
        if np.isnan(out).any():
            raise UserError("the model's scores are not finite numbers", hint="train it with a lower learning rate")
        return out


class ListScorer:
    """Scores by the library `fasttext`, a list of some megabytes at a time."""

    def __init__(self, path: str, label: str, settings: LineSettings) -> None:
        self._path, self._label, self._settings = path, label, settings
        self._model = _load(path)

    def score(self, texts: pa.Array) -> np.ndarray:
        """float64 of shape (N,) in [0, 1]."""
        offsets, data = to_lines(texts, self._settings)
        lines, out = as_strings(offsets, data), np.zeros(len(texts), np.float64)
        asked = np.flatnonzero(pc.not_equal(pc.utf8_trim(lines, " "), "").to_numpy(zero_copy_only=False))
        cuts = np.flatnonzero(np.diff((offsets[asked] - offsets[0]) // _LIST_BYTES, prepend=-1))
        for rows in np.split(asked, cuts[1:]):
            try:
                labels, scores = self._model.predict(lines.take(pa.array(rows)).to_pylist(), k=-1)
            except RuntimeError as error:
                hint = "train it with a lower learning rate"
                raise UserError(f"the model's scores are not finite numbers ({error})", self._path, hint) from error
            for row, names, values in zip(rows, labels, scores, strict=True):
                if self._label in names:
                    out[row] = min(float(values[names.index(self._label)]), 1.0)
        return out


def _load(path: str) -> Any:
    try:
        import fasttext
    except ImportError as error:
        raise require_extra("fasttext", "fasttext") from error
    fasttext.FastText.eprint = lambda *arguments, **settings: None  # a warning about its own constructor
    try:
        return fasttext.load_model(path)
    except ValueError as error:
        raise UserError(f"fastText cannot load this model ({error})", path, "use a .bin or .ftz file") from error


def _fold(weights: np.ndarray, output: np.ndarray) -> np.ndarray:
    """float32 of shape (rows, labels): what each row adds to each label's sum."""
    folded = np.empty((len(weights), len(output)), np.float32)
    wide = output.astype(np.float64).T
    for first in range(0, len(weights), _BLOCK_ROWS):
        folded[first : first + _BLOCK_ROWS] = weights[first : first + _BLOCK_ROWS].astype(np.float64) @ wide
    return folded


@kernel
def _hash_words(data, starts, stops, out):
    for i in range(len(starts)):
        _, out[i] = hash_word(data, starts[i], stops[i])


@kernel_part
def _find(slots, key):
    """The row of `slots` with this key in its first column, or the free one where it would go."""
    mask = np.uint64(len(slots) - 1)
    slot = key & mask
    while slots[slot, 0] != np.uint64(0) and slots[slot, 0] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@kernel
def _fill_slots(slots, values, hashes, folded):
    """Each word's hash, and behind it its numbers as float32 (`values` is the same memory); of equals the first."""
    for i in range(len(hashes)):
        slot = _find(slots, hashes[i])
        if slots[slot, 0] == np.uint64(0):
            slots[slot, 0] = hashes[i]
            for k in range(folded.shape[1]):
                values[slot, 2 + k] = folded[i, k]


@kernel
def _score(offsets, data, slots, values, bucket_sums, buckets, word_ngrams, end_short, end_long, label, out):
    """The softmax of the mean of the rows of each line, at `label`; 0 for a line without a token, 1e-5 added."""
    classes = bucket_sums.shape[1]
    sums = np.empty(classes, np.float64)
    longest = np.int64(0)
    for row in range(len(out)):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest // 2 + 2 if word_ngrams > 1 else 1, np.int32)
    for row in range(len(out)):
        sums[:] = 0.0
        count, tokens = np.int64(0), np.int64(0)
        position, stop = offsets[row], offsets[row + 1]
        while position <= stop:
            if position < stop and data[position] == 32:
                position += 1
                continue
            if position == stop:
                if tokens == 0:
                    break
                short, long, end = end_short, end_long, stop + 1
            elif word_ngrams > 1:
                end = _word_end(data, position, stop)
                short, long = hash_word(data, position, end)
            else:
                short = np.int32(0)
                long, end = _hash_to_end(data, position, stop)
            if word_ngrams > 1:
                hashes[tokens] = short
            tokens += 1
            slot = _find(slots, long)
            if slots[slot, 0] != np.uint64(0):
                for k in range(classes):
                    sums[k] += values[slot, 2 + k]
                count += 1
            position = end
        if word_ngrams > 1 and buckets > 0:
            for i in range(tokens):
                chained = np.uint64(np.int64(hashes[i]))
                for j in range(i + 1, min(tokens, i + word_ngrams)):
                    chained = chained * np.uint64(NGRAM_STEP) + np.uint64(np.int64(hashes[j]))
                    bucket = np.int64(chained % np.uint64(buckets))
                    for k in range(classes):
                        sums[k] += bucket_sums[bucket, k]
                    count += 1
        if count == 0:
            out[row] = 0.0
            continue
        most = sums[0]
        for k in range(1, classes):
            most = max(most, sums[k])
        total = 0.0
        for k in range(classes):
            total += np.exp((sums[k] - most) / count)
        out[row] = min(1.0, np.exp((sums[label] - most) / count) / total + FASTTEXT_OFFSET)


@kernel_part
def _word_end(data, position, stop):
    while position < stop and data[position] != 32:
        position += 1
    return position


@kernel_part
def _hash_to_end(data, position, stop):
    """(the long hash of the word that starts at `position`, where it ends), in one pass."""
    long = LONG_START
    while position < stop and data[position] != 32:
        long = long_step(long, data[position])
        position += 1
    return long_end(long), position
