"""Which format a file is, by its ending."""

import pytest

from corpusmill.dataproc.readers.pieces import recognise


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("x/a.jsonl", "jsonl"),
        ("a.jsonl.gz", "jsonl"),
        ("a.ndjson.zst", "jsonl"),
        ("c4-train.00000.json.gz", "jsonl"),
        ("package.json", "json"),
        ("a.parquet", "parquet"),
        ("x-1.0.dist-info/METADATA", "python-metadata"),
        ("README.md", "text"),
        ("Makefile", "text"),
    ],
)
def test_formats_by_ending(path: str, format: str) -> None:
    assert recognise(path) == format


def test_endings_count_in_any_case_and_compressed() -> None:
    assert {recognise(f"A.{ending}") for ending in ("JSONL", "jl", "JsonLines", "NDJSON.GZ", "jl.bgz", "json.ZST")} == {
        "jsonl"
    }
    assert {recognise(f"a.{ending}") for ending in ("CSV", "tsv", "TSV.gz", "csv.zstd")} == {"csv"}
    assert recognise("a.Arrow") == recognise("a.feather") == "arrow"
    assert recognise("a.PARQUET") == "parquet" and recognise("a.JSON") == "json"


def test_a_whole_name_counts_as_it_is_spelled() -> None:
    assert recognise("x/metadata") == "text"
