"""Export and import as stages: shards to every format and back, whole, resumable, and the same by any workers."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shard_checks import verify_shard
from corpusmill.dataproc.sequences.shards import batch_tokens, list_shards, open_shard
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Session, run_stage
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.settings import validate
from corpusmill.tokenizer.encoder import Tokenizer
from tests.pipelines.road import assert_same_bytes
from tests.pipelines.test_stage_inputs import run

FORMATS = ("megatron", "mds", "huggingface", "flat")
LENGTH = 64


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer, and shards of documents of many lengths, some of them held back and some cut over sequences."""
    folder = tmp_path_factory.mktemp("made")
    lines = [
        orjson.dumps({"text": f"Line {number} of a river, a stone.\n" * (1 + number % 23)}) for number in range(150)
    ]
    (folder / "raw.jsonl").write_bytes(b"\n".join(lines))
    run("ingest", folder / "documents", inputs=[str(folder / "raw.jsonl")])
    run("tokenizer", folder / "tokenizer", datasets=[str(folder / "documents")], vocab_size=300, special="compact")
    more = {"sequence_length": LENGTH, "shard_tokens": 20 * LENGTH, "validation_share": 0.2, "fim_minimum": 1}
    run("pack", folder / "shards", datasets=[str(folder / "documents")], tokenizer=str(folder / "tokenizer"), **more)
    return folder


def documents(folder: Path, side: str = "") -> list[list[int]]:
    """The documents of a shard set, joined by a plain loop."""
    pieces = defaultdict(list)
    for path in list_shards(str(folder / side)):
        header, table = open_shard(path)
        for batch in table.to_batches():
            for row, segments in zip(batch_tokens(header, batch), batch["segments"].to_pylist(), strict=True):
                place = 0
                for segment in segments:
                    tokens = row[place : place + segment["length"]].tolist()
                    pieces[segment["document"]].append((segment["start"], tokens))
                    place += segment["length"]
    return sorted([token for _, piece in sorted(stretches) for token in piece] for stretches in pieces.values())


def back(made: Path, folder: Path, name: Path, kind: str, **more: Any) -> dict[str, Any]:
    """Imports a folder; gives the counts."""
    settings = {"format": kind, "tokenizer": str(made / "tokenizer"), "sequence_length": LENGTH, **more}
    settings = {"shard_tokens": 20 * LENGTH, "task_bytes": "4KiB", **settings}
    return run("import", name, paths=[str(folder)], **settings).manifest["counts"]


@pytest.mark.parametrize("kind", FORMATS)
def test_documents_come_back_from_every_format(made: Path, tmp_path: Path, kind: str) -> None:
    done = run("export", tmp_path / "out", shards=str(made / "shards"), to=kind, unit="document")
    expected, held_back = documents(made / "shards"), documents(made / "shards", "_validation")
    assert len(held_back) > 10 and any(len(document) > LENGTH for document in expected)
    assert done.manifest["counts"]["items"] == len(expected)
    assert done.manifest["counts"]["validation_items"] == len(held_back)
    assert done.manifest["counts"]["tokens"] == sum(map(len, expected))
    assert done.manifest["counts"]["incomplete_documents"] == done.manifest["counts"]["padding"] == 0
    assert [folder.problems for folder in verify(recognise(str(tmp_path / "out")))] == [[]]

    counts = back(made, tmp_path / "out", tmp_path / "back", kind)
    assert documents(tmp_path / "back") == expected and documents(tmp_path / "back", "_validation") == held_back
    assert counts["documents_in"] == counts["kept"] == len(expected) + len(held_back)
    assert counts["ends_added"] == counts["padding_left_out"] == 0
    assert counts["validation_documents"] == len(held_back)
    assert [folder.problems for folder in verify(recognise(str(tmp_path / "back")))] == [[]]


@pytest.mark.parametrize("kind", FORMATS)
def test_sequences_come_back_token_by_token(made: Path, tmp_path: Path, kind: str) -> None:
    done = run("export", tmp_path / "out", shards=str(made / "shards"), to=kind)
    packed = json.loads((made / "shards/_manifest.json").read_text())["counts"]
    assert (done.manifest["counts"]["items"], done.manifest["counts"]["tokens"]) == (
        packed["sequences"],
        packed["tokens"],
    )
    marked = kind in ("mds", "huggingface")
    assert (done.manifest["counts"]["padding"] > 0) is marked
    counts = back(made, tmp_path / "out", tmp_path / "back", kind, append_eos=False)
    assert counts["tokens"] == packed["tokens"]
    assert counts["padding_left_out"] == done.manifest["counts"]["padding"]
    flat = [token for document in documents(made / "shards") for token in document]
    assert sorted(token for document in documents(tmp_path / "back") for token in document) == sorted(flat)


def test_imported_shards_are_equal_in_size_sound_and_traceable(made: Path, tmp_path: Path) -> None:
    run("export", tmp_path / "out", shards=str(made / "shards"), to="megatron", unit="document")
    back(made, tmp_path / "out", tmp_path / "back", "megatron")
    paths = list_shards(str(tmp_path / "back"))
    tables = [open_shard(path)[1] for path in paths]
    assert len(tables) > 3 and {table.num_rows for table in tables[:-1]} == {20}
    assert [verify_shard(path) for path in paths] == [[]] * len(paths)
    names = {segment["document"] for table in tables for row in table["segments"].to_pylist() for segment in row}
    assert len(names) == len(documents(tmp_path / "back"))
    assert "out/shard-00000#0" in names and all(name.startswith(("out/shard-", "out/joined-")) for name in names)
    assert any(segment["fim"] for table in tables for row in table["segments"].to_pylist() for segment in row)
    header = open_shard(paths[0])[0]
    assert header.tokenizer == Tokenizer.load(str(made / "tokenizer")).fingerprint


@pytest.mark.parametrize("kind", FORMATS)
def test_two_workers_write_the_bytes_of_one_and_a_second_run_writes_nothing(
    made: Path, tmp_path: Path, kind: str
) -> None:
    made_of = stage_type("export")
    settings = validate(made_of.Settings, {"shards": str(made / "shards"), "to": kind, "unit": "document"}, "test")
    for workers in (1, 2) if kind == "mds" else (1, 1):
        with Session(make_executor=lambda workers=workers: make_executor("local", workers=workers)) as session:
            run_stage(made_of(settings), str(tmp_path / f"out-{len(list(tmp_path.iterdir()))}"), session)
    assert_same_bytes(tmp_path / "out-0", tmp_path / "out-1")
    again = run("export", tmp_path / "out-0", shards=str(made / "shards"), to=kind, unit="document")
    assert again.was_done


def test_a_set_of_one_shard_without_held_back_documents_is_exported(made: Path, tmp_path: Path) -> None:
    more = {"tokenizer": str(made / "tokenizer"), "sequence_length": LENGTH}
    run("pack", tmp_path / "shards", datasets=[str(made / "documents")], **more)
    done = run("export", tmp_path / "out", shards=str(tmp_path / "shards"), to="mds", unit="document")
    assert done.manifest["counts"]["items"] == 150 and done.manifest["counts"]["validation_items"] == 0
    assert not (tmp_path / "out/validation").exists()


def test_flat_files_of_others_are_imported_by_their_dtype(made: Path, tmp_path: Path) -> None:
    special = Tokenizer.load(str(made / "tokenizer")).special
    written = [[5, 6, special.eos], [7, special.eos], [8]]
    np.array([token for entry in written for token in entry], "<u2").tofile(tmp_path / "train.bin")
    counts = back(made, tmp_path / "train.bin", tmp_path / "back", "flat", dtype="uint16", source="web")
    assert documents(tmp_path / "back") == [[5, 6, special.eos], [7, special.eos], [8, special.eos]]
    assert counts["ends_added"] == 1
    rows = open_shard(list_shards(str(tmp_path / "back"))[0])[1]["segments"].to_pylist()
    assert sorted(segment["document"] for row in rows for segment in row) == [f"web/train.bin#{at}" for at in (0, 3, 5)]
    assert {segment["source"] for row in rows for segment in row} == {"web"}


def test_what_cannot_be_exported_or_imported_is_one_line_before_anything_is_written(made: Path, tmp_path: Path) -> None:
    for what, kind, values in (
        (
            "no token shards found: 'ingest' made this folder",
            "export",
            {"shards": str(made / "documents"), "to": "mds"},
        ),
        ("no Megatron index here", "import", {"format": "megatron", "paths": [str(made)]}),
        ("no such file", "import", {"format": "flat", "paths": [str(made / "none.bin")]}),
    ):
        more = {"tokenizer": str(made / "tokenizer")} if kind == "import" else {}
        with pytest.raises(UserError, match=what):
            run(kind, tmp_path / "out", **values, **more)
        assert not (tmp_path / "out").exists()


def test_ids_of_another_tokenizer_end_in_a_line_with_file_and_place(made: Path, tmp_path: Path) -> None:
    np.array([1, 2, 60_000, 3], "<u2").tofile(tmp_path / "train.bin")
    with pytest.raises(UserError, match=r"train\.bin, token 2: token id 60000 is outside the vocabulary of"):
        back(made, tmp_path / "train.bin", tmp_path / "back", "flat", dtype="uint16")
