"""The tables of a run, by stage and name: documents, side tables, sequences of shards, metrics of training.

A finished stage's manifest says which files it is made of, so nothing is listed and nothing is read here. Files of one
table are one Arrow dataset, which reads row groups as they are asked for, locally or through fsspec.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shard_folder import is_held_back
from corpusmill.dataproc.side_tables import table_of
from corpusmill.dataproc.urls import is_http
from corpusmill.pipelines.inspect.documents import rows_of
from corpusmill.pipelines.inspect.places import Place, folder_name, recognise
from corpusmill.pipelines.inspect.sequences import METRICS
from corpusmill.pipelines.registry import description_of

SEQUENCES, VALIDATION, METRICS_TABLE, ROWS = "sequences", "validation_sequences", "metrics", "records"
_FORMATS = {".parquet": "parquet", ".side": "parquet", ".arrow": "ipc", ".jsonl": "json"}


@dataclass(frozen=True)
class StageTable:
    """A table: files of one format and one schema.

    Attributes:
        stage: name of the stage's folder; "" for files that belong to none.
        name: documents, ledger, duplicates, ….
        paths: of its files, in order; never none.
        rows: of all of them; None where no manifest says so.
    """

    stage: str
    name: str
    paths: Sequence[str]
    rows: int | None


def tables_of(place: Place) -> list[StageTable]:
    """The tables of a run, of a stage's folder or of Parquet files. Unfinished stages have none."""
    if place.what == "run":
        return [table for _, folder in place.stages for table in _stage_tables(recognise(folder))]
    if place.manifest:
        return _stage_tables(place)
    rows = rows_of(place)
    return [StageTable("", ROWS, [path for path, _ in rows.files], len(rows))]


def _stage_tables(place: Place) -> list[StageTable]:
    if not place.manifest:
        return []
    description = description_of(place.manifest["stage"])
    of_parts = "documents" if description is None or description.has_documents else description.makes
    files: dict[str, list[Mapping[str, Any]]] = {}
    for entry in place.manifest["parts"]:
        files.setdefault(SEQUENCES if entry["path"].endswith(".arrow") else of_parts, []).append(entry)
    for entry in place.manifest["files"]:
        name = VALIDATION if is_held_back(entry["path"]) else table_of(entry["path"])
        if name and entry["path"].endswith(tuple(_FORMATS)):
            files.setdefault(name, []).append(entry)
    stage = folder_name(place.path)
    tables = [
        StageTable(
            stage,
            name,
            [storage.join(place.path, entry["path"]) for entry in entries],
            sum(entry["rows"] for entry in entries) if all("rows" in entry for entry in entries) else None,
        )
        for name, entries in files.items()
        if all(entry["path"].endswith(tuple(_FORMATS)) for entry in entries)
    ]
    metrics = storage.join(place.path, METRICS)
    if place.what == "model" and storage.exists(metrics):
        tables.append(StageTable(stage, METRICS_TABLE, [metrics], None))
    return tables


def _format(name: str) -> Any:
    """How Arrow reads a table's files: of Parquet a page at a time, not whole columns of row groups ahead."""
    import pyarrow.dataset as arrow_dataset

    if name != "parquet":
        return name
    options = arrow_dataset.ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False, buffer_size=1 << 20)
    return arrow_dataset.ParquetFileFormat(default_fragment_scan_options=options)


def open_table(table: StageTable) -> Any:
    """The table as a `pyarrow.dataset.Dataset`. Raises UserError for a file that cannot be read."""
    import pyarrow.dataset as arrow_dataset

    paths, filesystem = list(table.paths), None
    if storage.is_url(paths[0]):
        if is_http(paths[0]):
            raise UserError("tables behind HTTP cannot be queried", where=paths[0], hint="download the run first")
        from pyarrow.fs import FSSpecHandler, PyFileSystem

        opened = [storage.file_system(path) for path in paths]
        filesystem, paths = PyFileSystem(FSSpecHandler(opened[0][0])), [inner for _, inner in opened]
    ending = "." + paths[0].rsplit(".", 1)[-1]
    try:
        return arrow_dataset.dataset(paths, format=_format(_FORMATS[ending]), filesystem=filesystem)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"this table cannot be read ({error})", where=paths[0], hint="verify the folder") from error
