"""Which format a file is, by its ending and by how it was named."""

import pytest

from corpusmill.dataproc.readers.pieces import recognise


@pytest.mark.parametrize(
    ("path", "format"),
    [
        ("x/a.jsonl", "jsonl"),
        ("a.jsonl.gz", "jsonl"),
        ("a.ndjson.zst", "jsonl"),
        ("c4-train.00000.json.gz", "jsonl"),
        ("package.json", "text"),
        ("a.parquet", "parquet"),
        ("x-1.0.dist-info/METADATA", "python-metadata"),
        ("README.md", "text"),
        ("Makefile", "text"),
    ],
)
def test_formats_by_ending(path: str, format: str) -> None:
    assert recognise(path) == format


def test_json_and_tables_are_data_where_they_are_named_and_text_in_a_folder() -> None:
    assert recognise("data/a.json", "data/*.json") == recognise("a.json", "a.json") == "json"
    assert recognise("a.tsv.gz", "a.tsv.gz") == "csv"
    assert recognise("tree/package.json", "tree") == recognise("tree/a.csv", "tree/*") == "text"
    assert recognise("a.arrow") == recognise("a.feather") == "arrow"
