"""Files that are damaged, missing or of another kind end in one line that names them."""

import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange.formats import format_named
from tests.dataproc.exchange.shardset import EOS, OPTIONS, export, make_shards

DOCUMENTS = [[1, 2, EOS], [3, EOS], [4, 5, 6, EOS]]
UINT16 = OPTIONS._replace(dtype="uint16")


def read_all(kind, path, options=OPTIONS):
    module = format_named(kind)
    return [read for piece in module.pieces(str(path), 1 << 20, options) for read in module.read(piece, options)]


@pytest.fixture
def made(tmp_path):
    def go(kind: str, unit: str = "document") -> Path:
        export(kind, make_shards(tmp_path / "shards", DOCUMENTS), tmp_path / "out", unit)
        return tmp_path / "out"

    return go


def refused(kind, path, line, options=OPTIONS):
    with pytest.raises(UserError) as caught:
        read_all(kind, path, options)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert str(path).split("/out")[0] in str(caught.value)


def edit_json(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def cut_short(path, by=1):
    path.write_bytes(path.read_bytes()[:-by])


@pytest.mark.parametrize("kind", ["megatron", "mds", "huggingface", "flat"])
def test_an_empty_folder_is_named(tmp_path, kind):
    refused(kind, tmp_path, "here")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda idx: cut_short(idx.with_suffix(".bin")), "bytes, and"),
        (lambda idx: cut_short(idx), "it may be truncated"),
        (lambda idx: idx.write_bytes(b""), "this file has 0 bytes"),
        (lambda idx: idx.write_bytes(b"MMIDIDY" + idx.read_bytes()[7:]), "no Megatron index"),
        (lambda idx: idx.write_bytes(idx.read_bytes()[:9] + struct.pack("<Q", 2) + idx.read_bytes()[17:]), "version 1"),
        (lambda idx: idx.write_bytes(idx.read_bytes()[:17] + b"\x07" + idx.read_bytes()[18:]), "not integers"),
        (lambda idx: idx.write_bytes(idx.read_bytes()[:18] + b"\xff" * 8 + idx.read_bytes()[26:]), "were expected"),
        (lambda idx: idx.write_bytes(idx.read_bytes()[:34] + b"\xff" * 4 + idx.read_bytes()[38:]), "do not follow"),
        (lambda idx: idx.write_bytes(idx.read_bytes()[:-8] + b"\0" * 8), "documents do not cover"),
        (lambda idx: idx.with_suffix(".bin").unlink(), "the .bin beside this index is missing"),
    ],
)
def test_damaged_megatron_files(made, damage, line):
    folder = made("megatron")
    damage(folder / "shard-00000.idx")
    refused("megatron", folder, line)


def _compress(index):
    index["shards"][0] |= {"compression": "zstd:7", "zip_data": {"basename": "shard.mds.zstd", "bytes": 1}}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_compress, "shard.mds.zstd is compressed (zstd:7), which is not read here; write it without compression"),
        (lambda index: index.update(version=1), "not an MDS index of version 2"),
        (lambda index: index["shards"][0].update(format="json"), "not an MDS index of version 2"),
        (lambda index: index["shards"][0].pop("samples"), "this index cannot be read (KeyError('samples'))"),
        (lambda index: index["shards"][0].update(samples=-1), "negative numbers"),
        (lambda index: index["shards"][0].update(samples=1), "is not the 1 samples"),
        (lambda index: index["shards"][0]["raw_data"].update(basename="../x.mds"), "lies outside its folder"),
        (lambda index: index["shards"][0]["raw_data"].update(basename="x.mds"), "no such file"),
        (lambda index: index["shards"][0].update(column_names=["a", "b", "c"]), "no column input_ids or tokens among"),
        (
            lambda index: index["shards"][0].update(column_encodings=["str", "str", "pkl"]),
            "of pkl does not contain token ids",
        ),
        (
            lambda index: index["shards"][0].update(column_encodings=["str", "str", "ndarray:float32"]),
            "does not contain token",
        ),
        (lambda index: index["shards"][0].update(column_sizes=[None, None, 4]), "differs from its column sizes"),
    ],
)
def test_damaged_mds_indexes(made, change, line):
    folder = made("mds")
    edit_json(folder / "index.json", change)
    refused("mds", folder, line)


@pytest.mark.parametrize("by", [1, 40])
def test_truncated_mds_shards(made, by):
    folder = made("mds")
    cut_short(folder / "shard-00000.mds", by)
    refused("mds", folder, "it may be truncated")


def test_an_mds_folder_without_an_index_or_with_another(made):
    folder = made("mds")
    (folder / "index.json").write_text("{")
    refused("mds", folder, "this index cannot be read")
    (folder / "index.json").unlink()
    refused("mds", folder, "no index.json here")


def test_mds_samples_whose_sizes_lie(made):
    folder = made("mds")
    raw = bytearray((folder / "shard-00000.mds").read_bytes())
    (first,) = struct.unpack_from("<I", raw, 4)
    struct.pack_into("<I", raw, first, 1 << 31)
    (folder / "shard-00000.mds").write_bytes(raw)
    refused("mds", folder, "differs from its column sizes")


def test_damaged_parquet_and_arrow_files(made, tmp_path):
    folder = made("huggingface")
    cut_short(folder / "shard-00000.parquet")
    refused("huggingface", folder, "not a readable Parquet file")
    arrow = tmp_path / "arrow" / "data-00000-of-00001.arrow"
    arrow.parent.mkdir()
    arrow.write_bytes(b"nothing")
    refused("huggingface", arrow.parent, "not an Arrow stream")


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (pa.table({"text": ["a"]}), "no column input_ids or tokens among text; name the column of token ids"),
        (pa.table({"input_ids": [1, 2]}), "column input_ids holds int64, not lists of token ids"),
        (pa.table({"input_ids": [[1.5]]}), "not lists of token ids"),
        (pa.table({"input_ids": [[1], None]}), "row 1: a row has no tokens"),
        (pa.table({"input_ids": [[1, None]]}), "a token is null"),
    ],
)
def test_tables_without_tokens(tmp_path, table, line):
    pq.write_table(table, tmp_path / "a.parquet")
    refused("huggingface", tmp_path / "a.parquet", line)


def test_a_set_of_several_splits_asks_for_one(tmp_path):
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    refused("huggingface", tmp_path, "has several splits (train, test); name one of them")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda path: cut_short(path), "it may be truncated"),
        (lambda path: cut_short(path, 2), "it may be truncated"),
        (lambda path: path.with_suffix(".json").unlink(), "pass --dtype uint16 or uint32"),
        (lambda path: path.with_suffix(".json").write_text("{}"), "does not describe flat tokens ('dtype')"),
        (lambda path: path.with_suffix(".json").write_text('{"dtype":"f4","tokens":9}'), "does not describe"),
    ],
)
def test_damaged_flat_files(made, damage, line):
    folder = made("flat")
    damage(folder / "shard-00000.bin")
    refused("flat", folder, line)


def test_flat_files_of_others_are_read_by_a_dtype_or_their_header(tmp_path):
    tokens = np.array([1, 2, EOS, 3, EOS], "<u2")
    tokens.tofile(tmp_path / "train.bin")
    head = np.zeros(256, "<i4")
    head[:3] = 20240520, 1, len(tokens)
    (tmp_path / "llm.bin").write_bytes(head.tobytes() + tokens.tobytes())
    for name, options in (("train.bin", UINT16), ("llm.bin", OPTIONS)):
        (read,) = read_all("flat", tmp_path / name, options)
        assert read.tokens.tolist() == tokens.tolist()
    cut_short(tmp_path / "train.bin")
    refused("flat", tmp_path / "train.bin", "not a whole number of uint16", UINT16)
