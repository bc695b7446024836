"""What `corpusmill inspect` says of folders: their contents at a glance, and folders that no stage of ours made."""

import json
import shlex
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from corpusmill.dataproc.dedup.index_entries import DatasetEntry, Generation, SegmentEntry
from corpusmill.dataproc.dedup.index_files import generation_path
from corpusmill.pipelines.inspect.contents import QUANTILES, contents_of, lengths_of
from corpusmill.pipelines.inspect.places import recognise
from tests.pipelines import inspecting
from tests.pipelines.inspecting import Command
from tests.pipelines.small_dataset import write_dataset
from tests.pipelines.small_run import add_shards, make_run, prose


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("kinds"))
    add_shards(run)
    return run


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return inspecting.command(monkeypatch, capsys)


def described(inspect: Command, path: Path) -> dict[str, Any]:
    code, out, error = inspect(path, "--json")
    assert (code, error) == (0, "")
    values: dict[str, Any] = json.loads(out)
    code, out, error = inspect(path)
    assert (code, error) == (0, "")
    assert out.startswith(f"{path}: ")
    return values


def test_a_dataset_is_shown_with_what_it_holds(tmp_path: Path, inspect: Command) -> None:
    rows = [
        {"id": f"{n}", "text": "é" * (n + 1), "source": "ab"[n % 2], "language": ("en", None)[n % 2]} for n in range(40)
    ]
    folder = write_dataset(tmp_path / "documents", rows[:25], [], rows[25:])
    contents = described(inspect, folder)["contents"]
    assert contents["columns"]["text"] == "large_string"
    assert contents["counted"]["sources"] == {"a": 20, "b": 20}
    assert contents["counted"]["languages"] == {"en": 20, "(unknown)": 20}
    in_bytes, in_characters = contents["lengths"]
    assert (in_bytes["sampled"], in_bytes["rows"]) == (40, 40)
    assert in_bytes["quantiles"]["0.5"] == 2 * in_characters["quantiles"]["0.5"]
    assert sum(in_bytes["counts"]) == 40
    _, out, _ = inspect(folder)
    assert "lengths of documents in bytes\n" in out, "all of it was looked at, so it is no sample"


def test_lengths_are_counted_by_powers_of_two() -> None:
    lengths = np.random.default_rng(3).integers(0, 5000, 1000)
    counted = lengths_of(lengths, "bytes", "documents", 9)
    for edge, after, count in zip(counted.edges[:-1], counted.edges[1:], counted.counts, strict=True):
        assert count == int(((lengths >= edge) & (lengths < after)).sum())
    assert sum(counted.counts) == 1000
    assert counted.quantiles["0.5"] == np.quantile(lengths, 0.5, method="lower")
    assert lengths_of(np.array([7, 7]), "bytes", "documents", 2).edges == [4, 8]
    assert lengths_of(np.zeros(0, np.int64), "bytes", "documents", 0).sampled == 0


def test_a_large_dataset_is_sampled_and_says_so(tmp_path: Path, inspect: Command) -> None:
    parts = [[{"id": f"{part}-{n}", "text": "x" * (part + 1)} for n in range(3)] for part in range(9)]
    folder = write_dataset(tmp_path / "documents", *parts)
    (lengths, _) = contents_of(recognise(str(folder))).lengths
    assert (lengths.sampled, lengths.rows) == (9, 27)
    assert "lengths of documents in bytes (of a sample of 9 of 27)" in inspect(folder)[1]


def test_a_filter_shows_quantiles_of_what_its_rules_look_at(made: Path, inspect: Command) -> None:
    values = described(inspect, made / "clean")
    statistics = values["contents"]["statistics"]
    assert set(statistics) >= {"byte_count", "word_count", "mean_word_length"}
    assert all(list(map(float, quantiles)) == list(QUANTILES) for quantiles in statistics.values())
    assert [link["name"] for link in values["lineage"]] == ["clean", "documents"]


def test_commands_that_come_next_work_as_they_are_written(made: Path, inspect: Command) -> None:
    for path in (made, made / "clean", made / "shards", made / "clean/_rejected"):
        for line in described(inspect, path)["next"]:
            words = shlex.split(line)
            assert words[0] == "corpusmill"
            if words[1] == "inspect" and "ID" not in words and words[2] not in ("verify", "lint"):
                assert inspect(*words[2:])[0] == 0, line
        assert described(inspect, path)["next"][0] in inspect(path)[1]


def test_segments_and_tokens_of_shards_are_counted(made: Path, inspect: Command) -> None:
    contents = described(inspect, made / "shards")["contents"]
    assert contents["counted_unit"] == "tokens"
    assert contents["lengths"][0]["of"] == "segments"
    assert contents["lengths"][0]["sampled"] == 3


def test_an_index_is_known(tmp_path: Path, inspect: Command) -> None:
    datasets = (DatasetEntry(path="/data/a", manifest="", documents=10),)
    entry = SegmentEntry(number=0, folder="segments/0", datasets=datasets, bytes=99, digest="", retracted=2)
    generation = Generation(number=0, settings={"threshold": 0.8, "seed": 20260101}, next_segment=1, segments=(entry,))
    path = Path(generation_path(str(tmp_path), 0))
    path.parent.mkdir()
    path.write_bytes(generation.to_json())
    assert described(inspect, tmp_path)["what"] == "index"
    _, out, _ = inspect(tmp_path)
    assert "/data/a  10 documents, segment 0" in out and "2 documents retracted" in out
    assert "20260101" in out


def _safetensors(path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(24))


def test_checkpoints_and_model_files_are_known_by_their_headers(tmp_path: Path, inspect: Command) -> None:
    step = tmp_path / "checkpoints/step-000100"
    step.mkdir(parents=True)
    (step.parent / "latest").write_text("step-000100\n")
    _safetensors(step / "rank-00000.safetensors")
    tensors = {"model.w": {"shape": [2, 3], "type": "F32"}, "exp_avg.w": {"shape": [2, 3], "type": "F32"}}
    (step / "index.json").write_text(json.dumps({"files": {"rank-00000.safetensors": 24}, "tensors": tensors}))
    (step / "state.json").write_text(
        json.dumps({"step": 100, "loader": {"sequences_consumed": 7}, "run": {"clip": 1.0}})
    )
    values = described(inspect, step)
    assert (values["what"], values["described"]["step"]) == ("checkpoint", 100)
    assert values["described"]["tensors"]["model"] == "1 tensors, 6 numbers"
    assert described(inspect, step.parent)["described"]["latest"] == "step-000100"
    model = tmp_path / "model"
    model.mkdir()
    _safetensors(model / "model.safetensors")
    (model / "config.json").write_text(json.dumps({"architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 8}))
    values = described(inspect, model)["described"]
    assert (values["parameters"], values["architecture"]) == (6, "DeepseekV3ForCausalLM")


def test_other_trainers_token_files_are_known(tmp_path: Path, inspect: Command) -> None:
    megatron, mds, flat = (tmp_path / name for name in ("megatron", "mds", "flat"))
    for folder in (megatron, mds, flat):
        folder.mkdir()
    (megatron / "a.idx").write_bytes(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, 5, 6))
    (megatron / "a.bin").write_bytes(bytes(40))
    assert described(inspect, megatron)["described"]["sets"]["a"].startswith(
        "5 sequences, 5 documents, 20 tokens as uint16"
    )
    assert described(inspect, megatron / "a.idx")["what"] == "megatron"
    shard = {"samples": 3, "raw_data": {"bytes": 10}, "column_names": ["tokens"], "column_encodings": ["bytes"]}
    (mds / "index.json").write_text(json.dumps({"version": 2, "shards": [shard, shard]}))
    assert described(inspect, mds)["described"] == {
        "version": 2, "shards": 2, "samples": 6, "bytes": 20, "compression": None, "columns": {"tokens": "bytes"},
    }  # fmt: skip
    (flat / "tokens.bin").write_bytes(bytes(8))
    (flat / "tokens.json").write_text(json.dumps({"dtype": "uint32"}))
    assert described(inspect, flat)["described"]["sets"] == {"tokens": "8 bytes, 2 tokens as uint32"}


def test_folders_of_hugging_face_are_known(tmp_path: Path, inspect: Command) -> None:
    tokenizer, dataset = tmp_path / "tokenizer", tmp_path / "dataset"
    tokenizer.mkdir()
    dataset.mkdir()
    values = {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}, "added_tokens": []}
    (tokenizer / "tokenizer.json").write_text(json.dumps(values))
    assert described(inspect, tokenizer)["described"]["vocabulary"] == 2
    table = pa.table({"text": ["one", "two"]})
    with (
        pa.OSFile(str(dataset / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as out,
    ):
        out.write_table(table)
    info = {"features": {"text": {"dtype": "string", "_type": "Value"}}, "splits": {"train": {"num_examples": 2}}}
    (dataset / "dataset_info.json").write_text(json.dumps(info))
    saved = described(inspect, dataset)["described"]
    assert (saved["rows"], saved["columns"], saved["files"]) == (2, {"text": "string"}, 1)


def test_damaged_files_of_others_are_one_line(tmp_path: Path, inspect: Command) -> None:
    (tmp_path / "a.idx").write_bytes(b"no index")
    (tmp_path / "a.bin").write_bytes(b"")
    code, out, error = inspect(tmp_path)
    assert (code, out) == (2, "")
    assert "this is not a Megatron index" in error
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"\xff" * 20)
    assert "this is not a safetensors file" in inspect(folder)[2]
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.md").write_text(prose(1))
    assert "not made by corpusmill, and not a format that inspect knows" in inspect(empty)[2]
