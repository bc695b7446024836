"""What every rewriter does around its kernel: texts to buffers and back, numbers to columns, whom it leaves alone."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.measures.columns import Column


def spared_rows(batch: pa.RecordBatch, kinds: Sequence[str]) -> np.ndarray:
    """Which documents are of one of these kinds: uint8 of shape (N,), 1 for those that keep their text."""
    if not kinds:
        return np.zeros(batch.num_rows, np.uint8)
    found = pc.is_in(batch.column("kind"), value_set=pa.array(kinds, pa.string()))
    return found.to_numpy(zero_copy_only=False).astype(np.uint8)


def text_array(bounds: np.ndarray, data: np.ndarray) -> pa.Array:
    """Texts (large_string) out of int64 bounds (N + 1,) that begin at 0, and bytes; neither is copied."""
    buffers = [pa.py_buffer(bounds), pa.py_buffer(data[: int(bounds[-1])])]
    return pa.LargeStringArray.from_buffers(len(bounds) - 1, *buffers)


def number_rows(columns: Sequence[Column], values: Sequence[np.ndarray]) -> pa.RecordBatch:
    """One row a document, one array a column."""
    arrays = [pa.array(array, column.type) for column, array in zip(columns, values, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where there is nothing to share: float64."""
    return part / np.maximum(whole, 1)
