"""fastText's supervised training (Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification"), repeatable.

A document is the mean of the rows of its words and of its n-grams of words (hashed into buckets); a softmax over
labels follows, and stochastic gradient descent with a rate that falls linearly to 0. Documents are taken in the order
given, by one thread, and rows begin uniformly in ±1/dimensions, drawn from the seed: same documents, settings and
seed, same weights.

fastText's own choices are kept: the end of a line is a word; the gradient of a document is divided by the number of
its rows; n-grams take in words that are too rare to have a row; words are ordered by their counts.

Cost: 19 MB/s with the settings of `dclm`, three times what the library does (`benchmarks/quality.py`); time goes into
reading and writing rows, so it grows with dimensions × n-grams × epochs. Memory: 4 × dimensions bytes for each word
and bucket (2 GB for 256 dimensions and two million buckets). Tokens are read once an epoch, in order, so they may lie
in a mapped file.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.quality.model_file import FastTextModel
from corpusmill.dataproc.quality.words import WordNumbers
from corpusmill.dataproc.randomness import random_key, random_uniform

NGRAM_STEP = 116049371
"""What fastText chains the hashes of an n-gram's words by (`Dictionary::addWordNgrams`)."""

_CHUNK_TOKENS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Of training, with fastText's defaults; `window` says nothing in supervised training and is only written down."""

    learning_rate: float = 0.1
    dimensions: int = 100
    window: int = 5
    epochs: int = 5
    word_ngrams: int = 1
    minimum_count: int = 1
    buckets: int = 2_000_000

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


PRESETS = {
    "dclm": Hyperparameters(),
    "deepseek-math": Hyperparameters(dimensions=256, word_ngrams=3, minimum_count=3, epochs=3),
}
"""`dclm`: DataComp-LM (Li et al. 2024, the repository's trainer); `deepseek-math`: Shao et al. 2024, section 2.1."""


def train(
    tokens: np.ndarray,
    ends: np.ndarray,
    labels: np.ndarray,
    words: WordNumbers,
    names: tuple[str, ...],
    chosen: Hyperparameters,
    seed: int,
    tell: Callable[[float], None] = lambda share: None,
) -> FastTextModel:
    """A classifier of D documents.

    Args:
        tokens: int32 of shape (T,), numbers of `words`, documents one after the other.
        ends: int64 of shape (D,), where each document's tokens end.
        labels: int32 of shape (D,), places in `names`.
        words: that numbered the tokens.
        names: of the labels, with their prefix.
        seed: of the first weights.
        tell: called now and then with the share that is done.

    Raises:
        UserError: no word is frequent enough, a label has no document, or the weights left the numbers.
    """
    documents = np.bincount(labels, minlength=len(names))
    for name, count in zip(names, documents, strict=True):
        if count == 0:
            raise UserError(f"no document of {name} to train on", hint="add documents, or hold back fewer")
    order, rows = _vocabulary(words, chosen.minimum_count)
    buckets = chosen.buckets if chosen.word_ngrams > 1 else 0
    weights = np.empty((len(order) + buckets, chosen.dimensions), np.float32)
    _fill_uniform(weights, np.uint64(random_key(seed, "quality/weights", "input")))
    output = np.zeros((len(names), chosen.dimensions), np.float32)
    longest = int(np.diff(ends, prepend=0).max())
    scratch = np.empty(longest * chosen.word_ngrams, np.int64)
    for epoch in range(chosen.epochs):
        document, done = 0, 0
        while document < len(ends):
            last = max(document + 1, int(np.searchsorted(ends, done + _CHUNK_TOKENS, "right")))
            piece = read_only(tokens[done : ends[last - 1]], np.int32)  # a mapped file cannot be written
            good = _learn(
                piece, ends[document:last] - done, labels[document:last], rows, words.short_hashes, weights, output,
                len(order), buckets, chosen.word_ngrams, chosen.learning_rate,
                epoch * len(tokens) + done, chosen.epochs * len(tokens), scratch,
            )  # fmt: skip
            if not good:
                hint = f"give a --learning-rate below {chosen.learning_rate:g}, or more documents"
                raise UserError("training diverged (fastText: 'Encountered NaN')", hint=hint)
            document, done = last, int(ends[last - 1])
            tell((epoch + done / len(tokens)) / chosen.epochs)
    return FastTextModel(
        dimensions=chosen.dimensions,
        window=chosen.window,
        epochs=chosen.epochs,
        minimum_count=chosen.minimum_count,
        word_ngrams=chosen.word_ngrams,
        buckets=buckets,
        words=[words.spellings[number] for number in order.tolist()],
        word_counts=words.counts[order],
        labels=list(names),
        label_counts=documents,
        tokens=len(tokens) + len(ends),
        input=weights,
        output=output,
    )


def _vocabulary(words: WordNumbers, minimum_count: int) -> tuple[np.ndarray, np.ndarray]:
    """(numbers of the words that have a row, the commonest first; int32 of shape (W,): the row of each word, or -1)."""
    counts = words.counts
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= minimum_count]
    if not len(order) or (len(order) == 1 and order[0] == 0):
        hint = "give more documents, or a smaller --minimum-count"
        raise UserError(f"no word occurs {minimum_count} times in the documents to train on", hint=hint)
    rows = np.full(len(counts), -1, np.int32)
    rows[order] = np.arange(len(order), dtype=np.int32)
    return order, rows


@kernel
def _fill_uniform(weights, key):
    """Uniform in ±1/dimensions: number i of the stream that `key` starts, in the order of memory."""
    height, width = weights.shape
    for row in range(height):
        for column in range(width):
            drawn = random_uniform(key, np.uint64(row * width + column))
            weights[row, column] = np.float32((2.0 * drawn - 1.0) / width)


@kernel_part
def _document_rows(tokens, start, stop, rows, short_hashes, words, buckets, word_ngrams, out):
    """Writes the rows of a document's words and n-grams of words; returns how many."""
    count = 0
    for i in range(start, stop):
        row = rows[tokens[i]]
        if row >= 0:
            out[count] = row
            count += 1
    if word_ngrams > 1 and buckets > 0:
        for i in range(start, stop):
            chained = np.uint64(np.int64(short_hashes[tokens[i]]))
            for j in range(i + 1, min(stop, i + word_ngrams)):
                chained = chained * np.uint64(NGRAM_STEP) + np.uint64(np.int64(short_hashes[tokens[j]]))
                out[count] = words + np.int64(chained % np.uint64(buckets))
                count += 1
    return count


@kernel
def _learn(
    tokens, ends, labels, rows, short_hashes, weights, output, words, buckets, word_ngrams, rate, done, in_all, scratch
):
    """One pass over some documents; False when a weight is no number. `done` of `in_all` tokens came before."""
    width, classes = weights.shape[1], len(output)
    hidden, gradient = np.empty(width, np.float32), np.empty(width, np.float32)
    scores = np.empty(classes, np.float64)
    start = np.int64(0)
    for document in range(len(ends)):
        stop = ends[document]
        now = rate * (1.0 - (done + start) / in_all)
        count = _document_rows(tokens, start, stop, rows, short_hashes, words, buckets, word_ngrams, scratch)
        start = stop
        if count == 0:
            continue
        hidden[:] = 0
        for i in range(count):
            row = scratch[i]
            for k in range(width):
                hidden[k] += weights[row, k]
        share = np.float32(1.0 / count)
        for k in range(width):
            hidden[k] *= share
        most = -np.inf
        for label in range(classes):
            total = 0.0
            for k in range(width):
                total += np.float64(output[label, k]) * np.float64(hidden[k])
            scores[label] = total
            most = max(most, total)
        total = 0.0
        for label in range(classes):
            scores[label] = np.exp(scores[label] - most)
            total += scores[label]
        if not (total > 0.0 and total < np.inf):
            return False
        gradient[:] = 0
        for label in range(classes):
            wanted = 1.0 if label == labels[document] else 0.0
            step = np.float32(now * (wanted - scores[label] / total))
            for k in range(width):
                gradient[k] += step * output[label, k]
                output[label, k] += step * hidden[k]
        for k in range(width):
            gradient[k] *= share
        for i in range(count):
            row = scratch[i]
            for k in range(width):
                weights[row, k] += gradient[k]
    return True
