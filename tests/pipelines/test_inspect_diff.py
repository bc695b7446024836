"""`inspect diff`: what two of a kind have in common, held against what was planted; memory does not follow the rows."""

import json
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.dataproc import pairing
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.main import main
from corpusmill.pipelines.inspect.diff import datasets as dataset_module
from corpusmill.pipelines.inspect.diff.compare import compare
from corpusmill.pipelines.inspect.diff.datasets import DatasetDiff, dataset_diff
from corpusmill.pipelines.inspect.diff.runs import RunDiff
from corpusmill.pipelines.inspect.diff.values import Change, value_changes
from corpusmill.pipelines.inspect.places import recognise
from tests.pipelines.small_dataset import write_dataset
from tests.pipelines.small_run import write_manifest

Rows = list[dict[str, Any]]


def _documents(count: int, **more: Any) -> Rows:
    """Documents of three sources and two languages."""
    languages = ("en", None)
    return [
        {"id": f"d{n}", "text": f"text of {n}", "source": f"s{n % 3}", "language": languages[n % 2], **more}
        for n in range(count)
    ]


def _datasets(folder: Path, first: Rows, second: Rows, cut: int = 7) -> tuple[str, str]:
    for name, rows in (("first", first), ("second", second)):
        write_dataset(folder / name, *(rows[start : start + cut] for start in range(0, len(rows), cut)))
    return str(folder / "first"), str(folder / "second")


def _detail(first: str, second: str, examples: int = 3) -> DatasetDiff:
    detail = compare(first, second, examples).detail
    assert isinstance(detail, DatasetDiff)
    return detail


def test_documents_that_went_came_and_changed_are_counted_by_source_and_language(tmp_path: Path) -> None:
    first = _documents(20)
    second = [dict(row) for row in first[2:]] + [{"id": "new", "text": "新しい", "source": "s9", "language": "ja"}]
    second[0]["text"] = "other text of 2"
    second[1]["meta"] = '{"a": 1}'
    random.Random(1).shuffle(second)
    diff = _detail(*_datasets(tmp_path, first, second))
    assert diff.documents == (20, 19)
    assert diff.counts == {"same": 16, "changed": 2, "gone": 2, "new": 1}
    assert (diff.changed_text, diff.renamed, diff.repeated) == (1, 0, (0, 0))
    assert diff.text_bytes == (len("text of 0text of 1"), len("新しい".encode()))
    assert diff.by_source == {
        "s0": {"same": 5, "changed": 1, "gone": 1, "new": 0},
        "s1": {"same": 6, "changed": 0, "gone": 1, "new": 0},
        "s2": {"same": 5, "changed": 1, "gone": 0, "new": 0},
        "s9": {"same": 0, "changed": 0, "gone": 0, "new": 1},
    }
    assert diff.by_language["(unknown)"] == {"same": 8, "changed": 1, "gone": 1, "new": 0}
    assert diff.by_language["ja"] == {"same": 0, "changed": 0, "gone": 0, "new": 1}
    examples = {example.id: example for example in diff.examples}
    assert {name: example.fate for name, example in examples.items()} == {
        "d2": "changed", "d3": "changed", "d0": "gone", "d1": "gone", "new": "new",
    }  # fmt: skip
    assert [(part.kind, part.text) for part in examples["d2"].text] == [("new", "other "), ("same", "text of 2")]
    assert examples["d3"].columns == [Change("meta", None, '{"a": 1}')]


_ROWS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz"), st.sampled_from(["s", "t", None])), max_size=12
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ROWS, _ROWS, st.integers(1, 5))
def test_the_counts_are_those_of_a_dictionary_and_parts_partitions_and_order_leave_no_trace(
    tmp_path: Path, first: list[tuple[str, str, str]], second: list[tuple[str, str, str]], cut: int
) -> None:
    unique = [list({row[0]: row for row in rows}.values()) for rows in (first, second)]
    sides = [{i: (text, language) for i, text, language in rows} for rows in unique]
    expected = {
        "same": sum(1 for i in sides[0] if sides[0][i] == sides[1].get(i)),
        "changed": sum(1 for i in sides[0] if i in sides[1] and sides[0][i] != sides[1][i]),
        "gone": len(sides[0].keys() - sides[1].keys()),
        "new": len(sides[1].keys() - sides[0].keys()),
    }
    seen = []
    kept = pairing.PARTITION_BYTES, pairing.WAITING_BYTES
    for partition_bytes, waiting, rows_a_file in ((*kept, 100), (48, 60, cut)):
        folder = tmp_path / f"{partition_bytes}"
        paths = [folder / name for name in ("first", "second")]
        for path, rows in zip(paths, unique, strict=True):
            path.mkdir(parents=True, exist_ok=True)
            for old in path.iterdir():
                old.unlink()
            ordered = rows if rows_a_file == 100 else rows[::-1]
            for start in range(0, max(len(ordered), 1), rows_a_file):
                _parquet(path / f"part-{start:05d}.parquet", ordered[start : start + rows_a_file])
        pairing.PARTITION_BYTES, pairing.WAITING_BYTES = partition_bytes, waiting
        try:
            seen.append(dataset_diff(*(recognise(str(path)) for path in paths)))
        finally:
            pairing.PARTITION_BYTES, pairing.WAITING_BYTES = kept
    assert seen[0].counts == expected
    assert seen[0] == seen[1]


def _parquet(path: Path, rows: Sequence[tuple[str, str, str | None]]) -> None:
    columns = {"id": [row[0] for row in rows], "text": [row[1] for row in rows], "language": [row[2] for row in rows]}
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), path)


def test_a_text_that_comes_back_under_another_id_is_noticed(tmp_path: Path) -> None:
    first = _documents(9)
    second = [row | {"id": f"renamed/{row['id']}"} for row in first[:6]] + [{"id": "x", "text": "text of 0"}]
    diff = _detail(*_datasets(tmp_path, first, second))
    assert diff.counts == {"same": 0, "changed": 0, "gone": 9, "new": 7}
    assert diff.renamed == 6


def test_parts_that_are_the_same_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _documents(21)
    changed = [*rows[:14], *(row | {"text": "other"} for row in rows[14:])]
    paths = _datasets(tmp_path, rows, changed)
    read, reading = [], dataset_module._read

    def counted(path: str, *rest: Any) -> None:
        read.append(path.rsplit("/", 1)[-1])
        reading(path, *rest)

    monkeypatch.setattr(dataset_module, "_read", counted)
    diff = _detail(*paths)
    assert read == ["part-00002.parquet"] * 2
    assert (diff.unread, diff.counts) == (14, {"same": 14, "changed": 7, "gone": 0, "new": 0})
    assert {name: sum(fates.values()) for name, fates in diff.by_source.items()} == {"s0": 7, "s1": 7, "s2": 7}
    assert [(example.id in {f"d{n}" for n in range(14, 21)}) for example in diff.examples] == [True] * 3
    assert not compare(paths[0], paths[0]).differs


def test_columns_that_only_one_has_are_named_and_no_document_changed_by_them(tmp_path: Path) -> None:
    for name, extra in (("first", {}), ("second", {"score": [0.5, 0.25]})):
        table = pa.table({"id": ["a", "b"], "text": ["x", "y"], "n": pa.array([1, 2], pa.int32())} | extra)
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "some.parquet")
    diff = _detail(str(tmp_path / "first"), str(tmp_path / "second"))
    assert diff.columns == [Change("score", "(none)", "double")]
    assert diff.counts["same"] == 2 and diff.differs


def test_urls_and_a_side_table_are_compared_as_well() -> None:
    memory = fsspec.filesystem("memory")
    try:
        for name, ids in (("first", ["a", "a", "b"]), ("second", ["a", "c"])):
            with memory.open(f"/diff/{name}/part-00000.parquet", "wb") as file:
                pq.write_table(pa.table({"id": ids, "rule": [f"r{n}" for n in range(len(ids))]}), file)
        diff = _detail("memory://diff/first", "memory://diff/second")
    finally:
        memory.rm("/diff", recursive=True)
    assert diff.counts == {"same": 1, "changed": 0, "gone": 2, "new": 1}
    assert (diff.repeated, diff.renamed) == ((1, 0), None)


def test_two_of_different_kinds_and_files_without_ids_are_a_users_mistake(tmp_path: Path) -> None:
    paths = _datasets(tmp_path, _documents(3), _documents(3))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="no column id"):
        compare(paths[0], str(tmp_path / "other.parquet"))
    with pytest.raises(UserError, match=r"a dataset cannot be compared with a run; give two of the same kind"):
        compare(paths[0], str(tmp_path))


def test_runs_stand_side_by_side_and_say_where_they_part(tmp_path: Path) -> None:
    for run, limit, extra in (("monday", 5, ("old",)), ("tuesday", 6, ())):
        _stage(tmp_path / run / "documents", "ingest", {"inputs": ["raw"]}, {"kept": 10}, "d1")
        _stage(
            tmp_path / run / "clean", "filter", {"limit": limit}, {"kept": 10 - limit, "rejected": limit}, f"c{limit}"
        )
        for name in extra:
            _stage(tmp_path / run / name, "dedup", {}, {"kept": 1}, "o")
    done = compare(str(tmp_path / "monday"), str(tmp_path / "tuesday"))
    assert isinstance(done.detail, RunDiff) and done.differs
    documents, clean, old = done.detail.stages
    assert not documents.differs and clean.differs and old.differs
    assert clean.diff is not None and clean.diff.settings == [Change("limit", 5, 6)]
    assert clean.counts == {"kept": (5, 4), "rejected": (5, 6)}
    assert (old.diff, old.states) == (None, ("finished", "not there"))
    assert done.detail.next == [(f"{tmp_path}/monday/clean", f"{tmp_path}/tuesday/clean")]
    assert not compare(str(tmp_path / "monday"), str(tmp_path / "monday")).differs
    only = compare(f"{tmp_path}/monday/clean/_manifest.json", f"{tmp_path}/tuesday/clean/_manifest.json")
    assert (only.what, only.differs) == ("manifest", True)


def _stage(folder: Path, stage: str, own: Mapping[str, Any], counts: Mapping[str, int], digest: str) -> None:
    folder.mkdir(parents=True)
    parts = [{"path": "part-00000.parquet", "rows": 1, "bytes": 1, "digest": digest}]
    write_manifest(folder, stage, settings=own, inputs={}, counts=counts, parts=parts, files=[], facts={})


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 2) | st.dictionaries(st.sampled_from("xy"), st.none())))
def test_a_value_that_is_the_same_is_no_change(values: dict[str, Any]) -> None:
    assert value_changes(values, values) == []
    assert [change.name for change in value_changes(values, {**values, "zz": None})] == ["zz"]


def _run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["corpusmill", "inspect", "diff", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), capsys.readouterr().out


def test_the_command_marks_words_and_its_exit_code_tells_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _documents(4)
    second = [row | {"text": "text\x1b[31m of 0"} if row["id"] == "d0" else row for row in first[:3]]
    paths = _datasets(tmp_path, first, second)
    code, printed = _run(monkeypatch, capsys, *paths)
    assert code == 0
    assert "{+␛[31m+}" in printed and "\x1b" not in printed
    assert "gone  d3 (s0)" in printed
    assert _run(monkeypatch, capsys, *paths, "--exit-code")[0] == 1
    assert _run(monkeypatch, capsys, paths[0], paths[0], "--exit-code")[0] == 0
    values = json.loads(_run(monkeypatch, capsys, *paths, "--json", "-n", "1")[1])
    assert (values["schema"], values["what"], values["differs"]) == (1, "dataset", True)
    assert values["counts"] == {"same": 2, "changed": 1, "gone": 1, "new": 0}
    assert [example["fate"] for example in values["examples"]] == ["changed", "gone"]
