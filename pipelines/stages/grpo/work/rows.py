"""Prompts and pairs: JSON lines or Parquet files of named texts, read whole and checked.

These files are a person's, and small beside a corpus (a million prompts of 100 bytes: 0.3 GB here), so a fault is an
error that names its place, and nothing is left out. Memory: the texts of all files.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq
import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError, is_utf8


def read_rows(
    paths: Sequence[str], required: Sequence[str], optional: Sequence[str] = ()
) -> list[dict[str, str | None]]:
    """The texts of all rows of all files, in order; further fields are left out, and numbers are read as texts.

    Raises UserError for a row without a required text, and for files without rows.
    """
    found = []
    for path in paths:
        for place, row in _rows(path, [*required, *optional]):
            values = {name: _text(row.get(name), f"{path}, {place}", name) for name in (*required, *optional)}
            for name in required:
                if values[name] is None:
                    raise UserError(f"there is no '{name}'", f"{path}, {place}", "give each row one")
            found.append(values)
    if paths and not found:
        raise UserError("no rows", where=", ".join(paths), hint="give files that have some")
    return found


def fingerprint(rows: Sequence[Mapping[str, str | None]]) -> str:
    """Of rows in their order: xxh3, 128 bits."""
    digest = xxhash.xxh3_128()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _rows(path: str, names: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(place, row) of a file."""
    with storage.open_input(path) as file:
        if path.endswith(".parquet"):
            try:
                there = pq.ParquetFile(file)
                chosen = [name for name in names if name in there.schema_arrow.names]
                rows = there.read(columns=chosen).to_pylist()
            except Exception as error:  # whatever Arrow raises, the file is no Parquet file
                raise UserError(f"not a Parquet file ({type(error).__name__})", path, "make it again") from error
            yield from ((f"row {number}", row) for number, row in enumerate(rows))
            return
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError("not a line of JSON", f"{path}, line {number}", "correct it") from error
            if not isinstance(row, dict):
                raise UserError("not an object", f"{path}, line {number}", 'write {"prompt": …}')
            yield f"line {number}", row


def _text(value: Any, place: str, name: str) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = repr(value)
    if value is not None and not isinstance(value, str):
        raise UserError(f"'{name}' is not text", place, "write a string")
    if value is not None and not is_utf8(value):
        raise UserError(f"'{name}' holds half a surrogate pair", place, "correct it")
    return value
