"""A manifest that was damaged, or comes from elsewhere, is one line that names the field."""

import json
from pathlib import Path
from typing import Any

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state

ENTRY: dict[str, Any] = {"path": "part-00000.parquet", "bytes": 1, "digest": "00", "rows": 1}
GOOD: dict[str, Any] = {
    "schema": state.SCHEMA_VERSION, "stage": "ingest", "stage_version": 1, "counts": {"kept": 1}, "facts": {},
    "files": [], "inputs": {}, "settings": {}, "parts": [ENTRY],
}  # fmt: skip


def read(folder: Path, manifest: Any) -> Any:
    (folder / state.MANIFEST).write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
    return state.read_manifest(str(folder))


def test_a_good_one_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD)["parts"] == [ENTRY]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"parts": None}, "'parts' is missing or is not a list"),
        ({"counts": {"kept": "1"}}, "'counts.kept' is not a whole number"),
        ({"parts": [{**ENTRY, "path": "../x"}]}, "its path leads out of the folder"),
        ({"parts": [{**ENTRY, "path": "part-\ud800.parquet"}]}, "its path is not Unicode"),
        ({"parts": [{**ENTRY, "rows": -1}]}, "'rows' is not a number of them"),
    ],
)
def test_a_damaged_field_is_named(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"this manifest is damaged: .*{said}") as error:
        read(tmp_path, GOOD | changed)
    assert error.value.where == str(tmp_path / state.MANIFEST)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "{'a': 1}"])
def test_what_is_no_json_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="not a JSON file"):
        read(tmp_path, text)
