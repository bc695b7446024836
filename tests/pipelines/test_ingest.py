"""Ingest end to end: what is malformed ends in the quarantine with file, place and reason, and nothing else is lost."""

import dataclasses
import gzip
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from corpusmill.dataproc.datasets import write_table
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.pieces import Fields
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import NamedStage, Recipe
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.running import run_recipe
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.ingest.plan import IngestStage
from corpusmill.pipelines.stages.ingest.settings import IngestSettings, Input, InputFields


class Ingested:
    """What a run left: exit code, manifest, documents and quarantined records."""

    def __init__(self, code: int, folder: Path) -> None:
        self.code = code
        self.folder = folder
        self.manifest = state.require_manifest(str(folder))
        self.counts: dict[str, int] = self.manifest["counts"]
        self.documents = self._rows("parts")
        self.quarantined = self._rows("files", "_quarantine/")

    def _rows(self, name: str, below: str = "") -> list[dict[str, Any]]:
        paths = [entry["path"] for entry in self.manifest[name] if entry["path"].startswith(below)]
        return [row for path in paths for row in pq.read_table(self.folder / path).to_pylist()]

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.documents]


Ingest = Callable[..., Ingested]


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    def run(inputs: Sequence[Any], *, name: str = "out", workers: int = 1, **settings: Any) -> Ingested:
        values = {"inputs": [str(entry) if isinstance(entry, Path) else entry for entry in inputs], **settings}
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


def documents(*texts: str) -> bytes:
    return b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts)


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
    "broken gzip member": (
        "a.jsonl.gz",
        gzip.compress(documents("a")) + b"\x1f\x8b\x08garbage" + gzip.compress(documents("b")),
        ["a", "b"],
        [("a.jsonl.gz", "broken gzip stream at compressed byte")],
    ),
    "Parquet as JSON lines": ("a.jsonl", b"PAR1\n\n\n", [], [("a.jsonl", "this is Parquet, despite its name")]),
    "no Arrow": ("a.arrow", b"ARROW1 nothing", [], [("a.arrow", "broken Arrow")]),
    "empty Arrow": ("a.arrow", b"", [], [("a.arrow", "cut off at byte 0")]),
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
    texts = [f"{number} " * 300 for number in range(500)]
    (tmp_path / "a.jsonl").write_bytes(documents(*texts))
    one = ingest([tmp_path / "a.jsonl"], part_bytes=1 << 16, name="one")
    two = ingest([tmp_path / "a.jsonl"], part_bytes=1 << 16, name="two", workers=2)
    assert one.texts == texts
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
    assert sorted(os.path.basename(name) for name in done.manifest["inputs"][path]) == ["a.py", "b.txt"]  # noqa: PTH119


def test_empty_words_of_an_input(ingest: Ingest, tmp_path: Path) -> None:
    """An empty source is as good as none, but an empty `id_field` says that no field holds the id."""
    (tmp_path / "a.jsonl").write_bytes(b'{"text":"a","id":"own","body":"b"}\n')
    path = str(tmp_path / "a.jsonl")
    assert [row["id"] for row in ingest([{"path": path}], name="own").documents] == ["own"]
    done = ingest([{"path": path, "source": "", "kind": "", "id_field": ""}], name="none", kind="docs")
    assert [(row["id"], row["kind"]) for row in done.documents] == [("corpus/a.jsonl#0", "docs")]


def test_what_an_input_has_of_its_own_goes_before_the_stages() -> None:
    files = Input(path="a", text_field="body", meta_fields=(), exclude=("*.b",))
    settings = IngestSettings(inputs=(files,), source="s", id_field="key", meta_fields=("x",), exclude=("*.a",))
    assert settings.of_input(files).exclude == ("*.a", "*.b")
    assert settings.record_fields(files) == Fields(source="s", text_field="body", id_field="key", meta_fields=())


def test_every_field_of_the_readers_is_a_setting() -> None:
    """One that `Fields` gets and nobody can set would stay at its default unnoticed."""
    assert {field.name for field in dataclasses.fields(Fields)} <= set(IngestSettings.model_fields)
    assert set(InputFields.model_fields) | {"path"} == set(Input.model_fields)


def test_the_order_of_settings_is_that_of_the_help() -> None:
    names = list(IngestSettings.model_fields)
    assert names[:5] == ["source", "kind", "format", "exclude", "text_field"]


def test_a_file_given_twice_is_refused(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("a")
    for again in ("raw", "raw/a.txt", "raw/*.txt", "raw/../raw/a.txt"):
        with pytest.raises(UserError, match="in two inputs"):
            ingest([tmp_path / "raw", f"{tmp_path}/{again}"])


def test_an_output_inside_an_input_is_refused(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.jsonl").write_bytes(documents("a"))
    with pytest.raises(UserError, match="the output is inside the input"):
        ingest([tmp_path / "raw"], name="raw/out")
    assert not (tmp_path / "raw/out").exists()
    assert ingest([tmp_path / "raw"], name="raw-out").texts == ["a"]


def test_names_that_would_give_the_same_ids_are_refused(ingest: Ingest, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
        (tmp_path / "raw" / folder / "a.txt").write_text(folder)
    paths = [str(tmp_path / "raw" / folder / "a.txt") for folder in ("x", "y")]
    with pytest.raises(UserError, match=r"would get the same ids as those of .*x/a\.txt; give both as one input"):
        ingest(paths)
    assert ingest([{"path": paths[0], "source": "x"}, paths[1]], name="sources").texts == ["x", "y"]
    assert ingest([f"{tmp_path}/raw/*/a.txt"], name="glob").texts == ["x", "y"]


@pytest.mark.parametrize("settings", [{"format": "word"}, {"part_bytes": 5}, {"colour": "red"}, {"inputs": []}])
def test_wrong_settings_are_refused_before_any_work(ingest: Ingest, tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        ingest(**{"inputs": [str(tmp_path)]} | settings)
    assert not (tmp_path / "out").exists()


def test_a_declared_format_goes_before_the_ending(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "a.data").write_bytes(documents("a"))
    assert ingest([tmp_path / "a.data"], format="jsonl").texts == ["a"]


def test_a_careful_attempt_notes_each_file_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from corpusmill.dataproc.readers import text
    from corpusmill.dataproc.readers.normalisation import Normalisation
    from corpusmill.dataproc.readers.pieces import Fields, Piece
    from corpusmill.pipelines.engine.task import Call
    from corpusmill.pipelines.engine.worker import TaskContext
    from corpusmill.pipelines.stages.ingest.arguments import IngestWork
    from corpusmill.pipelines.stages.ingest.work import ingest_pieces

    pieces = []
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
        pieces.append(Piece(path=str(tmp_path / name), name=name, format="text", bytes=5))
    arguments = IngestWork(
        pieces=tuple(pieces),
        format="text",
        part_bytes=1 << 20,
        fields=Fields(source="s"),
        normalisation=Normalisation(),
    )
    call = Call(
        ticket=0, task="part-00000", phase="read", function="", arguments=arguments, folder=str(tmp_path / "out"),
        attempt=1, careful=True, skip={},
    )  # fmt: skip
    crumb = Path(state.breadcrumb_path(call.folder, call.phase, call.task))
    noted: list[str] = []
    read = text.read_text
    monkeypatch.setattr(text, "read_text", lambda *all_: (noted.append(crumb.read_text()), read(*all_))[1])
    assert ingest_pieces(TaskContext(call))["kept"] == 2
    assert noted == [piece.path for piece in pieces]


def test_a_compressed_file_of_many_members_is_split_and_workers_leave_no_trace(ingest: Ingest, tmp_path: Path) -> None:
    draw = random.Random(0)
    texts = [draw.randbytes(300).hex() for number in range(500)]
    lines = documents(*texts)
    for name, pack in (("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", zstandard.compress)):
        path = tmp_path / name
        path.write_bytes(b"".join(pack(lines[at : at + 3000]) for at in range(0, len(lines), 3000)))
        one = ingest([path], part_bytes=1 << 16, name=f"one-{name}")
        two = ingest([path], part_bytes=1 << 16, name=f"two-{name}", workers=2)
        whole = ingest([path], name=f"whole-{name}")
        assert one.texts == texts and "indivisible" not in one.manifest["facts"]
        assert len({part["path"].split("_")[0] for part in one.manifest["parts"]}) > 1
        assert one.manifest == two.manifest
        assert one.documents == whole.documents


def test_a_large_file_of_one_member_is_said_to_be_one_piece(
    ingest: Ingest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = [random.Random(number).randbytes(200).hex() for number in range(1000)]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(documents(*noise)))
    done = ingest([tmp_path / "a.jsonl.gz"], part_bytes=1 << 16)
    assert done.manifest["facts"]["indivisible"] == {
        str(tmp_path / "a.jsonl.gz"): (tmp_path / "a.jsonl.gz").stat().st_size
    }
    assert "1 large file of a single gzip member or zstd frame" in capsys.readouterr().err


def test_a_field_that_no_record_has_is_refused_before_any_work(ingest: Ingest, tmp_path: Path) -> None:
    lines = b"".join(orjson.dumps({"body": {"text": str(number)}, "x": 1}) + b"\n" for number in range(200))
    (tmp_path / "a.jsonl").write_bytes(lines)
    with pytest.raises(UserError, match=r"a.jsonl: no field 'text' with a text in the first 100 .*there are body, x"):
        ingest([tmp_path / "a.jsonl"])
    assert not list((tmp_path / "out").glob("*.parquet"))
    done = ingest([tmp_path / "a.jsonl"], text_field="body.text", name="nested")
    assert done.texts[:2] == ["0", "1"] and done.documents[0]["meta"] == '{"x":1}'


def test_columns_are_mapped_the_same_in_every_format(ingest: Ingest, tmp_path: Path) -> None:
    record = {"body": {"text": "t", "n": 1}, "key": "k", "at": {"url": "u"}, "lang": "en", "x": 1, "y": 2}
    (tmp_path / "a.jsonl").write_bytes(orjson.dumps(record))
    (tmp_path / "a.json").write_bytes(orjson.dumps([record], option=orjson.OPT_INDENT_2))
    table = pa.Table.from_pylist([record])
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    fields = {"text_field": "body.text", "id_field": "key", "url_field": "at.url", "language_field": "lang"}
    for number, name in enumerate(("a.jsonl", "a.json", "a.parquet", "a.arrow")):
        own = {"path": str(tmp_path / name), **fields}
        assert ingest([own], name=f"whole-{number}").documents == [
            {
                "id": "k", "text": "t", "source": "corpus", "kind": "web", "language": "en", "url": "u",
                "meta": '{"body":{"n":1},"x":1,"y":2}',
            }
        ]  # fmt: skip
        some = ingest([tmp_path / name], name=f"some-{number}", **fields, meta_fields=["y"])
        assert some.documents[0]["meta"] == '{"y":2}'


def test_tables_and_arrays_are_data_named_or_in_a_folder(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.csv").write_text("text,x\na,1\n")
    (tmp_path / "raw/b.json").write_text('[{"text": "b"}]')
    assert ingest([f"{tmp_path}/raw/*.csv", tmp_path / "raw/b.json"], name="named").texts == ["a", "b"]
    assert ingest([tmp_path / "raw"], name="folder").texts == ["a", "b"]


def test_a_hugging_face_repository_is_read_by_its_readme(ingest: Ingest, tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    (hub / "data").mkdir(parents=True)
    for name in ("train-00000-of-00001", "odd-00000-of-00001"):
        pq.write_table(pa.table({"text": [name]}), hub / f"data/{name}.parquet")
    settings = {"format": "huggingface"}
    assert ingest([hub], name="train", **settings).texts == ["train-00000-of-00001"]
    assert ingest([hub], name="odd", split="odd", **settings).texts == ["odd-00000-of-00001"]
    (hub / "README.md").write_text(
        "---\nconfigs:\n- config_name: swapped\n  data_files:\n  - split: train\n    path: data/odd-*\n---\n# Hub\n"
    )
    done = ingest([hub], name="declared", **settings)
    assert [(row["id"], row["text"]) for row in done.documents] == [
        ("corpus/data/odd-00000-of-00001.parquet#0", "odd-00000-of-00001")
    ]
    with pytest.raises(UserError, match="no split 'odd'"):
        ingest([hub], name="refused", split="odd", **settings)
    with pytest.raises(UserError, match=r"this is not one; leave them out, or say format: huggingface"):
        ingest([hub], name="refused", split="odd")
    (hub / "README.md").write_text("---\nconfigs: [\n---\n")
    with pytest.raises(UserError, match=r"README.md: not YAML"):
        ingest([hub], name="refused", **settings)


def test_a_saved_dataset_is_recognised(ingest: Ingest, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    for split in ("train", "test"):
        (saved / split).mkdir(parents=True)
        (saved / split / "dataset_info.json").write_text("{}")
        (saved / split / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
        table = pa.table({"text": [split]})
        with pa.ipc.new_stream(str(saved / split / "data-00000-of-00001.arrow"), table.schema) as writer:
            writer.write_table(table)
    (saved / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert ingest([saved], name="train").texts == ["train"]
    assert ingest([saved], name="all", split="all").texts == ["test", "train"]
    assert [row["id"] for row in ingest([saved / "test"], name="one").documents] == [
        "corpus/data-00000-of-00001.arrow#0"
    ]


def test_normalisation_is_done_as_declared_and_stands_in_the_manifest(ingest: Ingest, tmp_path: Path) -> None:
    pytest.importorskip("ftfy")
    (tmp_path / "a.jsonl").write_bytes(documents("e\u0301", "cafÃ©", "plain\r\n"))
    assert ingest([tmp_path / "a.jsonl"], name="none").texts == ["e\u0301", "cafÃ©", "plain\n"]
    done = ingest([tmp_path / "a.jsonl"], unicode_form="NFC", mojibake=True)
    assert done.texts == ["é", "café", "plain\n"]
    assert done.manifest["facts"]["normalised"] == {"mojibake": 1, "NFC": 1}
    assert done.manifest["settings"]["unicode_form"] == "NFC" and done.manifest["settings"]["mojibake"] is True


def test_pages_that_are_cut_off_or_mended_are_counted_and_may_be_refused(ingest: Ingest, tmp_path: Path) -> None:
    page = f"<html><body><p>{'The mill grinds slowly. ' * 90}".encode()
    bodies = {"Content-Length: 9999": page, "Content-Encoding: gzip": gzip.compress(page)[:-1], "A: b": page + b"\xff."}
    archive = b""
    for number, (header, body) in enumerate(bodies.items()):
        block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n{header}\r\n\r\n".encode() + body
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://x.example/{number}\r\n"
        head += f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
        archive += head.encode() + block + b"\r\n\r\n"
    (tmp_path / "a.warc").write_bytes(archive)
    kept = ingest([tmp_path / "a.warc"], name="kept")
    assert (kept.code, kept.counts["kept"]) == (0, 3)
    assert kept.manifest["facts"]["marked"] == {"replaced": 1, "truncated": 2}
    refused = ingest([tmp_path / "a.warc"], name="refused", truncated="quarantine")
    assert (refused.code, refused.counts["kept"]) == (3, 1)
    assert refused.manifest["facts"]["marked"] == {"replaced": 1}
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "a", "truncated": true}\n')  # a key of somebody else's
    assert "marked" not in ingest([tmp_path / "b.jsonl"], name="other").manifest["facts"]


def test_a_folder_of_repositories_is_ingested(ingest: Ingest, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "repos" / name / ".git").mkdir(parents=True)
        (tmp_path / "repos" / name / "main.py").write_text("import helper\nprint(helper.answer)\n")
        (tmp_path / "repos" / name / "helper.py").write_text("answer = 42\n")
    done = ingest([tmp_path / "repos"], format="repository", kind="code")
    assert len(done.documents) == 2
    assert all(text.index("answer = 42") < text.index("import helper") for text in done.texts)
    again = ingest([tmp_path / "repos"], format="repository", kind="code")
    assert again.manifest == done.manifest
    (tmp_path / "repos/one/helper.py").write_text("answer = 43, another length\n")
    with pytest.raises(UserError, match="already made with other settings or inputs"):
        ingest([tmp_path / "repos"], format="repository", kind="code")


def _repeated(folder: Path, files: int = 3) -> list[Path]:
    """Files of records whose ids stand in several of them, and one whose id looks like a new one."""
    paths = []
    for number in range(files):
        paths.append(folder / f"{number}.jsonl")
        rows = [{"id": f"d{row % 4}", "text": f"file {number} row {row}"} for row in range(6)]
        rows += [{"id": "d1~2", "text": "taken"}] * (number == 1)
        paths[-1].write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return paths


def test_ids_that_stand_twice_are_made_unique_whatever_the_number_of_workers(
    ingest: Ingest, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    _repeated(tmp_path / "in")
    once = ingest([tmp_path / "in"], part_bytes=1 << 16)
    said = capsys.readouterr().err
    assert "4 ids occur more than once, in 18 documents (among them 'd" in said and "<id>~~<number>" in said
    ids = [row["id"] for row in once.documents]
    assert len(set(ids)) == len(ids) == 19
    assert ids[:6] == ["d0", "d1", "d2", "d3", "d0~~2", "d1~~2"] and "d1~2" in ids
    assert once.texts == [row["text"] for row in once.documents]
    assert once.manifest["facts"]["duplicate_ids"] == {"ids": 4, "documents": 18, "renamed": 14, "suffix": "~~"}
    assert not [line for done in verify(recognise(str(once.folder))) for line in done.problems]
    two = ingest([tmp_path / "in"], name="two", part_bytes=1 << 16, workers=2)
    assert two.documents == once.documents
    assert [part["digest"] for part in two.manifest["parts"]] == [part["digest"] for part in once.manifest["parts"]]
    monkeypatch.setattr("corpusmill.dataproc.ids.MOST_IDS", 5)  # four ranges of hashes, so that ids are shuffled
    shuffled = ingest([tmp_path / "in"], name="shuffled", part_bytes=1 << 16, workers=2)
    assert shuffled.manifest["facts"]["duplicate_ids"] == once.manifest["facts"]["duplicate_ids"]
    assert shuffled.documents == once.documents
    assert len(list((shuffled.folder / "_state" / "ids").iterdir())) == 4
    assert not [line for done in verify(recognise(str(shuffled.folder))) for line in done.problems]


def test_ids_that_stand_twice_may_be_refused(ingest: Ingest, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"4 ids occur more than once.*; use an --id-field with unique values"):
        ingest(_repeated(tmp_path), source="s", duplicate_ids="refuse")


def test_verify_finds_ids_that_stand_twice(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(documents("one", "two"))
    done = ingest([tmp_path / "a.jsonl"])
    part = done.folder / done.manifest["parts"][0]["path"]
    table = pq.read_table(part)
    table = table.set_column(0, table.schema.field("id"), pa.array(["x", "x"], table.schema.field("id").type))
    entry = write_table(str(part), table)
    manifest = done.manifest | {"parts": [done.manifest["parts"][0] | entry]}
    (done.folder / state.MANIFEST).write_bytes(state.to_json(manifest))
    problems = [line for checked in verify(recognise(str(done.folder))) for _, line in checked.problems]
    assert problems == ["2 documents have the id of another, among them x"]


def test_datasets_that_share_ids_are_refused_when_they_are_read_together(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "x", "text": "one"}\n{"id": "y", "text": "two"}\n')
    (tmp_path / "b.jsonl").write_text('{"id": "z", "text": "one"}\n{"id": "x", "text": "three"}\n')
    first, second = (str(ingest([tmp_path / f"{name}.jsonl"], name=name).folder) for name in "ab")
    said = rf"{first}: at least 1 ids stand in {second}, too, among them 'x'; leave one of the two out"
    for name, settings in (
        ("filter", {}), ("dedup", {}), ("mixture", {}), ("spans", {}), ("pack", {"tokenizer": "t"}),
        ("tokenizer", {"vocab_size": 300}),
    ):  # fmt: skip
        kind = stage_type(name)
        stage = kind(validate(kind.Settings, {"datasets": [first, second]} | settings, name))
        with pytest.raises(UserError, match=said):
            stage.check_inputs(str(tmp_path / "out"))
