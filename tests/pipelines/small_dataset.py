"""A dataset without a run of ingest: parts and a manifest from rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpusmill.dataproc.datasets import PartWriter
from corpusmill.dataproc.documents import SCHEMA
from tests.pipelines.small_run import write_manifest


def write_dataset(folder: Path, *parts: Sequence[Mapping[str, Any]]) -> Path:
    """Makes `folder` a finished dataset, of spans; a row's `source`, `kind` and the like may be left out."""
    entries = []
    for number, rows in enumerate(parts):
        whole = [{"source": "tests", "kind": "web", **row} for row in rows]
        with PartWriter(str(folder), f"part-{number:05d}", SCHEMA) as writer:
            writer.write(pa.RecordBatch.from_pylist(whole, schema=SCHEMA))
        entries += writer.parts
    documents = sum(map(len, parts))
    write_manifest(
        folder,
        "spans",
        settings={},
        inputs={},
        counts={"documents_in": documents, "kept": documents, "quarantined": 0},
        parts=entries,
        files=[],
        facts={},
    )
    return folder
