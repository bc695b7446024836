"""One odd file never ends a run: it is quarantined by itself, and the others are read; links lead nowhere else."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers import csv_files, text
from corpusmill.pipelines.engine import quarantine_rows, state
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import NamedStage, Recipe
from corpusmill.pipelines.running import run_recipe
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.ingest.plan import IngestStage
from corpusmill.pipelines.stages.ingest.settings import IngestSettings


def ingest(inputs: list[Any], folder: Path, *, overwrite: bool = False, workers: int = 1, **settings: Any) -> int:
    stage = IngestStage(validate(IngestSettings, {"inputs": [str(path) for path in inputs], **settings}, "test"))
    named = NamedStage(name="ingest", folder=str(folder), stage=stage)
    recipe = Recipe(name="ingest", output=str(folder), seed=0, stages=(named,))
    return run_recipe(recipe, RunOptions(engine="local", workers=workers, overwrite=overwrite))


def rows_of(folder: Path, name: str = "parts", below: str = "") -> list[dict[str, Any]]:
    paths = [entry["path"] for entry in state.require_manifest(str(folder))[name] if entry["path"].startswith(below)]
    return [row for path in paths for row in pq.read_table(folder / path).to_pylist()]


def quarantined(folder: Path) -> list[dict[str, Any]]:
    return rows_of(folder, "files", "_quarantine/")


def texts(folder: Path) -> list[str]:
    return sorted(row["text"] for row in rows_of(folder))


def write_odd_files(raw: Path) -> dict[str, int]:
    """A file that is sound of each format, and odd ones beside it: {name: its records}."""
    raw.mkdir()
    (raw / "good.csv").write_text("text\nc\n")
    (raw / "good.jsonl").write_text('{"text":"j"}\n')
    (raw / "good.txt").write_text("t")
    pq.write_table(pa.table({"text": ["p"]}), raw / "good.parquet")
    (raw / "latin.csv").write_bytes("text,größe\na,1\n".encode("latin-1"))
    (raw / "wide.csv").write_bytes("text,x\na,1\n".encode("utf-16"))
    (raw / "open.csv").write_text('text\n"never closed\n')
    (raw / "other.csv").write_text("body\na\n")
    (raw / "none.tsv").write_text("\n\n")
    (raw / "wide.jsonl").write_bytes('{"text":"a"}\n'.encode("utf-16"))
    (raw / "wide.txt").write_bytes("a".encode("utf-16"))
    (raw / "array.parquet").write_bytes(b"PAR1 and nothing")
    pq.write_table(pa.table({"body": ["a", "b", "c"]}), raw / "other.parquet")
    pq.write_table(pa.table({"text": [1, 2]}), raw / "numbers.parquet")
    pq.write_table(pa.table({}), raw / "empty.parquet")
    with pa.ipc.new_stream(str(raw / "other.arrow"), pa.schema([("body", pa.string())])) as writer:
        writer.write_table(pa.table({"body": ["a", "b"]}))
    one = ("latin.csv", "wide.csv", "open.csv", "other.csv", "wide.jsonl", "wide.txt", "array.parquet")
    return dict.fromkeys(one, 1) | {"other.parquet": 3, "numbers.parquet": 2, "other.arrow": 2, "empty.parquet": 0}


@pytest.mark.parametrize("workers", [1, 2])
def test_odd_files_cost_themselves(tmp_path: Path, workers: int) -> None:
    odd = write_odd_files(tmp_path / "raw")
    assert ingest([tmp_path / "raw"], tmp_path / "out", workers=workers) == 3
    assert texts(tmp_path / "out") == ["c", "j", "p", "t"]
    rows = quarantined(tmp_path / "out")
    assert {os.path.basename(row["place"].split(",")[0]): row["records"] for row in rows} == odd  # noqa: PTH119
    counts = state.require_manifest(str(tmp_path / "out"))["counts"]
    assert counts == {"documents_in": 4 + sum(odd.values()), "kept": 4, "quarantined": sum(odd.values())}
    assert [done.problems for done in verify(recognise(str(tmp_path / "out")))] == [[]]


def test_a_run_is_refused_only_where_the_settings_go_with_no_file(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "raw" / name).write_text("body\na\n")
    with pytest.raises(
        UserError, match=r"none of the 2 files .* no column 'text' \(there are body\); use --text-field"
    ):
        ingest([tmp_path / "raw"], tmp_path / "out")
    assert not (tmp_path / "out" / state.MANIFEST).exists()
    (tmp_path / "raw/c.csv").write_text("text\nc\n")
    assert ingest([tmp_path / "raw"], tmp_path / "out", overwrite=True) == 3
    assert texts(tmp_path / "out") == ["c"]


def test_json_lines_without_the_field_do_not_refuse_a_run_that_others_carry(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.jsonl").write_text('{"body":"a"}\n' * 200)
    (tmp_path / "raw/b.jsonl").write_text('{"text":"b"}\n')
    assert ingest([tmp_path / "raw"], tmp_path / "out") == 3
    assert texts(tmp_path / "out") == ["b"] and len(quarantined(tmp_path / "out")) == 200


def test_a_file_that_may_not_be_read_costs_itself(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "raw").mkdir()
    for name in ("a.csv", "b.csv", "c.txt", "d.jsonl.gz"):
        (tmp_path / "raw" / name).write_text("text\na\n")
        if name != "a.csv":
            (tmp_path / "raw" / name).chmod(0)
    assert ingest([tmp_path / "raw"], tmp_path / "out") == 3
    assert texts(tmp_path / "out") == ["a"] and len(quarantined(tmp_path / "out")) == 3


def test_what_a_reader_raises_costs_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "raw" / f"{name}.csv").write_text(f"text\n{name}\n")
        (tmp_path / "raw" / f"{name}.txt").write_text(f"{name} text")
    read_names, read_text = csv_files._read_names, text.read_text

    def fail(*arguments: Any) -> Any:
        path = next(value.path for value in arguments if hasattr(value, "format"))
        if path.endswith(("b.csv", "b.txt")):
            raise RuntimeError("odd")
        return (read_names if path.endswith("csv") else read_text)(*arguments)

    monkeypatch.setattr(csv_files, "_read_names", fail)
    monkeypatch.setattr(text, "read_text", fail)
    assert ingest([tmp_path / "raw"], tmp_path / "out") == 3
    assert texts(tmp_path / "out") == ["a", "a text", "c", "c text"]
    assert [(row["id"], row["reason"]) for row in quarantined(tmp_path / "out")] == [
        ("corpus/b.csv#", "RuntimeError: odd"), ("corpus/b.txt#", "RuntimeError: odd")
    ]  # fmt: skip


def test_a_quarantine_of_many_rows_goes_to_disk_and_counts_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text":"first"}\n' + "x\n" * 5000 + '{"text":"last"}\n')
    ingest([tmp_path / "a.jsonl"], tmp_path / "memory")
    monkeypatch.setattr(quarantine_rows, "MEMORY_ROWS", 7)
    ingest([tmp_path / "a.jsonl"], tmp_path / "disk")
    table = "_quarantine/part-00000.parquet.side"
    assert (tmp_path / "memory" / table).read_bytes() == (tmp_path / "disk" / table).read_bytes()
    assert len(quarantined(tmp_path / "disk")) == 5000
    monkeypatch.setattr(quarantine_rows, "MOST_ROWS", 100)
    assert ingest([tmp_path / "a.jsonl"], tmp_path / "bounded") == 3
    rows = quarantined(tmp_path / "bounded")
    assert (len(rows), rows[-1]["records"], rows[-1]["id"]) == (101, 4900, "corpus/a.jsonl#217")
    counts = state.require_manifest(str(tmp_path / "bounded"))["counts"]
    assert counts == {"documents_in": 5002, "kept": 2, "quarantined": 5000}
    assert texts(tmp_path / "bounded") == ["first", "last"]
    assert not list(tmp_path.rglob(".tmp-*"))


def test_files_read_as_text_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.JSON").write_text('[{"text": "a"}]')
    (tmp_path / "raw/b.rst").write_text("b")
    (tmp_path / "raw/c.md").write_text("c")
    ingest([tmp_path / "raw"], tmp_path / "out")
    assert texts(tmp_path / "out") == ["a", "b", "c"]
    assert (
        f"2 files read as plain text, one document a file, by the ending ({tmp_path}/raw/b.rst)"
        in capsys.readouterr().err
    )
    ingest([tmp_path / "raw/c.md"], tmp_path / "declared", format="text")
    assert "plain text" not in capsys.readouterr().err


def test_links_that_lead_elsewhere_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    (raw / "d").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (raw / "d/a.txt").write_text("a")
    (raw / "inside.txt").symlink_to("d/a.txt")
    (raw / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (raw / "d/loop").symlink_to("..")
    (raw / "gone.txt").symlink_to("nowhere")
    for number, path in enumerate((raw, f"{raw}/**/*.txt", f"{raw}/*.txt", f"{raw}/**")):
        ingest([path], tmp_path / f"out-{number}")
        assert set(texts(tmp_path / f"out-{number}")) == {"a"}
        assert state.require_manifest(str(tmp_path / f"out-{number}"))["facts"]["left_out"] >= 2
    assert "3 paths not read" in capsys.readouterr().err
    ingest([raw / "outside.txt"], tmp_path / "named")
    assert texts(tmp_path / "named") == ["secret"]


def test_pipes_and_sockets_are_never_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.txt").write_text("a")
    os.mkfifo(raw / "pipe.txt")
    for number, path in enumerate((raw, f"{raw}/*.txt", f"{raw}/**")):
        ingest([path], tmp_path / f"out-{number}")
        assert texts(tmp_path / f"out-{number}") == ["a"]
        assert state.require_manifest(str(tmp_path / f"out-{number}"))["facts"]["left_out"] == 1
    assert "1 path not read" in capsys.readouterr().err


def test_a_name_that_is_not_utf8_costs_that_file_only(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.txt").write_text("a")
    Path(os.fsdecode(os.fsencode(raw) + b"/bad\xff.txt")).write_text("b")
    assert ingest([raw], tmp_path / "out") == 3
    assert texts(tmp_path / "out") == ["a"]
    assert state.require_manifest(str(tmp_path / "out"))["counts"] == {"documents_in": 2, "kept": 1, "quarantined": 1}
    (row,) = quarantined(tmp_path / "out")
    assert (row["place"], row["reason"]) == (f"{raw}/bad\\xff.txt", "the name of this file is not UTF-8")


@pytest.mark.parametrize(
    ("head", "what"),
    [(b"PK\x03\x04", "a ZIP archive"), (b"%PDF-1.4\n", "a PDF"), (b"\xd0\xcf\x11\xe0", "an OLE document")],
)
def test_a_binary_file_that_is_valid_utf8_is_no_text(tmp_path: Path, head: bytes, what: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.txt").write_text("a")
    (tmp_path / "raw/b.txt").write_bytes(head + b" plain ASCII follows")
    assert ingest([tmp_path / "raw"], tmp_path / "out") == 3
    assert texts(tmp_path / "out") == ["a"]
    assert what in quarantined(tmp_path / "out")[0]["reason"]


def test_a_repository_that_is_a_link_is_left_out(tmp_path: Path) -> None:
    for name in ("repos/one", "elsewhere"):
        (tmp_path / name / ".git").mkdir(parents=True)
        (tmp_path / name / "main.py").write_text(f"print('{name}')\n")
    (tmp_path / "repos/two").symlink_to(tmp_path / "elsewhere")
    ingest([tmp_path / "repos"], tmp_path / "out", format="repository")
    assert len(rows_of(tmp_path / "out")) == 1
    assert state.require_manifest(str(tmp_path / "out"))["facts"]["left_out"] == 1


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "victim").write_text("precious")
    ingest([tmp_path / "a.txt"], tmp_path / "other")
    before = (tmp_path / "other" / state.MANIFEST).read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match=r"the output is a link, to .*/other; name the folder that is meant"):
        ingest([tmp_path / "a.txt"], tmp_path / "link", overwrite=True, kind="docs")
    assert (tmp_path / "other" / state.MANIFEST).read_bytes() == before
    for name in ("driver.lock", "driver.lease", "read/part-00000.at", "seconds.json"):
        out = tmp_path / f"out-{name.replace('/', '-')}"
        (out / state.STATE / name).parent.mkdir(parents=True)
        (out / state.STATE / name).symlink_to(tmp_path / "victim")
        with pytest.raises(UserError, match="a link in the output folder"):
            ingest([tmp_path / "a.txt"], out)
    for name in ("_quarantine", state.STATE):
        out = tmp_path / f"folder-{name}"
        (out / state.STATE).mkdir(parents=True)
        if name == state.STATE:
            (out / state.STATE).rmdir()
        (out / name).symlink_to(tmp_path / "other")
        with pytest.raises(UserError, match="a link in the output folder"):
            ingest([tmp_path / "a.txt"], out)
    assert (tmp_path / "victim").read_text() == "precious"
