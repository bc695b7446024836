"""fastText's `.bin` (version 12), read and written: arguments, dictionary, two matrices. No pickle, and nothing is run.

A model comes from anywhere, and fastText's own loader believes every number in it, so here each count and length is
held against the size of the file before it is used. Matrices are mapped, not read: what they cost is up to who uses
them.

The layout, little-endian, as `FastText::saveModel`, `Args::save`, `Dictionary::save` and `DenseMatrix::save` write it:

    int32 magic, version
    int32 dim, ws, epoch, minCount, neg, wordNgrams, loss, model, bucket, minn, maxn, lrUpdateRate; float64 t
    int32 entries, words, labels; int64 tokens, pruned     (pruned: -1 where nothing was)
    entries times: bytes up to a NUL; int64 count; int8 kind (0 word, 1 label), words first
    pruned times: int32, int32
    bool quantised; int64 rows, columns; float32 of input
    bool quantised; int64 labels, columns; float32 of output
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.compiling import kernel

_MAGIC, _VERSION = 793712314, 12
_SOFTMAX, _SUPERVISED = 3, 3
_HEADER = struct.Struct("<2i12id")
_DICTIONARY = struct.Struct("<3i2q")
_MATRIX = struct.Struct("<?2q")
_ENTRY = struct.Struct("<qb")
_WRITE_BYTES = 1 << 24
_UNUSED = {"negatives": 5, "update_rate": 100, "t": 1e-4}
"""Arguments that say nothing for a supervised softmax: fastText's defaults."""


@dataclass(frozen=True, kw_only=True)
class FastTextModel:
    """A supervised model with a softmax, W words, B buckets of n-grams, L labels, D dimensions.

    Attributes:
        words: spellings, in the order of their rows.
        word_counts: int64 of shape (W,).
        labels: with their prefix.
        label_counts: int64 of shape (L,).
        tokens: read in training, labels included.
        input: float32 of shape (W + B, D).
        output: float32 of shape (L, D).
    """

    dimensions: int
    window: int
    epochs: int
    minimum_count: int
    word_ngrams: int
    buckets: int
    words: list[bytes]
    word_counts: np.ndarray
    labels: list[str]
    label_counts: np.ndarray
    tokens: int
    input: np.ndarray
    output: np.ndarray


def write_model(model: FastTextModel, file: Any) -> None:
    """Writes a model to an open binary file; the bytes depend on the model alone."""
    file.write(
        _HEADER.pack(
            _MAGIC, _VERSION, model.dimensions, model.window, model.epochs, model.minimum_count, _UNUSED["negatives"],
            model.word_ngrams, _SOFTMAX, _SUPERVISED, model.buckets, 0, 0, _UNUSED["update_rate"], _UNUSED["t"],
        )
    )  # fmt: skip
    entries = len(model.words) + len(model.labels)
    file.write(_DICTIONARY.pack(entries, len(model.words), len(model.labels), model.tokens, -1))
    counted = zip(model.words, model.word_counts.tolist(), strict=True)
    file.write(b"".join(word + b"\0" + _ENTRY.pack(count, 0) for word, count in counted))
    named = zip(model.labels, model.label_counts.tolist(), strict=True)
    file.write(b"".join(label.encode() + b"\0" + _ENTRY.pack(count, 1) for label, count in named))
    for matrix in (model.input, model.output):
        file.write(_MATRIX.pack(False, *matrix.shape))
        rows = max(1, _WRITE_BYTES // (4 * matrix.shape[1]))
        for first in range(0, len(matrix), rows):
            file.write(np.ascontiguousarray(matrix[first : first + rows], "<f4").tobytes())


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model file as it lies: `words` are `data[starts[i]:stops[i]]`, input and output are mapped.

    `why_not` says why the kernel of `dataproc.quality.scorer` cannot use it; the other fields are then not filled.
    """

    labels: list[str]
    word_ngrams: int
    buckets: int
    data: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    input: np.ndarray
    output: np.ndarray
    why_not: str = ""


def open_model(path: str) -> Opened:
    """Maps the local file `path`.

    Raises UserError for what is no fastText classifier, and for one that is cut or does not add up.
    """
    try:
        data = np.memmap(path, np.uint8, "r")
    except FileNotFoundError as error:
        raise UserError("no such file", path, "give the path of a fastText classifier (.bin or .ftz)") from error
    except (ValueError, OSError) as error:
        raise UserError("not a fastText model", path, "use a .bin or .ftz file") from error
    reader = _Reader(data, path)
    magic, version, *arguments = reader.take(_HEADER)
    if magic != _MAGIC or version not in (11, _VERSION):
        raise UserError("not a fastText model of version 11 or 12", path, "use a .bin or .ftz file")
    dimensions, _, _, _, _, word_ngrams, loss, kind, buckets, _, longest, _, _ = arguments
    if kind != _SUPERVISED:
        raise UserError("this fastText model has no labels", path, "use a classifier, not word vectors")
    entries, words, labels, _, pruned = reader.take(_DICTIONARY)
    if min(words, labels, dimensions, buckets) < 0 or entries != words + labels or pruned < -1:
        raise reader.broken()
    starts, stops = np.empty(entries, np.int64), np.empty(entries, np.int64)
    position = _entries(data, reader.position, starts, stops, words)
    if position < 0:
        raise reader.broken()
    reader.position = int(position)
    names = [data[start:stop].tobytes().decode("utf-8", "replace") for start, stop in zip(
        starts[words:].tolist(), stops[words:].tolist(), strict=True)]  # fmt: skip
    reader.skip(8 * max(0, pruned))
    is_quantised = bool(data[reader.peek(1)])
    longest = 0 if version == 11 else longest
    why_not = (
        "it is quantised" if is_quantised else
        "it has a loss other than softmax" if loss != _SOFTMAX else
        "it looks at parts of words" if longest > 0 else
        "its n-grams were pruned" if pruned >= 0 else ""
    )  # fmt: skip
    nothing = np.zeros((0, 0), np.float32)
    weights, output = (nothing, nothing) if why_not else (reader.matrix(), reader.matrix())
    if not why_not and (weights.shape != (words + buckets, dimensions) or output.shape != (labels, dimensions)):
        raise reader.broken()
    return Opened(
        labels=names,
        word_ngrams=word_ngrams,
        buckets=buckets,
        data=data,
        starts=starts[:words],
        stops=stops[:words],
        input=weights,
        output=output,
        why_not=why_not,
    )


class _Reader:
    """A place in a mapped file that is never left behind its end."""

    def __init__(self, data: np.ndarray, path: str) -> None:
        self._data, self._path = data, path
        self.position = 0

    def broken(self) -> UserError:
        return UserError("this fastText model is truncated or damaged", self._path, "download it again")

    def peek(self, size: int) -> int:
        if self.position + size > len(self._data):
            raise self.broken()
        return self.position

    def skip(self, size: int) -> None:
        self.position = self.peek(size) + size

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        start = self.peek(layout.size)
        values = layout.unpack(self._data[start : start + layout.size].tobytes())
        self.position += layout.size
        return values

    def matrix(self) -> np.ndarray:
        is_quantised, height, width = self.take(_MATRIX)
        if is_quantised or height < 0 or width < 0 or height * width > len(self._data):
            raise self.broken()
        start = self.peek(4 * height * width)
        self.position += 4 * height * width
        flat = np.frombuffer(self._data[start : self.position], np.uint8)
        return _as_floats(flat).reshape(height, width)


def _as_floats(flat: np.ndarray) -> np.ndarray:
    return np.ndarray((len(flat) // 4,), "<f4", flat)  # at any address: entries of the dictionary have any length


@kernel
def _entries(data, position, starts, stops, words):
    """Where the dictionary's spellings lie; returns the place after it, or -1 where the file ends before it does."""
    size = len(data)
    for entry in range(len(starts)):
        starts[entry] = position
        while position < size and data[position] != 0:
            position += 1
        stops[entry] = position
        position += 10
        if position > size:
            return -1
        if (data[position - 1] == 0) != (entry < words):
            return -1
    return position
