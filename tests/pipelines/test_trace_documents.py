"""`corpusmill inspect trace` by document and by place in a raw file; raw records of documents with equal ids."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from corpusmill.pipelines.inspect.places import Link, part_number, recognise
from corpusmill.pipelines.inspect.raw import RawFiles
from corpusmill.pipelines.inspect.raw_records import record_begins
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.running import run_recipe
from tests.pipelines import inspecting
from tests.pipelines.inspecting import Command, make_whole_run

MANY = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whole_run(tmp_path_factory.mktemp("trace"))


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ingest of two files whose records share ids, in several tasks; ids that end in a tilde and a number, too."""
    folder = tmp_path_factory.mktemp("equal")
    for name in ("a", "b"):
        records = [{"id": f"doc-{n % 3}", "text": f"{name} {n} " + "word " * 2000} for n in range(MANY)]
        records.append({"id": "doc-1~2", "text": f"{name} last"})
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    inputs = [str(folder / f"{name}.jsonl") for name in ("a", "b")]
    stages = {"documents": {"stage": "ingest", "inputs": inputs, "source": "tests", "part_bytes": "64KiB"}}
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"name": "equal", "output": str(folder / "run"), "stages": stages}))
    assert run_recipe(load_recipe(str(recipe)), RunOptions(engine="local", workers=1)) == 0
    return folder


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return inspecting.command(monkeypatch, capsys)


def traced(inspect: Command, *arguments: object) -> dict[str, Any]:
    code, out, error = inspect("trace", *arguments, "--json")
    assert (code, error) == (0, "")
    values: dict[str, Any] = json.loads(out)
    return values


def test_a_document_is_traced_to_the_sequences_that_hold_it(made: Path, inspect: Command) -> None:
    result = traced(inspect, made, "--document", "good-4")
    (sequence,) = result["sequences"]
    assert [segment["document"] for segment in sequence["segments"]] == ["good-4"]
    assert (sequence["number"], sequence["segments_left_out"]) == (1, 1)
    assert sequence["position"] in range(4)
    assert set(result["documents"]) == {"good-4"}
    assert traced(inspect, made / "shards", "--document", "good-4")["sequences"][0]["position"] is None
    assert "no sequence contains this document" in inspect("trace", made, "--document", "good-9")[2]


def test_a_place_in_a_raw_file_is_traced_to_its_document(made: Path, inspect: Command) -> None:
    raw = made.parent / "raw.jsonl"
    lines = raw.read_bytes().splitlines(keepends=True)
    (number,) = [at for at, line in enumerate(lines) if b'"good-4"' in line]
    begin = sum(map(len, lines[:number]))
    for offset in (begin, begin + 40, begin + len(lines[number]) - 1):
        assert set(traced(inspect, made, "--raw", raw, "--offset", offset)["documents"]) == {"good-4"}
    bad = sum(map(len, lines[:3]))
    assert f"no document came from {bad:,} of this file" in inspect("trace", made, "--raw", raw, "--offset", bad)[2]
    assert "no ingest stage of this run has read this file" in inspect("trace", made, "--raw", "/etc/passwd")[2]


def test_documents_whose_ids_were_made_unique_are_found_again(equal: Path) -> None:
    place = recognise(str(equal / "run/documents"))
    assert len(place.manifest["parts"]) > 2, "several tasks"
    raw_files = RawFiles(Link(name="documents", place=place))
    texts = {name: [json.loads(line)["text"] for line in (equal / name).open()] for name in ("a.jsonl", "b.jsonl")}
    checked = 0
    for entry in place.manifest["parts"]:
        path = equal / "run/documents" / entry["path"]
        rows = pq.read_table(path, columns=["id", "text"]).to_pylist()
        task = part_number(str(path))
        for document in rows:
            assert raw_files.of(document["id"], task).by_own_id
        records = raw_files.read_again([document["id"] for document in rows], task)
        for document in rows:
            raw = records[document["id"]]
            number, since = raw.record.removeprefix("document ").split(" ")[0].rstrip(","), "from byte" in raw.record
            file = Path(raw.files[0])
            first = 0
            if since:
                start = int(raw.record.partition("from byte ")[2].split(" ")[0].replace(",", ""))
                first = file.read_bytes()[:start].count(b"\n") + (file.read_bytes()[start - 1 : start] != b"\n")
            assert texts[file.name][first + int(number)] == document["text"]
            checked += 1
    assert checked == 2 * (MANY + 1)


def test_a_renamed_document_is_named_by_the_id_that_it_came_with(equal: Path) -> None:
    raw_files = RawFiles(Link(name="documents", place=recognise(str(equal / "run/documents"))))
    assert raw_files.as_it_was("doc-0~~3") == ("doc-0", 3)
    assert raw_files.as_it_was("doc-1~2") == ("doc-1~2", 1)
    assert raw_files.as_it_was("doc-1~2~~2") == ("doc-1~2", 2)
    assert raw_files.of("doc-0~~3", 0).record == "number 3 of the records whose id is doc-0"


@pytest.mark.parametrize("members", [1, 2])
def test_the_beginning_of_a_raw_record_is_read_by_its_place(tmp_path: Path, members: int) -> None:
    plain = b'{"text": "one"}\n{"text": "two"}\n'
    (tmp_path / "a.jsonl").write_bytes(plain)
    assert record_begins(str(tmp_path / "a.jsonl"), "jsonl", "16") == '{"text": "two"}'
    packed = gzip.compress(plain)
    (tmp_path / "b.jsonl.gz").write_bytes(packed * members)
    place = "16" if members == 1 else f"{len(packed)}+16"
    assert record_begins(str(tmp_path / "b.jsonl.gz"), "jsonl", place) == '{"text": "two"}'
    assert record_begins(str(tmp_path / "gone.jsonl"), "jsonl", "0") == ""


def test_where_the_raw_file_is_gone_the_trace_goes_on(made: Path, inspect: Command, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "run")
    manifest = tmp_path / "run/documents/_manifest.json"
    manifest.write_text(manifest.read_text().replace("raw.jsonl", "gone.jsonl"))
    document = traced(inspect, tmp_path / "run", "--document", "good-4")["documents"]["good-4"]
    assert document["raw_begins"] == ""
