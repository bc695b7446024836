"""One file against its entry in a manifest, and what came of the files of a folder."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shard_checks import verify_shard
from corpusmill.dataproc.sequences.shards import is_shard_name, open_reader
from corpusmill.pipelines.inspect.places import PARQUET, SHARD


@dataclass
class Verified:
    """What was looked at, and what is wrong: (path, what) each. `unread` counts files that could not be read."""

    name: str
    path: str
    files: int = 0
    bytes: int = 0
    rows: int = 0
    unread: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def verify_entry(done: Verified, path: str, entry: Mapping[str, Any]) -> None:
    """Checks a file against its entry in a manifest: bytes, digest, and that it can be read."""
    done.files += 1
    problem = _byte_problem(done, path, entry)
    if problem:
        done.problems.append((path, problem))
    else:
        try:
            done.problems += [(path, line) for line in _content_problems(done, path, entry)]
            return
        except (UserError, pa.ArrowInvalid, OSError) as error:
            done.problems.append((path, error.what if isinstance(error, UserError) else str(error)))
    done.unread += 1


def _byte_problem(done: Verified, path: str, entry: Mapping[str, Any]) -> str:
    """Why a file's bytes are not those that were written; "" when they are."""
    try:
        size = storage.size(path)
    except FileNotFoundError:
        return "not there"
    done.bytes += size
    if size != entry["bytes"]:
        return f"{size:,} bytes, but the manifest says {entry['bytes']:,}"
    if storage.digest_file(path) != entry["digest"]:
        return "not the bytes that were written (the digest differs)"
    return ""


def _content_problems(done: Verified, path: str, entry: Mapping[str, Any]) -> Iterator[str]:
    if path.endswith(PARQUET):
        with open_part(path) as file:
            rows = file.metadata.num_rows
    elif is_shard_name(path) or (path.endswith(SHARD) and path == done.path):  # a file by itself may have any name
        _, reader = open_reader(path)
        rows = sum(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
        for line in verify_shard(path):
            done.unread += line.startswith("damaged columns")
            yield line
    else:
        return
    done.rows += rows
    if rows != entry.get("rows", rows):
        yield f"{rows:,} rows, but the manifest says {entry['rows']:,}"
