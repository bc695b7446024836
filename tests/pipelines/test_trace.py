"""`corpusmill inspect trace`, as it is typed, on a small run: from a step to the raw record and the rules passed."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from corpusmill.dataproc import storage
from corpusmill.dataproc.sequences.shards import list_shards, open_shard, shard_entries
from corpusmill.pipelines.cli.main import main
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.places import chain, recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.running import run_recipe
from corpusmill.training.order.sequence_order import SequenceOrder
from tests.pipelines.small_run import prose, write_manifest

Command = Callable[..., tuple[int, str, str]]
LENGTH, BATCH, STEPS = 64, 4, 5
ESCAPE = "\x1b]0;owned\x07\x7f"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ingest, filter, dedup, tokenizer and pack by the real stages; a model's folder by hand, with its real order."""
    folder = tmp_path_factory.mktemp("trace")
    raw = folder / "raw"
    (raw / "letters").mkdir(parents=True)
    records: list[dict[str, Any]] = [{"text": prose(n), "url": f"https://a.example/{n}", "page": n} for n in range(4)]
    records.append({"text": prose(0)})
    (raw / "pages.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    named = [{"id": f"own-{n}", "text": prose(n) + ESCAPE} for n in range(10, 14)]
    (raw / "named.jsonl").write_text("".join(json.dumps(record) + "\n" for record in named))
    for n in range(20, 23):
        (raw / f"letters/{n}.txt").write_text(prose(n))
    output = folder / "run"
    inputs = [
        {"path": str(raw / "pages.jsonl"), "source": "pages"},
        {"path": str(raw / "named.jsonl"), "source": "named"},
        {"path": str(raw / "letters"), "source": "letters", "kind": "book"},
    ]
    stages: dict[str, Any] = {
        "documents": {"stage": "ingest", "inputs": inputs, "part_bytes": "64KiB"},
        "clean": {"stage": "filter", "datasets": ["documents"], "rules": ["gopher-quality", "code"]},
        "unique": {"stage": "dedup", "datasets": ["clean"]},
        "tokenizer": {"datasets": ["unique"], "vocab_size": 400, "special": "compact"},
        "shards": {
            "stage": "pack", "datasets": ["unique"], "tokenizer": "tokenizer", "sequence_length": LENGTH,
            "fim_rate": 0.3, "validation_share": 0.2, "group_by": "source", "shard_tokens": 16 * LENGTH,
        },
    }  # fmt: skip
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"name": "trace", "output": str(output), "stages": stages}, sort_keys=False))
    assert run_recipe(load_recipe(str(recipe)), RunOptions(engine="local", workers=1)) == 0
    add_trained(output)
    return output


def add_trained(run: Path) -> None:
    folder = run / "model"
    folder.mkdir()
    order = SequenceOrder.of_entries(shard_entries(str(run / "shards")), LENGTH, seed=7)
    (folder / "plan.json").write_text(order.to_json())
    lines = [{"step": step, "loss": 3.0, "sequences": step * BATCH} for step in range(1, STEPS + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    digest = storage.digest_file(str(run / "shards/_manifest.json"))
    settings = {"shards": "shards", "steps": STEPS}
    inputs = {"shards": {"manifest": digest}}
    write_manifest(folder, "train", inputs=inputs, settings=settings, counts={}, parts=[], files=[], facts={})


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A run at another place, that the test may damage; the raw files stay where they are."""
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `corpusmill inspect trace …`; gives (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["corpusmill", "inspect", "trace", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return (code if isinstance(code, int) else 0, *capsys.readouterr())

    return run


@pytest.fixture
def traced(trace: Command) -> Callable[..., dict[str, Any]]:
    """The answer as JSON."""

    def run(*arguments: object) -> dict[str, Any]:
        code, out, error = trace(*arguments, "--json")
        assert (code, error) == (0, "")
        assert out.isascii()
        assert not {"\x1b", "\x07", "\x7f"} & set(out)
        return json.loads(out)

    return run


def everything(traced: Callable[..., dict[str, Any]], path: Path, *more: object) -> dict[str, Any]:
    """The trace of all sequences of the shard set, all segments."""
    return traced(path, "--sequence", 0, "-n", 1000, "--segments", 1000, "--characters", 100000, *more)


def test_a_chain_leads_from_the_model_to_what_was_ingested(made: Path, copied: Path) -> None:
    for run in (made, copied):
        links = chain(recognise(str(run / "model")))
        assert [link.stage for link in links.values()] == ["train", "pack", "dedup", "filter", "ingest"]
        assert {str(Path(path).parent) for path in links} == {str(run)}, "a run that was moved leads to itself"
        assert not any(link.note for link in links.values())


def test_a_step_leads_to_the_rows_that_the_order_names(made: Path, traced: Callable[..., dict[str, Any]]) -> None:
    order = SequenceOrder.from_json((made / "model/plan.json").read_text())
    for step in (1, 3, STEPS):
        result = traced(made, "--step", step, "-n", 1000)
        assert result["positions"] == [(step - 1) * BATCH, step * BATCH]
        rows = order.rows((step - 1) * BATCH, BATCH).tolist()
        assert [sequence["number"] for sequence in result["sequences"]] == rows
        assert [sequence["position"] for sequence in result["sequences"]] == list(
            range((step - 1) * BATCH, step * BATCH)
        )
    by_position = traced(made / "model", "--position", BATCH, "-n", BATCH)
    assert by_position["sequences"] == traced(made, "--step", 2, "-n", BATCH)["sequences"]
    assert len(traced(made, "--step", 2)["sequences"]) == 3, "a few of a step if not asked for more"


def test_a_run_that_is_going_on_can_be_asked(copied: Path, traced: Callable[..., dict[str, Any]]) -> None:
    before = traced(copied, "--step", 3)
    (copied / "model/_state").mkdir()
    (copied / "model/_manifest.json").rename(copied / "model/_state/plan.json")
    with (copied / "model/metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 6, "lo')
    assert traced(copied, "--step", 3) == before


def test_sequences_and_segments_are_those_of_the_shards(made: Path, traced: Callable[..., dict[str, Any]]) -> None:
    result = everything(traced, made)
    row = 0
    for path in [*list_shards(str(made / "shards")), *list_shards(str(made / "shards/_validation"))]:
        header, table = open_shard(path)
        for number, segments in enumerate(table["segments"].to_pylist()):
            sequence = result["sequences"][row]
            assert (sequence["number"], sequence["path"], sequence["row"]) == (row, path, number)
            assert sequence["group"] == header.group
            traced_segments = [
                (segment["document"], segment["start"], segment["length"], segment["fim"])
                for segment in sequence["segments"]
            ]
            assert traced_segments == [
                (segment["document"], segment["start"], segment["length"], segment["fim"]) for segment in segments
            ]
            assert sequence["padding"] == LENGTH - sum(segment["length"] for segment in segments)
            row += 1
    assert row == len(result["sequences"])
    assert traced(made / "shards", "--sequence", 2)["sequences"] == [result["sequences"][2]]


def test_what_was_packed_by_source_verifies(made: Path) -> None:
    (done,) = verify(recognise(str(made / "shards")))
    assert done.problems == []
    assert done.files > 4


def test_the_text_of_a_documents_segments_is_its_text(made: Path, traced: Callable[..., dict[str, Any]]) -> None:
    result = everything(traced, made)
    texts: dict[str, dict[int, str]] = {}
    plain = dict.fromkeys(result["documents"], True)
    for sequence in result["sequences"]:
        for segment in sequence["segments"]:
            texts.setdefault(segment["document"], {})[segment["start"]] = segment["text"]
            plain[segment["document"]] &= not segment["fim"]
    parts = sorted((made / "unique").glob("part-*.parquet"))
    written = {row["id"]: row["text"] for part in parts for row in pq.read_table(part).to_pylist()}
    assert texts.keys() == written.keys()
    for name in written:
        if plain[name]:
            assert "".join(text for _, text in sorted(texts[name].items())) == written[name]


def test_a_document_is_told_with_its_columns_its_raw_record_and_where_it_stood(
    made: Path, traced: Callable[..., dict[str, Any]]
) -> None:
    result = everything(traced, made)
    documents = result["documents"]
    assert result["missing"] == []
    raw = made.parent / "raw"
    for name, document in documents.items():
        (file,) = document["raw"]["files"]
        assert document["raw"]["note"] == ""
        if document["source"] == "pages":
            assert file == str(raw / "pages.jsonl")
            assert document["raw"]["record"] == f"byte {name.rpartition('#')[2]}"
            line = Path(file).read_bytes()[int(name.rpartition("#")[2]) :].partition(b"\n")[0]
            record = json.loads(line)
            assert (document["url"], json.loads(document["meta"])) == (record["url"], {"page": record["page"]})
        elif document["source"] == "letters":
            assert file == str(raw / "letters" / name.partition("/")[2].rpartition("#")[0])
            assert (document["raw"]["record"], document["kind"]) == ("the whole file", "book")
        else:
            assert file == str(raw / "named.jsonl")
            assert document["raw"]["record"] == "the record whose id is this id"
        assert [place["stage"] for place in document["stood"]] == ["documents", "clean", "unique"]
        for place in document["stood"]:
            assert pq.read_table(place["path"])["id"][place["row"]].as_py() == name


def test_raw_files_read_again_give_the_record_of_an_id_of_its_own(
    made: Path, traced: Callable[..., dict[str, Any]]
) -> None:
    documents = everything(traced, made, "--read-again")["documents"]
    for number in range(4):
        raw = documents[f"own-{10 + number}"]["raw"]
        assert raw["files"] == [str(made.parent / "raw/named.jsonl")]
        assert raw["record"] == f"document {number}, counted from 0"


def test_the_rules_passed_are_those_that_apply_with_the_values_of_the_statistics(
    made: Path, traced: Callable[..., dict[str, Any]]
) -> None:
    documents = everything(traced, made)["documents"]
    statistics = {row["id"]: row for row in pq.read_table(made / "clean/_statistics").to_pylist()}
    for name, document in documents.items():
        names = [rule["rule"] for rule in document["passed"]]
        assert "gopher-quality/words" in names
        assert len(set(names)) == len(names) == 8, "all of gopher-quality, none of the rules for code"
        for rule in document["passed"]:
            assert rule["value"] == statistics[name][rule["statistic"]]
            assert rule["minimum"] is None or rule["value"] >= rule["minimum"]
            assert rule["maximum"] is None or rule["value"] <= rule["maximum"]
    survivors = [document["survivor_of"] for document in documents.values() if document["survivor_of"]]
    assert len(survivors) == 1, "one document had a twin"


def test_a_missing_link_is_named_and_what_is_there_is_told(copied: Path, traced: Callable[..., dict[str, Any]]) -> None:
    shutil.rmtree(copied / "clean/_statistics")
    result = everything(traced, copied)
    assert result["missing"] == [
        f"clean: no statistics for {len(result['documents'])} documents, so the rules they broke are unknown"
    ]
    shutil.rmtree(copied / "unique")
    result = everything(traced, copied)
    assert result["missing"][0] == "unique: not there: moved or removed; clean next to it was used instead"
    assert all(
        [place["stage"] for place in document["stood"]] == ["documents", "clean"]
        for document in result["documents"].values()
    )
    shutil.rmtree(copied / "documents")
    result = everything(traced, copied)
    assert "documents: not there: moved or removed" in result["missing"]
    assert all(document["raw"] is None and document["kind"] for document in result["documents"].values())
    shutil.rmtree(copied / "clean")
    result = everything(traced, copied)
    assert result["missing"] == ["unique: not there: moved or removed"]
    assert all(document["stood"] == [] and document["source"] for document in result["documents"].values())


def test_a_raw_file_that_changed_or_went_is_said_to_have(copied: Path, traced: Callable[..., dict[str, Any]]) -> None:
    path = copied / "documents/_manifest.json"
    changed = json.loads(path.read_text().replace("/raw/pages.jsonl", "/nowhere/pages.jsonl"))
    letters = next(files for name, files in changed["inputs"].items() if name.endswith("letters"))
    for name in letters:
        letters[name] += 1
    path.write_bytes(state.to_json(changed))
    result = everything(traced, copied)
    assert "documents: made again since it was read" in result["missing"]
    notes = {(document["source"], document["raw"]["note"]) for document in result["documents"].values()}
    assert notes >= {("pages", "this file is no longer there"), ("letters", "the size of this file has changed")}


def test_a_person_reads_the_same_and_no_document_drives_the_terminal(
    made: Path, trace: Command, traced: Callable[..., dict[str, Any]]
) -> None:
    code, out, error = trace(made, "--sequence", 0, "-n", 1000, "--segments", 1000, "--characters", 1000)
    assert (code, error) == (0, "")
    assert not {"\x1b", "\x07", "\x7f"} & set(out)
    assert "␛]0;owned␇␡" in out
    for name, document in everything(traced, made)["documents"].items():
        assert f": {name}, its tokens 0 to " in out
        assert f"raw: {document['raw']['files'][0]}: {document['raw']['record']}" in out
    assert "clean: passed 8 rules of gopher-quality: words 150 (50 to 100,000); " in out
    assert "url: https://a.example/1" in out
    assert "described above" in out
    _, step, _ = trace(made, "--step", 2)
    assert "step 2 read 4 sequences, positions 4 to 7, the first 3 of them here" in step
    assert "position 4 = sequence " in step
    _, short, _ = trace(made / "shards", "--sequence", 1, "--characters", 5)
    assert "…”" in short


@pytest.mark.parametrize(
    ("path", "arguments", "line"),
    [
        (
            "",
            [],
            "there is nothing to trace; give one of --step, --spike, --sequence, --position, --document and --raw",
        ),
        ("", ["--step", 1, "--sequence", 1], "only one thing can be traced at a time"),
        ("", ["--step", STEPS + 1], f"no step {STEPS + 1}; steps are 1 to {STEPS}"),
        ("", ["--sequence", 100000], "no sequence 100000; sequences are 0 to"),
        ("shards", ["--step", 1], "shards alone have no steps; name the run or the model, or use --sequence"),
        ("clean", ["--sequence", 1], "there are no sequences here; name a run, a model or shards"),
    ],
)
def test_a_mistake_is_one_line(made: Path, trace: Command, path: str, arguments: list[object], line: str) -> None:
    code, out, error = trace(made / path, *arguments)
    assert (code, out) == (2, "")
    assert line in error
    assert error.count("\n") == 1


def test_a_run_without_its_order_or_its_shards_says_so(copied: Path, trace: Command) -> None:
    (copied / "model/plan.json").unlink()
    assert "this run has no record of the order of its sequences" in trace(copied, "--step", 1)[2]
    (copied / "model/metrics.jsonl").write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "lo')
    assert "these metrics do not say which sequences were read" in trace(copied, "--step", 1)[2]
    assert "no step 2; steps are 1 to 1" in trace(copied, "--step", 2)[2]
    shutil.rmtree(copied / "shards")
    assert "the shards of this run are missing" in trace(copied / "model", "--position", 1)[2]
