"""Writing the warm table (`warm.py`): the commonest pieces of the training text, with the ids of the encoder."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.storage import commit_bytes, join
from corpusmill.tokenizer.counting.counts import PretokenCounts
from corpusmill.tokenizer.cuts import pieces_of
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.lookup import LONGEST
from corpusmill.tokenizer.pretokens import read_text
from corpusmill.tokenizer.warm import FORMAT, WARM, WarmTable, digest_of, encodable_ids, lists_of, table_of

LINE = 64
"""Bytes of a line of the processor's cache, on which slots begin."""


def common_pieces(tokenizer: Tokenizer, counts: PretokenCounts, limit: int) -> pa.LargeBinaryArray:
    """The `limit` commonest pieces of text that the encoder looks up, commonest first.

    The rarest pretokens, which might also give pieces, are not looked at: only four times as many as are asked for.
    """
    some = counts.pretokens[: 4 * limit]
    offsets, data = read_text(some)
    blocks = [offsets[:1]]
    for _, ends, _ in pieces_of(data, [(int(offsets[0]), offsets[1:])], *tokenizer.cutting):
        blocks.append(ends.copy())
    places = np.concatenate(blocks)
    cut = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(places) - 1, [None, *_buffers(places, data)])
    pretoken = np.searchsorted(offsets, places[:-1], side="right") - 1
    pieces = pa.table([cut, pa.array(counts.counts[: 4 * limit][pretoken])], ["piece", "count"])
    pieces = pieces.filter(pc.less_equal(pc.binary_length(pieces["piece"]), LONGEST))
    summed = pieces.group_by("piece").aggregate([("count", "sum")])
    return summed.sort_by([("count_sum", "descending"), ("piece", "ascending")])["piece"][:limit].combine_chunks()


def _buffers(offsets: np.ndarray, data: np.ndarray) -> tuple[pa.Buffer, pa.Buffer]:
    return pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)


def _file_bytes(warm: WarmTable, fingerprint: str, padding: int) -> pa.Buffer:
    slots, arena = warm.table.slots.reshape(-1), warm.table.arena
    lists = [
        pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), pa.array(values))
        for values in (np.zeros(padding // 8, np.uint64), slots, arena)
    ]
    facts = {"fingerprint": fingerprint, "pretokens": str(warm.pretokens), "digest": digest_of(slots, arena)}
    batch = pa.record_batch(lists, ["padding", "slots", "arena"]).replace_schema_metadata({"format": FORMAT, **facts})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def write_warm_table(folder: str, tokenizer: Tokenizer, counts: PretokenCounts, limit: int) -> WarmTable:
    """Writes `warm.arrow` into a tokenizer's folder (path or URL).

    Args:
        folder: where `write_tokenizer` wrote.
        tokenizer: that tokenizer; its ids are what is written.
        counts: of the training text, by the tokenizer's pattern.
        limit: most pretokens; each takes some 50 bytes.
    """
    pieces = common_pieces(tokenizer, counts, limit)
    if tokenizer.vocabulary.whole_first:
        tokens = tokenizer.vocabulary.tokens.take(pa.array(encodable_ids(tokenizer.vocabulary)))
        pieces = pc.unique(pa.concat_arrays([tokens, pieces]))
    warm = table_of(pieces, tokenizer.encode_pieces(pieces))
    content = _file_bytes(warm, tokenizer.fingerprint, 0)
    slots = lists_of(pa.ipc.open_file(content).get_batch(0))[0]
    padding = (content.address - slots.ctypes.data) % LINE
    if padding:
        content = _file_bytes(warm, tokenizer.fingerprint, padding)
    commit_bytes(join(folder, WARM), content)
    return warm
