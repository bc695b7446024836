"""`corpusmill inspect sql`, as it is typed: what it answers, and all that it must not do."""

import csv
import io
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.pipelines import inspecting
from tests.pipelines.inspecting import Command, lines_of
from tests.pipelines.small_run import add_model, add_shards, make_run

pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("sql"))
    add_shards(run)
    add_model(run, steps=5)
    return run


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return inspecting.command(monkeypatch, capsys)


def rows(inspect: Command, statement: str, *paths: object) -> list[dict[str, object]]:
    return lines_of(inspect("sql", statement, *paths, "--json"))


def test_every_table_of_a_run_is_there_with_its_rows(made: Path, inspect: Command) -> None:
    tables = {str(row["name"]): row["rows"] for row in rows(inspect, "SELECT name, rows FROM tables", made)}
    assert set(tables) >= {
        *("documents.documents", "documents.quarantine", "clean.documents", "clean.rejected", "clean.ledger"),
        *("clean.statistics", "unique_.documents", "unique_.duplicates", "shards.sequences", "model.metrics"),
    }
    for name, count in tables.items():
        counted = rows(inspect, f"SELECT count(*) AS n FROM {name}", made)
        assert count in (None, counted[0]["n"])


def test_tables_join_and_are_the_files(made: Path, inspect: Command) -> None:
    joined = "SELECT l.id, s.word_count FROM clean.ledger l JOIN clean.statistics s USING (id) ORDER BY ALL"
    statistics = {row["id"]: row["word_count"] for row in pq.read_table(made / "clean/_statistics").to_pylist()}
    ledger = pq.read_table(made / "clean/_ledger").to_pylist()
    expected = sorted((row["id"], statistics[row["id"]]) for row in ledger)
    assert [tuple(row.values()) for row in rows(inspect, joined, made)] == expected
    spelled = rows(inspect, "SELECT unnest(segments).document AS d FROM sequences", made)
    assert {row["d"] for row in spelled} == {"good-2", "good-3", "good-4"}
    assert rows(inspect, "SELECT max(step) AS n FROM metrics", made) == [{"n": 5}]
    assert rows(inspect, "SELECT count FROM counts WHERE stage = 'clean' AND name = 'rejected'", made) == [{"count": 1}]


def test_a_stage_whose_name_is_sql_is_written_with_an_underscore_or_in_quotes(made: Path, inspect: Command) -> None:
    for name in ("unique_.duplicates", '"unique".duplicates', "duplicates"):
        assert rows(inspect, f"SELECT count(*) AS n FROM {name}", made) == [{"n": 2}]


def test_a_stage_a_table_and_several_runs_are_asked_in_the_same_way(
    made: Path, inspect: Command, tmp_path: Path
) -> None:
    assert rows(inspect, "SELECT count(*) AS n FROM ledger", made / "clean") == rows(
        inspect, "SELECT count(*) AS n FROM records", made / "clean/_ledger"
    )
    (tmp_path / "run").symlink_to(made)
    both = "SELECT a.id FROM run.clean.rejected a JOIN run_2.clean.rejected b USING (id)"
    assert len(rows(inspect, both, made, tmp_path / "run")) == 1


def test_a_run_behind_a_url_is_asked_in_the_same_way(made: Path, inspect: Command) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    for path in (made / "clean").rglob("*"):
        if path.is_file():
            store.pipe(f"/asked/clean/{path.relative_to(made / 'clean')}", path.read_bytes())
    statement = "SELECT id, text FROM clean.documents ORDER BY id"
    assert rows(inspect, statement, "memory://asked") == rows(inspect, statement, made / "clean")
    store.rm("/asked", recursive=True)


def test_tables_csv_and_json_show_the_same_and_controls_are_spelled_out(made: Path, inspect: Command) -> None:
    statement = "SELECT id, text, NULL AS nothing, 'nan'::DOUBLE AS n FROM rejected"
    _, out, _ = inspect("sql", statement, made)
    assert "hostile<b>" in out
    assert "\x1b" not in out
    assert rows(inspect, statement, made)[0]["n"] is None
    _, text, _ = inspect("sql", statement, made, "--csv")
    assert next(csv.reader(io.StringIO(text))) == ["id", "text", "nothing", "n"]
    assert "\x1b" not in text
    _, cut, _ = inspect("sql", "SELECT * FROM range(5)", made, "--rows", 2)
    assert "and more rows" in cut


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("SELECT * FROM read_csv('/etc/passwd')", "file system operations are disabled"),
        ("SELECT * FROM read_text('{raw}')", "file system operations are disabled"),
        ("SELECT * FROM '{raw}'", "file system operations are disabled"),
        ("SELECT * FROM glob('/*')", "file system operations are disabled"),
        ("SELECT * FROM made", "does not exist"),
        ("COPY (SELECT 1) TO '{raw}.csv'", "COPY is not allowed here"),
        ("ATTACH '{raw}.db'", "ATTACH is not allowed here"),
        ("INSTALL httpfs", "is not allowed here"),
        ("SET enable_external_access = true", "SET is not allowed here"),
        ("DROP VIEW clean.ledger", "DROP is not allowed here"),
        ("CREATE TABLE t AS SELECT 1", "CREATE is not allowed here"),
        ("SELECT 1; SELECT 2", "2 statements were given"),
        ("", "0 statements were given"),
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM nowhere", "tables are tables, documents.documents,"),
    ],
)
def test_nothing_else_can_be_read_or_changed(made: Path, inspect: Command, statement: str, line: str) -> None:
    code, out, error = inspect("sql", statement.format(raw=made.parent / "raw.jsonl"), made)
    assert (code, out) == (2, "")
    assert line in error
    assert error.count("\n") == 1
    assert not list(made.parent.glob("raw.jsonl.*"))


def test_a_query_is_stopped_at_its_limits(made: Path, inspect: Command) -> None:
    endless = "SELECT count(*) FROM range(100000000) a, range(1000000) b WHERE a.range % 7 = b.range % 11"
    assert "stopped after 0.3 seconds; give it more by --seconds" in inspect("sql", endless, made, "--seconds", 0.3)[2]
    large = "SELECT list(range) FROM range(30000000)"
    assert "the query needs more than 32 MiB" in inspect("sql", large, made, "--memory", "32MiB", "--threads", 1)[2]
    assert "'much' is not a size" in inspect("sql", "SELECT 1", made, "--memory", "much")[2]


def test_without_duckdb_one_line_names_the_extra(made: Path, inspect: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    code, _, error = inspect("sql", "SELECT 1", made)
    assert code == 2
    assert error.endswith("pip install 'corpusmill[sql]'\n")
