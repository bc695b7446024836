"""What every rewriter does around its kernel: settings checked, texts to buffers and back, numbers to columns.

Settings are plain JSON, checked against the fields that a rewriter declares before anything runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.measures.columns import Column


def spared_rows(batch: pa.RecordBatch, kinds: Sequence[str]) -> np.ndarray:
    """Which documents are of one of these kinds: uint8 of shape (N,), 1 for those that keep their text."""
    if not kinds:
        return np.zeros(batch.num_rows, np.uint8)
    spared = pc.is_in(batch.column("kind"), value_set=pa.array(kinds, pa.string()))
    return spared.to_numpy(zero_copy_only=False).astype(np.uint8)


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


def check_settings(rewriter: Any) -> None:
    """Makes tuples of the lists among a new rewriter's settings, and checks all by the types of its fields.

    Counts (int) may not be negative and strings in a tuple not blank. Raises UserError.
    """
    hints = get_type_hints(type(rewriter))
    for field in fields(rewriter):
        where = f"{rewriter.name}, setting '{field.name}'"
        value = getattr(rewriter, field.name)
        object.__setattr__(rewriter, field.name, _checked(value, hints[field.name], where))


def _checked(value: Any, wanted: Any, where: str) -> Any:
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise UserError(f"'{value}' is not one of the choices", where, f"use one of {', '.join(get_args(wanted))}")
        return value
    if wanted == tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise UserError(f"must be a list of strings, not {value!r}", where)
        if not all(isinstance(entry, str) and entry.strip() for entry in value):
            raise UserError("an entry is blank or not a string", where)
        return tuple(value)
    if get_origin(wanted) is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"must be a mapping, not {value!r}", where)
        return {str(key): _checked(entry, get_args(wanted)[1], f"{where}, '{key}'") for key, entry in value.items()}
    if type(value) is not wanted:
        kinds = {int: "a whole number", bool: "true or false", str: "a string"}
        raise UserError(f"must be {kinds[wanted]}, not {value!r}", where)
    if wanted is int and value < 0:
        raise UserError("must not be negative", where)
    return value
