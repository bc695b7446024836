"""An index of evaluation sets as one file, which all workers of a machine map and so hold once.

An Arrow IPC file of one row, a list for each array: nothing is copied or rebuilt when it is opened (1 ms for any size),
and equal sets and settings give equal bytes. Lengths, names of sets and bits of the hash are in its metadata.
"""

from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.contamination.index import ARRAYS, OverlapIndex
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only

METADATA = b"corpusmill"


def write_index(path: str, index: OverlapIndex) -> dict[str, Any]:
    """Commits the index as one file; gives its bytes and digest."""
    described = {name: getattr(index, name) for name in ("ngram", "minimum", "key_bits")}
    described["sets"] = list(index.set_names)
    columns: list[pa.Array] = [_as_row(getattr(index, name), kind) for name, kind in ARRAYS.items()]
    ends = pa.array([0, index.items], pa.int64())
    columns.append(pa.LargeListArray.from_arrays(ends, index.item_ids))
    schema = pa.schema(
        [*((name, pa.large_list(kind)) for name, kind in ARRAYS.items()), ("item_ids", pa.large_list(pa.string()))],
        {METADATA: orjson.dumps(described)},
    )
    with storage.commit_file(path) as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return {"bytes": file.bytes, "digest": file.digest}


def _as_row(array: np.ndarray, kind: pa.DataType) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array([0, len(array)], pa.int64()), pa.array(array, kind))


def open_index(path: str) -> OverlapIndex:
    """Opens an index; a local one is mapped, so that all workers of a machine share its memory."""
    source = storage.open_input(path)
    if not storage.is_url(path):
        source.close()
        source = pa.memory_map(path)
    try:
        batch = pa.ipc.open_file(source).get_batch(0)
        described = orjson.loads(batch.schema.metadata[METADATA])
        arrays: dict[str, Any] = {
            name: read_only(batch.column(name).values.to_numpy(zero_copy_only=True), kind.to_pandas_dtype())
            for name, kind in ARRAYS.items()
        }
        ids = batch.column("item_ids").values
    except (pa.ArrowInvalid, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"incomplete or damaged index of evaluation sets ({error})", path, "make it again") from error
    names = tuple(described.pop("sets"))
    return OverlapIndex(**described, set_names=names, item_ids=ids, **arrays)
