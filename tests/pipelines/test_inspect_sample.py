"""`corpusmill inspect sample` by what a filter found in documents, as it is typed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.randomness import random_key
from corpusmill.pipelines.inspect.drawing import Draw
from tests.pipelines import inspecting
from tests.pipelines.inspecting import Command, lines_of
from tests.pipelines.small_dataset import write_dataset
from tests.pipelines.small_run import make_run, prose


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("sample"))


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return inspecting.command(monkeypatch, capsys)


def ids(answer: tuple[int, str, str]) -> list[str]:
    return [line["values"]["id"] for line in lines_of(answer)]


def rejected(made: Path) -> list[dict[str, Any]]:
    return pq.read_table(made / "clean/_rejected").to_pylist()


def test_documents_that_a_rule_rejected_are_those_of_the_ledger(made: Path, inspect: Command) -> None:
    ledger = pq.read_table(made / "clean/_ledger").to_pylist()
    for rule in {row["rule"] for row in ledger}:
        expected = {row["id"] for row in ledger if row["rule"] == rule}
        for name in (rule, rule.rpartition("/")[2]):
            assert set(ids(inspect("sample", made / "clean", "--rule", name, "--json"))) == expected
            assert set(ids(inspect("sample", made / "clean/_rejected", "--rule", name, "--json"))) == expected
        alone = {row["id"] for row in rejected(made) if row["broken_rules"] == rule}
        assert set(ids(inspect("sample", made / "clean", "--only", rule, "--json"))) == alone


def test_both_sides_of_a_threshold_are_shown_the_nearest_first(made: Path, inspect: Command) -> None:
    statistics = pq.read_table(made / "clean/_statistics").to_pylist()
    lines = lines_of(inspect("sample", made / "clean", "--near", "words", "-n", 2, "--json"))
    for side, keeps in (("keeps it", True), ("breaks it", False)):
        nearest = sorted(abs(row["word_count"] - 50) for row in statistics if (row["word_count"] >= 50) == keeps)[:2]
        shown = [line for line in lines if line["side"] == side]
        assert [abs(line["value"] - line["threshold"]) for line in shown] == nearest
    _, out, _ = inspect("sample", made / "clean", "--near", "words", "-n", 1)
    assert "keeps it: 15" in out
    assert "and the threshold is 50" in out
    assert out.index("keeps it") < out.index("breaks it")


def test_an_expression_sees_columns_of_documents_and_statistics(made: Path, inspect: Command) -> None:
    statistics = {row["id"]: row for row in pq.read_table(made / "clean/_statistics").to_pylist()}
    median = sorted(row["word_count"] for row in statistics.values())[len(statistics) // 2]
    where = f"word_count >= {median} and startswith(id, 'good') and kind == 'web'"
    kept = pq.read_table(made / "clean/part-00000.parquet", columns=["id"])["id"].to_pylist()
    expected = {name for name in kept if name.startswith("good") and statistics[name]["word_count"] >= median}
    assert expected
    assert set(ids(inspect("sample", made / "clean", "--where", where, "-n", 100, "--json"))) == expected
    own = inspect("sample", made / "clean/_statistics", "--where", f"word_count < {median}", "-n", 100, "--json")
    assert set(ids(own)) == {name for name, row in statistics.items() if row["word_count"] < median}


def test_language_source_and_text_are_asked_together(tmp_path: Path, inspect: Command) -> None:
    rows = [
        {
            "id": f"{number}",
            "text": prose(number),
            "source": "ab"[number % 2],
            "language": ("en", "de", None)[number % 3],
        }
        for number in range(30)
    ]
    folder = write_dataset(tmp_path / "documents", rows[:7], rows[7:20], [], rows[20:])
    word = rows[4]["text"].split()[3]
    answer = ids(inspect("sample", folder, "--contains", word, "--source", "a", "-n", 100, "--json"))
    assert set(answer) == {row["id"] for row in rows if word in row["text"] and row["source"] == "a"}
    answer = ids(
        inspect("sample", folder, "--language", "de", "--language", "unknown", "--source", "b", "-n", 100, "--json")
    )
    assert set(answer) == {row["id"] for row in rows if row["language"] != "en" and row["source"] == "b"}
    assert ids(inspect("sample", folder, "--contains", "no such text", "--json")) == []
    assert inspect("sample", folder, "--contains", "no such text")[1] == "no document is like that\n"


def test_a_draw_depends_on_the_seed_and_not_on_how_documents_are_cut_into_parts(
    tmp_path: Path, inspect: Command
) -> None:
    rows = [{"id": f"{number}", "text": "x"} for number in range(200)]
    one = write_dataset(tmp_path / "one", rows)
    many = write_dataset(tmp_path / "many", rows[150:], rows[:10], rows[10:150])
    drawn = {
        seed: {
            tuple(sorted(ids(inspect("sample", folder, "--source", "tests", "--seed", seed, "--json"))))
            for folder in (one, many)
        }
        for seed in (0, 1)
    }
    assert all(len(draws) == 1 for draws in drawn.values())
    assert drawn[0] != drawn[1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=60), st.integers(1, 8), st.integers(0, 3))
def test_the_best_rows_are_kept_whatever_the_batches(rows: list[tuple[int, int]], count: int, cut: int) -> None:
    draw = Draw(count, 7, "test")
    names = [f"id-{number}" for number in range(len(rows))]
    size = (1, 3, 20, 100)[cut]
    for first in range(0, len(rows), size):
        numbers = np.arange(first, min(first + size, len(rows)))
        distances = np.array([float(rows[n][0]) for n in numbers])
        draw.offer(0, numbers, pa.array([names[n] for n in numbers], pa.string()), distances, distances)
    expected = sorted(range(len(rows)), key=lambda n: (rows[n][0], random_key(7, "test", names[n])))[:count]
    assert [drawn.row for drawn in draw.rows()] == expected


def test_a_dataset_behind_a_url_is_asked_in_the_same_way(made: Path, inspect: Command) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    for path in (made / "clean").rglob("*"):
        if path.is_file():
            store.pipe(f"/sampled/{path.relative_to(made)}", path.read_bytes())
    here = ids(inspect("sample", made / "clean", "--near", "words", "--json"))
    assert ids(inspect("sample", "memory://sampled/clean", "--near", "words", "--json")) == here
    store.rm("/sampled", recursive=True)


def test_controls_in_documents_do_not_reach_the_terminal(made: Path, inspect: Command) -> None:
    code, out, _ = inspect("sample", made / "clean", "--rule", "words")
    assert code == 0
    assert "␛]0;owned␇" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("path", "arguments", "line"),
    [
        ("clean", ["--rule", "word"], "no rule 'word' was in force; did you mean 'words'?"),
        ("clean", ["--rule", "words", "--only", "words"], "more than one rule was given"),
        ("clean", ["--where", "words > 1"], "unknown column 'words'"),
        ("clean", ["--where", "word_count"], "this expression is not a condition"),
        ("unique", ["--near", "words"], "what is near a threshold is known only from a filter's statistics"),
        ("unique", ["--rule", "words"], "this stage rejects no documents by rules"),
        ("clean/_statistics", ["--rule", "words"], "there are no rejected documents in a table of statistics"),
        ("", ["--contains", "x"], "this is a whole run; name one of its stages"),
    ],
)
def test_a_mistake_is_one_line(made: Path, inspect: Command, path: str, arguments: list[str], line: str) -> None:
    code, out, error = inspect("sample", made / path, *arguments)
    assert (code, out) == (2, "")
    assert line in error
    assert error.count("\n") == 1


def test_documents_without_a_filter_and_single_ones_come_as_json_too(made: Path, inspect: Command) -> None:
    assert len(ids(inspect("sample", made / "documents", "-n", 3, "--json"))) == 3
    code, out, _ = inspect("show", made / "documents", "--id", "good-5", "--json")
    assert code == 0
    assert json.loads(out)["values"]["text"] == prose(5)
