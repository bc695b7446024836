"""Ingest end to end: what is malformed ends in the quarantine with file, place and reason, and nothing else is lost."""

import gzip
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from dataproc.errors import UserError
from pipelines.engine import state
from pipelines.recipe import NamedStage, Recipe
from pipelines.running import RunOptions, run_recipe
from pipelines.settings import validate
from pipelines.stages.ingest import IngestSettings, IngestStage


class Ingested:
    """What a run left: exit code, manifest, documents and quarantined records."""

    def __init__(self, code: int, folder: Path) -> None:
        self.code = code
        self.folder = folder
        self.manifest = state.require_manifest(str(folder))
        self.counts: dict[str, int] = self.manifest["counts"]
        self.documents = self._rows("parts")
        self.quarantined = self._rows("files")

    def _rows(self, name: str) -> list[dict[str, Any]]:
        return [row for each in self.manifest[name] for row in pq.read_table(self.folder / each["path"]).to_pylist()]

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.documents]


Ingest = Callable[..., Ingested]


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    def run(inputs: Sequence[Any], *, name: str = "out", workers: int = 1, **settings: Any) -> Ingested:
        values = {"inputs": [str(each) if isinstance(each, Path) else each for each in inputs], **settings}
        stage = IngestStage(validate(IngestSettings, values, "test"))
        folder = str(tmp_path / name)
        named = NamedStage(name="ingest", folder=folder, stage=stage)
        recipe = Recipe(name="ingest", output=folder, seed=0, stages=(named,))
        code = run_recipe(recipe, RunOptions(engine="local", workers=workers))
        done = Ingested(code, tmp_path / name)
        assert done.counts["documents_in"] == done.counts["kept"] + done.counts["quarantined"]
        assert done.counts["kept"] == len(done.documents) == sum(part["rows"] for part in done.manifest["parts"])
        assert done.counts["quarantined"] == len(done.quarantined)
        assert not list((tmp_path / name).rglob(".tmp-*"))
        return done

    return run


def documents(*held: str) -> bytes:
    return b"".join(orjson.dumps({"text": text}) + b"\n" for text in held)


def broken_group(path: Path) -> None:
    pq.write_table(pa.table({"text": ["a" * 99, "b" * 99, "c" * 99]}), path, row_group_size=1, use_dictionary=False)
    column = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + column.total_compressed_size] = bytes(
        column.total_compressed_size
    )
    path.write_bytes(data)


MALFORMED: dict[str, tuple[str, bytes | Callable[[Path], None], list[str], list[tuple[str, str]]]] = {
    # case: (file, contents, texts that survive, (place, reason) of each quarantined record)
    "not JSON": ("a.jsonl", documents("a") + b"{broken\n" + documents("b"), ["a", "b"], [(", byte 13", "not JSON")]),
    "lone surrogate": ("a.jsonl", b'{"text":"\\ud800"}\n' + documents("b"), ["b"], [(", byte 0", "not JSON")]),
    "invalid UTF-8": ("a.jsonl", b'{"text":"\xff"}\n' + documents("b"), ["b"], [(", byte 0", "not valid UTF-8")]),
    "no object": ("a.jsonl", b"[1]\n" + documents("b"), ["b"], [(", byte 0", "a JSON list, not an object")]),
    "no text": ("a.jsonl", b'{"x":1}\n{"text":null}\n', [], [(", byte 0", "no text"), (", byte 8", "no text")]),
    "too long": ("a.jsonl", documents("x" * 2000, "b"), ["b"], [(", byte 0", "longer than 1024 bytes")]),
    "nested too deep": (
        "a.jsonl",
        b'{"text":"a","x":' + b"[" * 300 + b"]" * 300 + b"}\n" + documents("b"),
        ["b"],
        [(", byte 0", "cannot be written")],
    ),
    "cut gzip": ("a.jsonl.gz", gzip.compress(documents("a", "b"))[:-4], ["a", "b"], [("a.jsonl.gz", "cut off")]),
    "broken gzip": ("a.jsonl.gz", documents("a"), [], [("a.jsonl.gz", "broken gzip stream")]),
    "empty gzip": ("a.jsonl.gz", b"", [], [("a.jsonl.gz", "cut off at compressed byte 0")]),
    "cut zstd": (
        "a.jsonl.zst",
        zstandard.ZstdCompressor(write_checksum=True).compress(documents("a"))[:-1],
        ["a"],
        [("a.jsonl.zst", "cut off")],
    ),
    "broken zstd": ("a.jsonl.zst", b"no zstd", [], [("a.jsonl.zst", "broken zstd stream")]),
    "broken Parquet": ("a.parquet", b"PAR1 nothing", [], [("a.parquet", "not a readable Parquet file")]),
    "broken row group": (
        "a.parquet",
        broken_group,
        ["a" * 99, "c" * 99],
        [(", rows 1 to 1 (row group 1)", "broken Parquet")],
    ),
    "binary file": ("a.txt", b"\x89PNG\xff", [], [(", byte 0", "not UTF-8")]),
    "binary metadata": ("x/METADATA", b"Name: p\n\n\xff", [], [(", byte 9", "not UTF-8")]),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_the_malformed_is_quarantined_and_its_neighbours_survive(ingest: Ingest, tmp_path: Path, case: str) -> None:
    name, contents, survive, expected = MALFORMED[case]
    path = tmp_path / "raw" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(contents) if isinstance(contents, bytes) else contents(path)
    (tmp_path / "raw" / "z.jsonl").write_bytes(documents("neighbour"))
    (tmp_path / "raw" / "z.txt").write_bytes(b"neighbour")
    done = ingest([tmp_path / "raw"], maximum_record_bytes=1024)
    assert done.code == 3
    assert sorted(done.texts) == sorted([*survive, "neighbour", "neighbour"])
    assert len(done.quarantined) == len(expected)
    for row, (place, reason) in zip(done.quarantined, expected, strict=True):
        assert row["id"].startswith(f"corpus/{name}#")
        assert str(path) in row["place"] and place in row["place"]
        assert reason in row["reason"]


def test_a_clean_run_exits_with_0_and_ids_are_unique(ingest: Ingest, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.jsonl").write_bytes(documents("1", "2"))
    (raw / "b.jsonl.gz").write_bytes(gzip.compress(documents("3")))
    (raw / "c.md").write_bytes(b"4")
    pq.write_table(pa.table({"text": ["5"], "x": [1]}), raw / "d.parquet")
    (raw / "empty.jsonl").write_bytes(b"")
    done = ingest([raw], source="src", kind="docs")
    assert done.code == 0
    assert sorted((row["id"], row["text"]) for row in done.documents) == [
        ("src/a.jsonl#0", "1"), ("src/a.jsonl#13", "2"), ("src/b.jsonl.gz#0", "3"), ("src/c.md#0", "4"),
        ("src/d.parquet#0", "5"),
    ]  # fmt: skip
    assert {row["kind"] for row in done.documents} == {"docs"}


def test_large_files_are_split_and_workers_leave_no_trace(ingest: Ingest, tmp_path: Path) -> None:
    held = [f"{number} " * 300 for number in range(500)]
    (tmp_path / "a.jsonl").write_bytes(documents(*held))
    one = ingest([tmp_path / "a.jsonl"], part_bytes=1 << 16, name="one")
    two = ingest([tmp_path / "a.jsonl"], part_bytes=1 << 16, name="two", workers=2)
    assert one.texts == held
    assert len(one.manifest["parts"]) > 3
    assert one.manifest == two.manifest
    for part in one.manifest["parts"]:
        assert (one.folder / part["path"]).read_bytes() == (two.folder / part["path"]).read_bytes()


def test_only_empty_files_make_an_empty_dataset(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n\n")
    done = ingest([tmp_path / "a.jsonl"])
    assert done.counts == {"documents_in": 0, "kept": 0, "quarantined": 0}
    assert len(done.manifest["parts"]) == 1


def test_urls(ingest: Ingest) -> None:
    import fsspec

    root = uuid4().hex
    fsspec.filesystem("memory").pipe(f"/{root}/a.jsonl.zst", zstandard.compress(documents("a") + b"bad\n"))
    done = ingest([f"memory://{root}/*.zst"])
    assert done.texts == ["a"]
    assert [row["id"] for row in done.quarantined] == ["corpus/a.jsonl.zst#13"]


def test_inputs_with_their_own_settings(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("a.py", "b.txt"):
        (tmp_path / "raw" / name).write_text(name)
    path = str(tmp_path / "raw")
    both = [
        {"path": path, "source": "code", "exclude": ["*.txt"]},
        {"path": path, "source": "docs", "exclude": ["*.py"]},
    ]
    done = ingest(both)
    assert [row["id"] for row in done.documents] == ["code/a.py#0", "docs/b.txt#0"]
    assert sorted(os.path.basename(each) for each in done.manifest["inputs"][path]) == ["a.py", "b.txt"]  # noqa: PTH119


def test_a_file_given_twice_is_refused(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("a")
    for again in ("raw", "raw/a.txt", "raw/*.txt", "raw/../raw/a.txt"):
        with pytest.raises(UserError, match="in two inputs"):
            ingest([tmp_path / "raw", f"{tmp_path}/{again}"])


def test_an_output_inside_an_input_is_refused(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.jsonl").write_bytes(documents("a"))
    with pytest.raises(UserError, match="the output lies in the input"):
        ingest([tmp_path / "raw"], name="raw/out")
    assert not (tmp_path / "raw/out").exists()
    assert ingest([tmp_path / "raw"], name="raw-out").texts == ["a"]


def test_names_that_would_give_the_same_ids_are_refused(ingest: Ingest, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
        (tmp_path / "raw" / folder / "a.txt").write_text(folder)
    paths = [str(tmp_path / "raw" / folder / "a.txt") for folder in ("x", "y")]
    with pytest.raises(UserError, match=r"would have the ids of those of .*x/a\.txt; give both as one input"):
        ingest(paths)
    assert ingest([{"path": paths[0], "source": "x"}, paths[1]], name="sources").texts == ["x", "y"]
    assert ingest([f"{tmp_path}/raw/*/a.txt"], name="glob").texts == ["x", "y"]


@pytest.mark.parametrize("settings", [{"format": "csv"}, {"part_bytes": 5}, {"colour": "red"}, {"inputs": []}])
def test_wrong_settings_are_refused_before_any_work(ingest: Ingest, tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        ingest(**{"inputs": [str(tmp_path)]} | settings)
    assert not (tmp_path / "out").exists()


def test_a_declared_format_goes_before_the_ending(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "a.data").write_bytes(documents("a"))
    assert ingest([tmp_path / "a.data"], format="jsonl").texts == ["a"]


def test_a_careful_attempt_notes_each_file_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataproc.readers import text
    from pipelines.engine.task import Call
    from pipelines.engine.worker import TaskContext
    from pipelines.tasks.ingest import ingest_pieces

    pieces = []
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
        pieces.append({"path": str(tmp_path / name), "name": name, "format": "text", "bytes": 5})
    arguments = {"pieces": pieces, "format": "text", "part_bytes": 1 << 20, "fields": {"source": "s"}}
    call = Call(
        ticket=0, task="part-00000", phase="read", function="", arguments=arguments, folder=str(tmp_path / "out"),
        attempt=1, careful=True, skip={},
    )  # fmt: skip
    crumb = Path(state.breadcrumb_path(call.folder, call.phase, call.task))
    noted: list[str] = []
    read = text.read_text
    monkeypatch.setattr(text, "read_text", lambda *all_: (noted.append(crumb.read_text()), read(*all_))[1])
    assert ingest_pieces(TaskContext(call))["kept"] == 2
    assert noted == [piece["path"] for piece in pieces]
