"""Readers, measures and rewriters of another package: had by their names, as ours are, and ours always win."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.pipelines.plugin_package import ENTRY_POINTS, corpusmill, write_entry_points, write_site

TOYS = "a|Quiet words here.\nb|Loud words here!!\nno document\nc|LOUD!\n"
RECIPE = """
name: toys
output: run
stages:
  documents: {stage: ingest, inputs: [in/x.toy], source: s}
  clean:
    stage: filter
    datasets: [documents]
    rules: []
    custom_rules: [{name: loud, statistic: exclamation_marks, maximum: 1}]
    rewrite: [whisper]
    rewriter_settings: {whisper: {mark: "?"}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.toy").write_text(TOYS)
    (tmp_path / "toys.yaml").write_text(RECIPE)
    return write_site(tmp_path / "site")


def column(folder: Path, name: str) -> list[object]:
    return [value for path in sorted(folder.glob("part-*.parquet*")) for value in pq.read_table(path)[name].to_pylist()]


def test_a_reader_a_measure_and_a_rewriter_work_as_ours_do(site: Path) -> None:
    done = corpusmill(site, "run", "toys.yaml", "--workers", "2", "--allow-quarantine")
    assert done.returncode == 0, done.stderr
    run = site.parent / "run"
    assert column(run / "documents", "id") == ["a", "b", "c"]
    assert column(run / "documents/_quarantine", "reason") == ["no bar"]
    assert column(run / "clean", "text") == ["quiet words here.?", "loud!?"]
    assert column(run / "clean/_rejected", "id") == ["b"]
    assert column(run / "clean/_statistics", "exclamation_marks") == [0, 2, 1]
    manifest = json.loads((run / "clean/_manifest.json").read_text())
    assert manifest["facts"]["documents_rewritten"] == {"whisper": 2}
    assert "Makes small letters of capitals" in corpusmill(site, "filter", "--show", "whisper").stdout
    assert "exclamation marks in the text" in corpusmill(site, "filter", "--show", "exclamation_marks").stdout


def test_a_format_may_be_named_and_large_files_are_split_as_the_reader_says(site: Path) -> None:
    (site.parent / "many.txt").write_text("".join(f"{number}|{'word ' * 40}\n" for number in range(2000)))
    done = corpusmill(
        site, "ingest", "many.txt", "--format", "toy", "--part-bytes", "64KiB", "--output", "out", "--workers", "2"
    )
    assert done.returncode == 0, done.stderr
    assert column(site.parent / "out", "id") == [str(number) for number in range(2000)]
    assert len(list((site.parent / "out").glob("part-*.parquet"))) > 2


def test_without_the_package_its_names_are_unknown_and_ours_are_listed(site: Path) -> None:
    write_entry_points(site, {})
    named = corpusmill(site, "ingest", "in/x.toy", "--format", "toy", "--output", "out")
    assert named.returncode == 2 and "known are jsonl, json, csv" in named.stderr and "Traceback" not in named.stderr
    done = corpusmill(site, "run", "toys.yaml")
    assert done.returncode == 2 and "'whisper'" in done.stderr


@pytest.mark.parametrize(
    ("group", "name", "target", "problem"),
    [
        ("readers", "toy", "toys.nowhere:READER", "could not be loaded (ModuleNotFoundError"),
        ("readers", "toy", "toys.reading:read_toy", "is not a Reader named 'toy'"),
        ("measures", "exclamations", "toys.measuring:pa", "has no COLUMNS"),
        ("rewriters", "whisper", "toys.measuring:Exclamations", "has no rewrite"),
        ("rewriters", "hush", "toys.rewriting:Whisper", "its name is not 'hush'"),
    ],
)
def test_a_bad_entry_point_is_one_line_that_names_it(
    site: Path, group: str, name: str, target: str, problem: str
) -> None:
    write_entry_points(site, ENTRY_POINTS | {f"corpusmill.{group}": {name: target}})
    done = corpusmill(site, "run", "toys.yaml")
    assert done.returncode == 2 and problem in done.stderr and "Traceback" not in done.stderr
    assert f"{name} = {target} of corpusmill.{group}" in done.stderr


def test_ours_always_win_and_nothing_is_loaded_where_they_are_enough(site: Path) -> None:
    nowhere = "toys.nowhere:NOTHING"
    write_entry_points(
        site,
        {
            "corpusmill.readers": {"jsonl": nowhere, "text": nowhere, "other": nowhere},
            "corpusmill.measures": {"code": nowhere, "other": nowhere},
            "corpusmill.rewriters": {"c4-lines": nowhere},
        },
    )
    (site.parent / "in.jsonl").write_text('{"id": "a", "text": "One whole line of text."}\n')
    assert corpusmill(site, "ingest", "in.jsonl", "--output", "out").returncode == 0
    done = corpusmill(site, "filter", "out", "--rules", "starcoder", "--rewrite", "citations", "--output", "clean")
    assert done.returncode == 0, done.stderr
