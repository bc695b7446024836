"""Shards: what is written is read back from the map, in the same bytes; damage and strangers are named."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences import shards
from corpusmill.dataproc.sequences.shard_checks import verify_shard
from corpusmill.dataproc.sequences.shards import (
    STORAGES,
    ShardEntry,
    ShardHeader,
    SpecialIds,
    batch_tokens,
    list_shards,
    open_shard,
    segment_column,
    shard_entries,
    shard_name,
    unpack_rows,
    write_shard,
)

EOS, PAD, BEGIN, HOLE, END = 90, 91, 92, 93, 94
HEADER = ShardHeader(
    tokenizer="f1",
    sequence_length=8,
    special=SpecialIds(eos=EOS, pad=PAD, fim_begin=BEGIN, fim_hole=HOLE, fim_end=END),
    vocab_size=95,
    model_rows=128,
    seed=3,
    packing={"policy": "best-fit"},
    fim={"rate": 0.1},
)
TOKENS = np.array(
    [
        [1, 2, EOS, 3, 4, EOS, PAD, PAD],
        [BEGIN, 5, HOLE, 6, END, 7, EOS, PAD],
        [BEGIN, 1, 1, 1, 1, 1, HOLE, 1],  # the first 8 tokens of a long rearranged document
        [END, 2, 2, EOS, PAD, PAD, PAD, PAD],
    ],
    np.int32,
)
SEGMENTS = [
    [("a", 0, 3, False), ("b", 0, 3, False)],
    [("c", 0, 7, True)],
    [("d", 0, 8, True)],
    [("d", 8, 4, True)],
]


def column(segments=SEGMENTS) -> pa.ListArray:
    flat = [segment for row in segments for segment in row]
    return segment_column(
        np.cumsum([0, *map(len, segments)]),
        pa.array([segment[0] for segment in flat], pa.string()),
        pa.array(["web"] * len(flat)),
        *(np.array([segment[i] for segment in flat], kind) for i, kind in ((1, np.int64), (2, np.int32), (3, bool))),
    )


def write(path, tokens=TOKENS, segments=SEGMENTS, header=HEADER):
    return write_shard(str(path), header, tokens, column(segments))


def stored_tokens(path) -> list[np.ndarray]:
    header, table = open_shard(str(path))
    return [batch_tokens(header, batch) for batch in table.to_batches()]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("tokens_a_batch", [1, 16, 1 << 20])
def test_what_is_written_is_read_back(tmp_path, monkeypatch, tokens_a_batch, storage):
    monkeypatch.setattr(shards, "BATCH_TOKENS", tokens_a_batch)
    path = tmp_path / shard_name(0)
    size, _ = write(path, header=replace(HEADER, storage=storage))
    assert size == path.stat().st_size
    header, table = open_shard(str(path))
    assert header == replace(HEADER, storage=storage)
    batches = stored_tokens(path)
    assert [len(batch) for batch in batches] == {1: [1] * 4, 16: [2, 2], 1 << 20: [4]}[tokens_a_batch]
    assert np.array_equal(np.concatenate(batches), TOKENS)
    assert table["segments"].to_pylist()[0][1] == {
        "document": "b",
        "source": "web",
        "start": 0,
        "length": 3,
        "fim": False,
    }
    assert verify_shard(str(path)) == []


def test_tokens_are_views_of_the_file_and_not_copies(tmp_path):
    write(tmp_path / "s.arrow", np.tile(TOKENS, (5000, 1)), SEGMENTS * 5000)
    before = pa.total_allocated_bytes()
    assert sum(batch.sum() for batch in stored_tokens(tmp_path / "s.arrow")) > 0
    assert pa.total_allocated_bytes() - before < 100_000


def test_packed_tokens_are_three_little_endian_bytes_each(tmp_path):
    wide = np.array([[0, 1, 255, 256, 65_535, 65_536, 128_814, (1 << 24) - 1]], np.int32)
    header = replace(HEADER, storage="packed", vocab_size=1 << 24)
    segments = [[("a", 0, 8, False)]]
    write(tmp_path / "s.arrow", wide, segments, header)
    column = open_shard(str(tmp_path / "s.arrow"))[1]["tokens"]
    assert column.type == pa.binary(24)
    assert column[0].as_py() == b"".join(int(token).to_bytes(3, "little") for token in wide[0])
    assert np.array_equal(stored_tokens(tmp_path / "s.arrow")[0], wide)
    assert np.array_equal(unpack_rows(np.zeros((0, 24), np.uint8)), np.zeros((0, 8), np.int32))
    with pytest.raises(UserError, match="do not fit 3 bytes"):
        write(tmp_path / "t.arrow", wide, segments, replace(header, vocab_size=(1 << 24) + 1))


def test_other_storages_take_less_room(tmp_path):
    text = np.random.default_rng(0).zipf(1.3, (2000, 8)) % 90
    sizes = {}
    for storage in STORAGES:
        header = replace(HEADER, storage=storage)
        sizes[storage], _ = write(tmp_path / storage, text.astype(np.int32), SEGMENTS * 500, header)
    assert sizes["zstd"] < sizes["packed"] < sizes["plain"]


def test_the_contract_on_disk(tmp_path):
    write(tmp_path / "s.arrow")
    table = pa.ipc.open_file(pa.OSFile(str(tmp_path / "s.arrow"))).read_all()
    assert table.schema.field("tokens").type.equals(pa.list_(pa.field("item", pa.int32(), nullable=False), 8))
    assert table.column_names == ["tokens", "segments"]
    assert json.loads(table.schema.metadata[b"corpusmill"]) == {
        "version": 2,
        "tokenizer": "f1",
        "sequence_length": 8,
        "special": {"bos": None, "eos": EOS, "pad": PAD, "fim_begin": BEGIN, "fim_hole": HOLE, "fim_end": END},
        "vocab_size": 95,
        "model_rows": 128,
        "seed": 3,
        "packing": {"policy": "best-fit"},
        "fim": {"rate": 0.1},
        "group": "",
        "storage": "plain",
    }


def test_bytes_do_not_depend_on_where_the_arrays_come_from(tmp_path):
    once = write(tmp_path / "a.arrow")
    padded = column([[("zz", 1, 1, True)] * 3, *SEGMENTS, [("y", 0, 1, False)]]).slice(1, 4)
    wide = np.asfortranarray(np.vstack([TOKENS, TOKENS]))[:4]
    assert write_shard(str(tmp_path / "b.arrow"), HEADER, wide, padded) == once
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


@pytest.mark.parametrize(
    ("row", "place", "token", "problem"),
    [
        (0, 0, 95, "vocabulary"),
        (0, 0, -1, "vocabulary"),
        (0, 7, 1, "padding that is not"),
        (0, 1, PAD, "pad tokens inside"),
        (0, 1, EOS, "end tokens inside"),
        (0, 1, HOLE, "unbalanced FIM"),
        (1, 2, 6, "unbalanced FIM"),
        (1, 5, END, "unbalanced FIM"),
        (2, 1, HOLE, "unbalanced FIM"),
    ],
)
def test_a_wrong_token_is_found_with_its_sequence(tmp_path, monkeypatch, row, place, token, problem):
    monkeypatch.setattr(shards, "BATCH_TOKENS", 16)
    tokens = TOKENS.copy()
    tokens[row, place] = token
    write(tmp_path / "s.arrow", tokens)
    problems = verify_shard(str(tmp_path / "s.arrow"))
    assert any(problem in line and f"(sequence {row})" in line for line in problems), problems


def test_markers_in_the_wrong_order(tmp_path):
    tokens = TOKENS.copy()
    tokens[1, [2, 4]] = tokens[1, [4, 2]]
    write(tmp_path / "s.arrow", tokens)
    assert verify_shard(str(tmp_path / "s.arrow")) == ["unbalanced FIM tokens: 1 (sequence 1)"]


@pytest.mark.parametrize(
    ("segments", "problem"),
    [
        ([("a", 0, 3, False), ("b", 0, 6, False)], "longer than their sequence"),
        ([("a", 0, 3, False), ("b", 0, 0, False)], "empty segments"),
        ([("a", 0, 3, False), ("b", -1, 3, False)], "before their document"),
        ([], "without a segment"),
        ([("a", 0, 3, False)], "padding that is not"),
        ([("a", 0, 6, False)], "end tokens inside"),
    ],
)
def test_segments_have_to_add_up(tmp_path, segments, problem):
    write(tmp_path / "s.arrow", segments=[segments, *SEGMENTS[1:]])
    assert any(problem in line for line in verify_shard(str(tmp_path / "s.arrow")))


def test_pad_and_bos_may_be_eos(tmp_path):
    special = SpecialIds(eos=EOS, pad=EOS, bos=EOS)
    tokens = np.array([[EOS, 1, EOS, EOS, 2, EOS, EOS, EOS]], np.int32)
    write(tmp_path / "s.arrow", tokens, [[("a", 0, 3, False), ("b", 0, 3, False)]], replace(HEADER, special=special))
    assert verify_shard(str(tmp_path / "s.arrow")) == []


def test_truncated_foreign_and_missing_files_are_users_mistakes(tmp_path):
    path = tmp_path / "s.arrow"
    write(path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], b"", b"ARROW1 but no more"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"s\.arrow"):
            open_shard(str(path))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.schema([("x", pa.int8())])):
        pass
    with pytest.raises(UserError, match="not a corpusmill shard"):
        open_shard(str(path))
    with pytest.raises(UserError, match="no such file"):
        open_shard(str(tmp_path / "none.arrow"))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"storage": "zip"},
        {"group": 1},
        {"seed": "x"},
        {"unknown": 1},
        {"special": {"eos": 1}},
        {"special": 4},
        {"packing": 3},
    ],
)
def test_a_header_that_is_not_ours_is_a_users_mistake(change):
    assert ShardHeader.from_json(HEADER.to_json()) == HEADER
    with pytest.raises(UserError):
        ShardHeader.from_json(json.dumps({**json.loads(HEADER.to_json()), **change}), "s.arrow")
    with pytest.raises(UserError):
        ShardHeader.from_json("[]")


def test_shards_of_a_folder_by_number(tmp_path):
    for name in (
        shard_name(100000),
        shard_name(99999),
        shard_name(2),
        shard_name(2, 10),
        shard_name(2, 1),
        shard_name(2, 1000),
        "shard-1.arrow",
        ".tmp-1-shard-00003.arrow",
        "x",
    ):
        (tmp_path / name).touch()
    assert [path.rsplit("/", 1)[1] for path in list_shards(str(tmp_path))] == [
        "shard-00002.arrow",
        "shard-00002_001.arrow",
        "shard-00002_010.arrow",
        "shard-00002_1000.arrow",
        "shard-99999.arrow",
        "shard-100000.arrow",
    ]
    assert list_shards(str(tmp_path / "none")) == []


def test_an_empty_shard_is_sound(tmp_path):
    write(tmp_path / "s.arrow", np.empty((0, 8), np.int32), [])
    assert verify_shard(str(tmp_path / "s.arrow")) == []
    with pytest.raises(ValueError, match="do not fit"):
        write(tmp_path / "t.arrow", TOKENS[:, :4])


def entry_of(path, name, group="") -> dict:
    size, digest = write(path / name, header=replace(HEADER, group=group))
    return {"path": name, "rows": 4, "bytes": size, "digest": digest, "tokens": 24, "group": group}


def test_a_manifest_tells_the_shards_without_opening_one(tmp_path, monkeypatch):
    parts = [entry_of(tmp_path, shard_name(number), group) for number, group in ((0, "web"), (1, "code"))]
    held_back = entry_of(tmp_path, f"_validation/{shard_name(2)}")
    files = [{"path": "_vocabulary.parquet", "bytes": 1, "digest": "d"}, held_back]
    opened = shard_entries(str(tmp_path))
    assert [(entry.rows, entry.group, entry.digest, entry.tokens) for entry in opened] == [
        (4, "web", "", 0),
        (4, "code", "", 0),
    ]
    (tmp_path / "_manifest.json").write_text(json.dumps({"parts": parts, "files": files}))
    monkeypatch.setattr(shards, "open_shard", lambda path: pytest.fail(f"{path} was opened"))
    for folder in (str(tmp_path), f"{tmp_path}/"):
        entries = shard_entries(folder)
        assert [entry.path.rsplit("/", 1)[1] for entry in entries] == [part["path"] for part in parts]
        assert [entry.digest for entry in entries] == [part["digest"] for part in parts]
    (apart,) = shard_entries(str(tmp_path / "_validation"))
    assert apart == ShardEntry(f"{tmp_path}/{held_back['path']}", 4, "", held_back["bytes"], held_back["digest"], 24)
    (tmp_path / shard_name(1)).unlink()
    with pytest.raises(UserError, match="shard-00001"):
        shard_entries(str(tmp_path))
