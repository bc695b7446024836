"""Where the files of a repository begin in a document's text: `file_starts` in its `meta`, byte offsets.

Readers of repositories write them (`dataproc.readers.repository`), fill-in-the-middle cuts within a file by them. They
are true of the text as it was read; whatever changes a text must take them away, or the cuts would fall anywhere.
"""

import orjson
import pyarrow as pa
import pyarrow.compute as pc

FILE_STARTS = "file_starts"


def with_texts(batch: pa.RecordBatch, texts: pa.Array) -> pa.RecordBatch:
    """The batch with other texts, and no `file_starts` in `meta` where a text changed; the rest of `meta` stays."""
    names = batch.schema.get_field_index
    if "meta" in batch.schema.names:
        metas = batch.column("meta")
        named = pc.match_substring(metas, f'"{FILE_STARTS}"').fill_null(False)
        stale = pc.and_(named, pc.not_equal(batch.column("text"), texts))
        if pc.any(stale).as_py():
            mended = pa.array([_without(meta) for meta in metas.filter(stale).to_pylist()], metas.type)
            kept = pc.replace_with_mask(metas, stale, mended)
            batch = batch.set_column(names("meta"), batch.schema.field("meta"), kept)
    return batch.set_column(names("text"), batch.schema.field("text"), texts)


def _without(meta: str) -> str:
    try:
        record = orjson.loads(meta)
    except orjson.JSONDecodeError:
        return meta  # not ours: nobody reads places out of it
    if not isinstance(record, dict):
        return meta
    record.pop(FILE_STARTS, None)
    return orjson.dumps(record).decode()
