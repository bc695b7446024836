"""Repeated text as a stage: documents are accounted for, what is listed is what is cut, for any workers and blocks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.spans import plan as stage_module
from corpusmill.pipelines.stages.spans.plan import SpansStage
from corpusmill.pipelines.stages.spans.work import searching as tasks
from tests.dataproc.dedup.test_substring import Parts, repeated_windows
from tests.pipelines.road import final_bytes
from tests.pipelines.test_stage_inputs import run

NOTICE = "Permission is hereby granted, free of charge, to anyone — naïve or 語 — who obtains a copy.\n"
STORY = "It was a bright cold day in April, and the clocks were striking thirteen; nobody looked up.\n"
Spans = Callable[..., Finished]


def prose(seed: int, words: int = 60) -> str:
    draw = np.random.default_rng(seed)
    return " ".join("".join(map(chr, draw.integers(97, 123, draw.integers(2, 9)))) for _ in range(words)) + "\n"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of several parts: notices, a story inside others, one that repeats itself, a run, an empty text."""
    folder = tmp_path_factory.mktemp("spans")
    texts = [NOTICE + prose(number) + "\n" + NOTICE.upper() for number in range(12)]
    texts += [prose(20), "語" + STORY + prose(21), prose(22) + "\n" + STORY, STORY, prose(20) + prose(23)]
    texts += [(prose(24, 20) + "\n") * 3, "=" * 500, "", "short", prose(20)[:150] + "é" + prose(22)[:90]]
    lines = [json.dumps({"id": f"d{number}", "text": text}) for number, text in enumerate(texts)]
    for name, chosen in (("a", lines[:9]), ("b", lines[9:])):
        (folder / f"{name}.jsonl").write_text("\n".join(chosen))
        inputs = [str(folder / f"{name}.jsonl")]
        run("ingest", folder / name, inputs=inputs)
    return folder


@pytest.fixture
def find(documents: Path, tmp_path: Path) -> Spans:
    def go(name: str = "out", workers: int = 1, **settings: Any) -> Finished:
        values = {"datasets": [str(documents / "a"), str(documents / "b")], "length": 64, "minimum": 20, **settings}
        stage = SpansStage(validate(SpansStage.Settings, values, "test"))
        with Session(make_executor=lambda: make_executor("local", workers=workers)) as session:
            return run_stage(stage, str(tmp_path / name), session)

    return go


def rows(done: Finished, folder: str = "") -> list[dict[str, Any]]:
    entries = [*done.manifest["parts"], *done.manifest["files"]]
    chosen = [entry["path"] for entry in entries if entry["path"].rpartition("/")[0].removeprefix("_") == folder]
    return [row for path in chosen for row in pq.read_table(f"{done.folder}/{path}").to_pylist()]


def input_texts(documents: Path) -> dict[str, str]:
    tables = [pq.read_table(documents / name / "part-00000.parquet") for name in ("a", "b")]
    return {row["id"]: row["text"] for table in tables for row in table.to_pylist()}


def without(text: str, spans: list[dict[str, Any]]) -> str:
    data = np.frombuffer(text.encode(), np.uint8)
    kept = np.ones(len(data), bool)
    for span in spans:
        kept[span["start"] : span["end"]] = False
    return bytes(data[kept]).decode()


def test_a_report_lists_the_bytes_that_an_oracle_finds_and_changes_nothing(documents, find):
    done = find()
    texts = input_texts(documents)
    parts: Parts = [[text.encode() for text in texts.values()]]
    expected = set()
    for _, place in repeated_windows(parts, 64):
        expected.update(range(place, place + 64))
    begin, covered = 0, set()
    listed = rows(done, "spans")
    for name, text in texts.items():
        for span in (span for span in listed if span["id"] == name):
            covered.update(range(begin + span["start"], begin + span["end"]))
            first = texts[span["first"]].encode()[span["first_start"] :]
            copied = text.encode()[span["start"] : span["end"]]
            assert copied == (first * 20)[: len(copied)] or copied == (first[:1] * len(copied))
        begin += len(text.encode())
    assert covered <= expected
    whole = b"".join(parts[0])
    assert all(whole[place] >= 0x80 for place in expected - covered), "only bytes of cut characters are given up"
    assert done.manifest["facts"]["bytes_repeated"] == len(covered)
    assert rows(done) == [row for name in ("a", "b") for row in pq.read_table(documents / name).to_pylist()]
    counts = done.manifest["counts"]
    assert (counts["kept"], counts["rejected"], counts["quarantined"]) == (len(texts), 0, 0)


@pytest.mark.parametrize("unit", ["substring", "paragraph", "line"])
def test_cut_documents_are_what_the_list_leaves_of_them_and_short_ones_are_rejected(documents, find, unit):
    done = find(unit=unit, action="cut")
    texts, listed = input_texts(documents), rows(done, "spans")
    kept, rejected = {row["id"]: row["text"] for row in rows(done)}, rows(done, "rejected")
    for name, text in texts.items():
        spans = [span for span in listed if span["id"] == name]
        left = without(text, spans)
        if spans and len(left) < 20:
            assert name not in kept
            assert next(row for row in rejected if row["id"] == name)["text"] == text
            assert {"id": name, "rule": "characters_left", "value": len(left), "threshold": 20} in rows(done, "ledger")
        else:
            assert kept[name] == left
    assert kept["d20"] == "short" and kept["d19"] == ""
    shared = NOTICE.upper().strip()  # a paragraph of its own in each
    assert shared in kept["d0"] and shared not in kept["d1"]
    facts = done.manifest["facts"]
    assert facts["bytes_in"] - facts["bytes_rejected"] - facts["bytes_cut"] == sum(
        len(t.encode()) for t in kept.values()
    )


def test_documents_that_are_mostly_repeated_are_removed_and_others_left_as_they_are(documents, find):
    done = find(action="remove", share=0.45)
    texts = input_texts(documents)
    removed = {row["id"] for row in rows(done, "rejected")}
    assert removed >= {"d15", "d17", "d18"} and not removed & {"d0", "d12", "d13", "d19", "d20"}
    assert {row["id"]: row["text"] for row in rows(done)} == {k: v for k, v in texts.items() if k not in removed}
    assert {row["broken_rules"] for row in rows(done, "rejected")} == {"repeated_share"}


@pytest.mark.parametrize("unit", ["substring", "line"])
def test_blocks_partitions_and_workers_leave_no_trace(documents, find, monkeypatch, unit):
    one = find("one", unit=unit, action="cut")
    monkeypatch.setattr(stage_module, "LEAST_BLOCKS", 1)
    together = find("together", unit=unit, action="cut")
    monkeypatch.setattr(stage_module, "WINDOW_BYTES", 1 << 12)
    monkeypatch.setattr(stage_module, "SORTED_KEY_BYTES", 1 << 10)
    monkeypatch.setattr(stage_module, "TALLY_BYTES", 1 << 12)
    spread = find("spread", unit=unit, action="cut", partition_bytes="64KiB")
    pool = find("pool", workers=2, unit=unit, action="cut")
    bytes_of = [final_bytes(Path(done.folder)) for done in (one, together, spread, pool)]
    for files in bytes_of:
        files.pop("_manifest.json")  # and the card, which shows its settings
        files.pop("_README.md")
    assert bytes_of[0] == bytes_of[1] == bytes_of[2] == bytes_of[3]
    assert len(list(Path(spread.folder, "_state", "repeats" if unit == "substring" else "repeated").glob("*.json"))) > 2


def test_a_limit_spares_what_a_few_documents_share(find):
    spared = find("few", unit="line", limit=2)
    assert {span["first"] for span in rows(spared, "spans")} == {"d0"}
    assert find("all", unit="line").manifest["facts"]["spans"] > spared.manifest["facts"]["spans"]
    assert not rows(find("none", unit="line", limit=50), "spans")


def test_copies_inside_one_document_count_when_times_are_counted(find):
    def lines_of(done: Finished) -> list[int]:
        return [span["start"] for span in rows(done, "spans") if span["id"] == "d17"]

    assert lines_of(find("documents", unit="paragraph")) == []
    assert len(lines_of(find("times", unit="paragraph", count="times"))) == 2


def test_normalised_lines_are_alike(find):
    alike = rows(find(unit="line", normalise=["case"]), "spans")
    assert len([span for span in alike if span["first"] == "d0"]) == 23


def test_a_document_that_cannot_be_read_is_quarantined_and_is_nobodys_first_copy(documents, find, monkeypatch):
    real = tasks.windows.window_runs

    def fails_on_the_first(texts: pa.Array, length: int) -> Any:
        if any(text == STORY for text in texts.to_pylist()):
            raise ValueError("cannot read this")
        return real(texts, length)

    monkeypatch.setattr(tasks.windows, "window_runs", fails_on_the_first)
    done = find(action="cut")
    assert done.manifest["counts"]["quarantined"] == 1
    assert [row["id"] for row in rows(done, "quarantine")] == ["d15"]
    assert "d15" not in {span["first"] for span in rows(done, "spans")} | {row["id"] for row in rows(done)}


def test_settings_that_mean_nothing_to_substrings_are_refused(documents):
    stage = SpansStage(validate(SpansStage.Settings, {"datasets": [str(documents / "a")], "limit": 3}, "test"))
    with pytest.raises(UserError, match="--limit: substrings"):
        stage.check()


def test_no_documents_give_no_spans(tmp_path, find):
    (tmp_path / "raw.jsonl").write_text("")
    run("ingest", tmp_path / "empty", inputs=[str(tmp_path / "raw.jsonl")])
    for unit in ("substring", "line"):
        done = find(unit, datasets=[str(tmp_path / "empty")], unit=unit, action="cut")
        assert done.manifest["counts"]["documents_in"] == 0
