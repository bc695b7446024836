"""Evaluation sets from files: which fields make an item, what it is called, and what is no set."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from corpusmill.dataproc.contamination.items import read_evaluation_set
from corpusmill.dataproc.errors import UserError

RECORDS = [
    {"question": "Why?", "answer": "Because.", "choices": {"text": ["one", "two"], "label": ["A", "B"]}, "task": 5},
    {"question": "Who?", "answer": None, "choices": {"text": [], "label": []}},
]
LINES = "\n".join(json.dumps(record) for record in RECORDS).encode() + b"\n\n"


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".parquet"])
def test_every_format_gives_the_same_items(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"set{ending}"
    if ending == ".json":
        path.write_text(json.dumps(RECORDS))
    elif ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(RECORDS), path)
    else:
        pack = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.compress}[ending]
        path.write_bytes(pack(LINES))
    items = read_evaluation_set("s", [str(path)], ["question", "choices.text", "answer"], "task")
    assert items.texts.to_pylist() == ["Why?\none\ntwo\nBecause.", "Who?"]
    assert items.ids.to_pylist() == ["5", f"set{ending}#1"]


def test_json_lines_may_be_called_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(LINES)
    assert read_evaluation_set("s", [str(tmp_path / "x.json")], ["question"]).texts.to_pylist() == ["Why?", "Who?"]


def test_plain_text_has_an_item_a_line_and_files_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first\n\n second \n")
    (tmp_path / "b.txt").write_text("third")
    items = read_evaluation_set("s", [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")])
    assert list(zip(items.ids.to_pylist(), items.texts.to_pylist(), strict=True)) == [
        ("a.txt#0", "first"),
        ("a.txt#1", "second"),
        ("b.txt#0", "third"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "fields", "match"),
    [
        ("x.jsonl", LINES, ["prompt"], "no record has a text in the field 'prompt'.*question, answer, choices, task"),
        ("x.jsonl", LINES, ["choices"], "record 0: the field 'choices' contains nested fields"),
        ("x.jsonl", LINES + b"{broken", ["question"], "line 4: not JSON"),
        ("x.jsonl", b'{"text": "a"}\n[1]', ["text"], "line 2: a JSON list"),
        ("x.jsonl", b"\n", ["text"], "has no items"),
        ("x.json", b'[{"text": "a"}, 5]', ["text"], "not a JSON array"),
        ("x.json", b'[{"text": "a"}', ["text"], "not JSON"),
        ("x.txt", b"fine\n\xff\xfe", ["text"], "line 2: not UTF-8"),
        ("x.jsonl.gz", gzip.compress(LINES, mtime=0)[:-20], ["question"], "damaged"),
        ("x.jsonl.zst", b"no zstd at all", ["question"], "damaged"),
        ("x.parquet", b"PAR1", ["question"], "not a readable Parquet file"),
    ],
)
def test_what_is_no_whole_set_is_refused_with_its_place(
    tmp_path: Path, name: str, data: bytes, fields: list[str], match: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=match):
        read_evaluation_set("s", [str(tmp_path / name)], fields)
