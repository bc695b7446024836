"""The pack stage: every token of every document exactly once, in shards of equal size, group by group."""

import json
import sysconfig
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.fim import restore
from corpusmill.dataproc.sequences.shard_checks import verify_shard
from corpusmill.dataproc.sequences.shards import ShardHeader, batch_tokens, list_shards, open_shard
from corpusmill.pipelines.engine.stage import Finished
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.stages.pack.gathering import cut_rows
from corpusmill.pipelines.stages.pack.work.encoding import file_starts, fim_rates
from corpusmill.pipelines.stages.pack.work.packing import group_names
from corpusmill.pipelines.summary import summary_rows
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.training.order.sequence_order import SequenceOrder
from tests.pipelines.test_stage_inputs import run

Packer = Callable[..., Finished]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of two kinds and three sources in several parts, one of them a repository; and a tokenizer."""
    folder = tmp_path_factory.mktemp("made")
    stdlib = Path(sysconfig.get_path("stdlib"))
    lines = []
    for number, path in enumerate(sorted([*stdlib.glob("[a-f]*.py"), *stdlib.glob("email/*.py")])):
        text = path.read_text("utf-8", errors="replace")
        lines.append({"id": f"d{number}", "text": text[: 300 + 997 * number % 9000]})
    files = ["# a.py\nimport b\n", "# b.py\nBÉ = 1\n", "# c.py\nimport a, b\nprint(b.BÉ)\n"]
    starts = [len("".join(files[:number]).encode()) for number in range(3)]
    lines.append({"id": "repository", "text": "".join(files), "file_starts": starts})
    lines.append({"id": "spelled", "text": "It says <｜fim▁hole｜> and <｜end▁of▁sentence｜> here.\n" * 3})
    third = len(lines) // 3
    inputs = []
    for name, kind, part in (("algo", "code", lines[:third]), ("lib", "code", lines[third : 2 * third])):
        inputs.append({"path": str(folder / f"{name}.jsonl"), "source": name, "kind": kind})
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)))
    inputs.append({"path": str(folder / "web.jsonl"), "source": "web", "kind": "web"})
    (folder / "web.jsonl").write_text("\n".join(map(json.dumps, lines[2 * third :])))
    run("ingest", folder / "documents", inputs=inputs, part_bytes="64KiB")
    run("tokenizer", folder / "tokenizer", datasets=[str(folder / "documents")], vocab_size=1000, special="compact")
    return folder


@pytest.fixture
def pack(made: Path, tmp_path: Path) -> Packer:
    def go(name: str = "shards", **settings: Any) -> Finished:
        defaults = {"sequence_length": 128, "shard_tokens": 128 * 50, "task_bytes": 64 << 10, "fim_minimum": 1}
        chosen = {"datasets": [str(made / "documents")], "tokenizer": str(made / "tokenizer"), **defaults, **settings}
        return run("pack", tmp_path / name, **chosen)

    return go


def rows_of(folder: str) -> list[tuple[ShardHeader, np.ndarray, list[dict[str, Any]]]]:
    """(header, tokens, segments) of every sequence of a folder of shards."""
    rows = []
    for path in list_shards(folder):
        header, table = open_shard(path)
        for batch in table.to_batches():
            tokens = batch_tokens(header, batch)
            rows += [(header, *row) for row in zip(tokens, batch["segments"].to_pylist(), strict=True)]
    return rows


def documents_of(folder: str) -> dict[str, tuple[bool, list[int]]]:
    """{id: (rearranged, tokens)} from the segments, which must join without gap or overlap."""
    pieces: dict[str, list[tuple[int, list[int], bool]]] = defaultdict(list)
    for header, tokens, segments in rows_of(folder):
        at = 0
        for segment in segments:
            part = tokens[at : at + segment["length"]].tolist()
            pieces[segment["document"]].append((segment["start"], part, segment["fim"]))
            at += segment["length"]
        assert set(tokens[at:].tolist()) <= {header.special.pad}
    joined = {}
    for name, stretches in pieces.items():
        whole: list[int] = []
        for start, part, _ in sorted(stretches):
            assert start == len(whole), f"{name} has a gap or an overlap"
            whole += part
        joined[name] = (stretches[0][2], whole)
    return joined


def texts(made: Path) -> dict[str, str]:
    texts_by_id = {}
    for path in (made / "documents").glob("part-*.parquet"):
        table = pq.read_table(path)
        texts_by_id |= dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    return texts_by_id


@pytest.mark.parametrize("split", ["character", "line", "token"])
@pytest.mark.parametrize("mode", ["psm", "spm"])
def test_every_document_comes_back_from_its_shards(pack: Packer, made: Path, split: str, mode: str) -> None:
    done = pack(fim_split=split, fim_mode=mode, fim_rate=0.5, boundary_split=0.3, validation_share=0.1)
    tokenizer = Tokenizer.load(str(made / "tokenizer"))
    trained, apart = documents_of(done.folder), documents_of(f"{done.folder}/_validation")
    assert not trained.keys() & apart.keys()
    assert len(apart) == done.manifest["counts"]["validation_documents"] > 0
    header = rows_of(done.folder)[0][0]
    restored = {}
    for name, (fim, tokens) in (trained | apart).items():
        assert tokens.count(header.special.eos) == 1 and tokens[-1] == header.special.eos
        assert (tokens[0] == header.special.fim_begin) == fim
        restored[name] = tokenizer.decode(restore(np.array(tokens), header.special, mode)).decode()
    assert restored == texts(made)
    rearranged = sum(fim for fim, _ in (trained | apart).values())
    assert rearranged == done.manifest["counts"]["fim_documents"] > len(restored) / 4
    assert [verify_shard(path) for path in list_shards(done.folder)] == [[]] * len(list_shards(done.folder))


def test_shards_are_equal_but_the_last(pack: Packer) -> None:
    done = pack(validation_share=0.1)
    for folder in (done.folder, f"{done.folder}/_validation"):
        rows = [open_shard(path)[1].num_rows for path in list_shards(folder)]
        assert set(rows[:-1]) <= {50} and 0 < rows[-1] <= 50
    assert len(list_shards(done.folder)) > 3
    assert len(done.manifest["parts"]) == len(list_shards(done.folder))
    assert sum(part["rows"] for part in done.manifest["parts"]) == done.manifest["counts"]["sequences"]
    assert sum(part["tokens"] for part in done.manifest["parts"]) == done.manifest["counts"]["tokens"]
    assert not Path(done.folder, "_work").exists()


def test_verify_finds_a_sound_set_sound_and_unequal_shards_wrong(pack: Packer) -> None:
    done = pack(validation_share=0.1, group_by="source", storage="packed")
    (sound,) = verify(recognise(done.folder))
    assert sound.problems == []
    path = Path(done.folder, "_manifest.json")
    manifest = json.loads(path.read_text())
    manifest["settings"]["shard_tokens"] *= 2
    path.write_text(json.dumps(manifest))
    (wrong,) = verify(recognise(done.folder))
    assert wrong.problems and all("where a full shard has 100" in line for _, line in wrong.problems)


def test_groups_are_packed_apart_by_source_and_length(pack: Packer, made: Path) -> None:
    done = pack(group_by="source", length_buckets=[128, 512], fim_rate=0)
    lengths = {name: len(tokens) for name, (_, tokens) in documents_of(done.folder).items()}
    assert lengths.keys() == texts(made).keys()
    seen = set()
    for header, _, segments in rows_of(done.folder):
        source, _, bucket = header.group.partition(":")
        low, high = bucket.split("-")
        for segment in segments:
            assert segment["source"] == source
            assert int(low) <= lengths[segment["document"]] <= int(high or 10**9)
        seen.add(header.group)
    assert seen == done.manifest["facts"]["groups"].keys()
    assert {"lib:0-128", "lib:129-512", "lib:513-"} & seen and "web:513-" in seen
    for group in seen:
        rows = [part["rows"] for part in done.manifest["parts"] if part["group"] == group]
        assert set(rows[:-1]) <= {50}
        assert sum(rows) == done.manifest["facts"]["groups"][group]["sequences"]


@pytest.mark.parametrize("storage", ["packed", "zstd"])
def test_storage_changes_the_bytes_and_not_the_tokens(pack: Packer, storage: str) -> None:
    plain, other = pack("plain"), pack(storage, storage=storage)
    assert documents_of(plain.folder) == documents_of(other.folder)
    assert {header.storage for header, _, _ in rows_of(other.folder)} == {storage}
    room = [sum(part["bytes"] for part in done.manifest["parts"]) for done in (plain, other)]
    assert room[1] < 0.9 * room[0]


def test_the_manifest_compares_with_cutting_a_stream(pack: Packer) -> None:
    best, stream = pack("best"), pack("stream", packing="concat", task_bytes=1 << 30)
    packing = best.manifest["facts"]["packing"]
    assert packing["cut_needlessly"] == 0 < packing["concat"]["cut_needlessly"] < packing["concat"]["cut"]
    assert packing["lost_context"] < packing["concat"]["lost_context"]
    assert stream.manifest["counts"]["cut"] == stream.manifest["facts"]["packing"]["concat"]["cut"]
    assert sum(packing["concat"].values()) > 0


def test_rates_of_fim_by_kind_and_source(pack: Packer) -> None:
    done = pack(fim_rate=0, fim_rates={"code": 1.0, "source:algo": 0.0})
    for _, _, segments in rows_of(done.folder):
        for segment in segments:
            assert segment["fim"] == (segment["source"] == "lib")


@pytest.mark.parametrize("split", ["character", "line", "token"])
def test_a_repository_is_split_within_one_of_its_files(made: Path, tmp_path: Path, split: str) -> None:
    files = ["# a.py\nimport b\n\n", "# b.py\nBÉ = 1\nC = 2\n", "# c.py\nimport a, b\nprint(b.BÉ)\n"]
    starts = [len("".join(files[:number]).encode()) for number in range(4)]
    rows = [{"id": f"r{number}", "text": "".join(files), "file_starts": starts[:3]} for number in range(60)]
    (tmp_path / "raw.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("ingest", tmp_path / "documents", inputs=[str(tmp_path / "raw.jsonl")])
    done = run(
        "pack", tmp_path / "shards", datasets=[str(tmp_path / "documents")], tokenizer=str(made / "tokenizer"),
        sequence_length=128, fim_rate=1.0, fim_split=split,
    )  # fmt: skip
    tokenizer = Tokenizer.load(str(made / "tokenizer"))
    special = rows_of(done.folder)[0][0].special
    cut = set()
    for _, tokens in documents_of(done.folder).values():
        hole, end = tokens.index(special.fim_hole), tokens.index(special.fim_end)
        first = len(tokenizer.decode(np.array(tokens[1:hole], np.int64)))
        last = first + len(tokenizer.decode(np.array(tokens[end + 1 : -1], np.int64)))
        within = [number for number in range(3) if starts[number] <= first and last <= starts[number + 1]]
        assert within, "the middle reaches over two files"
        cut |= set(within) if first < last else set()
    assert cut == {0, 1, 2}
    assert len(documents_of(done.folder)) == 60


def test_a_documents_own_mistake_quarantines_it_alone(made: Path, tmp_path: Path) -> None:
    rows = [{"id": f"n{number}", "text": f"line {number}\n" * 9} for number in range(20)]
    rows[3]["file_starts"] = [0, 9999]
    rows[5]["file_starts"] = "all"
    (tmp_path / "raw.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("ingest", tmp_path / "documents", inputs=[str(tmp_path / "raw.jsonl")])
    done = run(
        "pack", tmp_path / "shards", datasets=[str(tmp_path / "documents")], tokenizer=str(made / "tokenizer"),
        sequence_length=64, fim_rate=1.0,
    )  # fmt: skip
    assert done.manifest["counts"]["quarantined"] == 2 and done.manifest["counts"]["kept"] == 18
    reasons = pq.read_table(Path(done.folder, "_quarantine"))
    assert sorted(reasons["id"].to_pylist()) == ["n3", "n5"]
    assert all("file" in reason for reason in reasons["reason"].to_pylist())


def test_no_documents_give_no_shards(made: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_text("")
    run("ingest", tmp_path / "documents", inputs=[str(tmp_path / "raw.jsonl")])
    done = run("pack", tmp_path / "shards", datasets=[str(tmp_path / "documents")], tokenizer=str(made / "tokenizer"))
    assert (done.manifest["parts"], done.manifest["counts"]["sequences"]) == ([], 0)


def test_names_of_groups() -> None:
    table = pa.table({"source": ["web", None, "web", "code"]})
    lengths = np.array([5, 10, 11, 100])
    assert group_names(table, lengths, "none", []).to_pylist() == [""] * 4
    assert group_names(table, lengths, "source", []).to_pylist() == ["web", "unknown", "web", "code"]
    assert group_names(table, lengths, "none", [10]).to_pylist() == ["0-10", "0-10", "11-", "11-"]
    assert group_names(table, lengths, "source", [5, 10]).to_pylist() == [
        "web:0-5", "unknown:6-10", "web:11-", "code:11-"
    ]  # fmt: skip


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_rows_are_cut_in_order_and_none_is_lost(rows: int) -> None:
    files = [{"path": name, "rows": count} for name, count in (("a", 4), ("b", 0), ("c", 9), ("d", 1))]
    pieces = list(cut_rows(files, rows))
    flat = [(tail.path, row) for piece in pieces for tail in piece for row in range(tail.first, tail.last)]
    assert flat == [(file["path"], row) for file in files for row in range(file["rows"])]
    sizes = [sum(tail.last - tail.first for tail in piece) for piece in pieces]
    assert set(sizes[:-1]) <= {rows} and 0 < sizes[-1] <= rows


def test_a_source_goes_before_a_kind() -> None:
    batch = pa.RecordBatch.from_pydict({"kind": ["code", "code", "web", None], "source": ["a", "b", "b", "c"]})
    rates = fim_rates(batch, 0.1, {"code": 0.5, "source:b": 0.0, "source:z": 1.0})
    assert rates.tolist() == [0.5, 0.0, 0.0, 0.1]


def test_files_of_a_repository_are_read_from_meta() -> None:
    meta = pa.array([None, "{}", '{"file_starts": [0, 7]}', '{"note": "a \\"file_starts\\" inside"}'])
    assert file_starts(meta.slice(0, 2)) is None
    assert file_starts(meta).to_pylist() == [None, None, [0, 7], None]
    for wrong in ('{"file_starts": "x"}', '{"file_starts": [0, 1.5]}', '{"file_starts": [true]}'):
        with pytest.raises(ValueError, match="whole numbers"):
            file_starts(pa.array([wrong]))


def test_training_refuses_a_mixture_of_groups_that_are_not_there(pack: Packer, tmp_path: Path) -> None:
    shards = pack(group_by="source", validation_share=0.1).folder
    short = {"shards": shards, "preset": "tiny", "steps": 2, "batch_sequences": 2, "micro_batch": 2}
    for mixture in ({"nope": 1.0}, {"web": 0.0}):
        with pytest.raises(UserError, match=r"unknown group 'nope'; the groups are algo, lib, web|weights are 0"):
            run("train", tmp_path / "model", mixture=mixture, **short)
    with pytest.raises(UserError, match="the phases end after 2 sequences, and the run is of 4"):
        run("train", tmp_path / "model", phases=[{"tokens": 256, "mixture": {"web": 1}}], **short)
    assert not (tmp_path / "model").exists()


def test_training_by_a_mixture_says_what_it_read(pack: Packer, tmp_path: Path) -> None:
    shards = pack(group_by="source", validation_share=0.1).folder
    phases = [{"tokens": 4 * 128, "mixture": {"web": 1}}, {"mixture": {"lib": 0.5, "algo": 0.5}}]
    done = run(
        "train", tmp_path / "model", shards=shards, preset="tiny", steps=4, batch_sequences=2, micro_batch=1,
        phases=phases, evaluate_every=4, evaluation_sequences=2,
    )  # fmt: skip
    order = SequenceOrder.from_json(Path(done.folder, "plan.json").read_text())
    headers = [header.group for header, _, _ in rows_of(shards)]
    read = [headers[row] for row in order.rows(0, 8)]
    assert read[:4] == ["web"] * 4 and sorted(read[4:]) == ["algo", "algo", "lib", "lib"]
    assert recognise(done.folder).manifest["facts"]["mixture"]


def test_the_share_of_joined_tokens_to_split_and_what_came_of_it_are_recorded(pack: Packer) -> None:
    done = pack(boundary_split=0.3)
    facts, counts = done.manifest["facts"], done.manifest["counts"]
    assert rows_of(done.folder)[0][0].packing["boundary_split"] == 0.3
    share = counts["boundary_splits"] / sum(facts["tokens_by"]["kind"].values())
    assert facts["boundary_split"] == {"probability": 0.3, "share_of_tokens": round(share, 6)} and 0.001 < share < 0.1
    assert ("tokens split at boundaries", f"{counts['boundary_splits']:,} ({share:.2%} of tokens, p = 0.3)") in (
        summary_rows(done.manifest)
    )
    assert pack("whole", boundary_split=0.0).manifest["facts"]["boundary_split"]["share_of_tokens"] == 0
