"""Which raw file, and which record of it, a document came from: by its id, or by the task that wrote its part.

Where the input gave no id, a document's own is `<source>/<path>#<record>`, which is the answer. Where it gave one, the
part says which task wrote the document and the plan which pieces of which files the task read; reading those once more
finds the record. An id that stood more than once was made unique when it came in (`dataproc/ids.py`), and the number
behind it says which of those records the document is.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.finding import fixed_root
from corpusmill.dataproc.readers.pieces import recognise as format_of
from corpusmill.dataproc.urls import is_masked
from corpusmill.pipelines.inspect.lookup import look_up
from corpusmill.pipelines.inspect.places import Link, part_number

if TYPE_CHECKING:
    from corpusmill.dataproc.readers.pieces import Piece
    from corpusmill.pipelines.stages.ingest.arguments import IngestWork

RECORDS = {"jsonl": "byte", "json": "byte", "csv": "row", "parquet": "row", "arrow": "row", "warc": "byte"}
"""What the number after an id's `#` counts, by format; a file of another format is one record. (Of a compressed file of
several members, the number is `<member>+<byte>`: where the member begins in the file, and the byte in it, unpacked.)"""

FILES_NAMED = 3
MOST_ALIKE = 100_000
"""The greatest number of an id that stood more than once whose record is looked for."""


@dataclass(frozen=True)
class Raw:
    """The raw file and the record that a document is.

    Attributes:
        files: the file; several where no manifest tells which of them.
        record: which record of it.
        note: that the file is gone or another one by now ("" if it is as it was read, as far as its size tells).
        by_own_id: the record had an id of its own, so that its place in the file is not known.
        format, place: of the file, and what its record's number is, where an id says so.
    """

    files: list[str]
    record: str
    note: str = ""
    by_own_id: bool = False
    format: str = ""
    place: str = ""


class RawFiles:
    """The raw files of an ingest, by its manifest: which of them a document came from."""

    def __init__(self, link: Link) -> None:
        from corpusmill.pipelines.recipe import path_resolver

        self._link = link
        described = link.described
        self._settings = described["settings"]
        self._sizes: dict[str, Any] = {
            path: size if isinstance(size, int) else size[0]
            for files in described["inputs"].values()
            for path, size in files.items()
        }
        self._named: dict[str, tuple[str, str]] = {}
        """(path, format) by what an id without its record is where the input gave none."""
        for setting in self._settings["inputs"]:
            given = {"path": setting} if isinstance(setting, str) else setting
            source = given.get("source") or self._settings["source"]
            for path in described["inputs"].get(given["path"], ()):
                opened = path_resolver({})(given["path"])
                declared = given.get("format") or self._settings.get("format")
                of_dataset = declared == "huggingface"
                format = format_of(path) if of_dataset or not declared else declared
                for root in {fixed_root(opened), opened.rstrip("/") + "/", path.rsplit("/", 1)[0] + "/"}:
                    if path.startswith(root):
                        self._named[f"{source}/{path[len(root) :].lstrip('/')}"] = (path, format)
        self._tasks: list[IngestWork] | None = None

    @property
    def id_field(self) -> str:
        return str(self._settings["id_field"])

    def names_of(self, path: str) -> list[str] | None:
        """What ids of documents of a raw file begin with; None for a file that was not read."""
        whole = storage.absolute(path)
        if whole not in {storage.absolute(read) for read in self._sizes}:
            return None
        return sorted(name for name, (read, _) in self._named.items() if storage.absolute(read) == whole)

    def as_it_was(self, document: str) -> tuple[str, int]:
        """(the id that a document came with, which of the documents with that id it is, from 1)."""
        suffix = self._link.described.get("facts", {}).get("duplicate_ids", {}).get("suffix", "")
        match = re.fullmatch(rf"(?s)(.*[^~]){suffix}([1-9][0-9]*)", document) if suffix else None
        return (match[1], int(match[2])) if match and int(match[2]) > 1 else (document, 1)

    def of(self, document: str, task: int) -> Raw:
        """The raw file and record of a document, by its id or else by the task that wrote its part."""
        original, number = self.as_it_was(document)
        if number > 1:
            files = sorted({piece.path for piece in self._pieces(task)}) or list(self._sizes)
            record = f"number {number:,} of the records whose {self.id_field} is {original}"
            return Raw(files[:FILES_NAMED], record, self._note(files), by_own_id=True)
        name, _, record = document.rpartition("#")
        path, format = self._named.get(name, ("", ""))
        if format == "repository":
            return Raw([path], f"the document that begins with {record}", self._note([path]))
        if path and re.fullmatch(r"\d+(\+\d+)?", record):
            counted = f"{RECORDS[format]} {record}" if format in RECORDS else "the whole file"
            return Raw([path], counted, self._note([path]), format=format, place=record)
        files = sorted({piece.path for piece in self._pieces(task)}) or list(self._sizes)
        record = f"the record whose {self._settings['id_field']} is this id"
        return Raw(files[:FILES_NAMED], record, self._note(files), by_own_id=True)

    def read_again(self, document_ids: Sequence[str], task: int) -> dict[str, Raw]:
        """The records of documents that had ids of their own, found by reading the files of their task once more.

        Of documents with one id, which were given further ones, the task read them in the order of their numbers: the
        parts say how many of them earlier tasks had read.
        """
        from corpusmill.dataproc.readers.registry import reader_of

        wanted = {self._nth_of_task(name, task): name for name in document_ids}
        ids, records = pa.array(sorted({name for name, _ in wanted}), pa.string()), {}
        seen: Counter[str] = Counter()
        for piece in self._pieces(task):
            before, fields = 0, self._planned()[task].fields
            since = f" of those from {RECORDS.get(piece.format)} {piece.start:,} on" if piece.start else ""
            reader = reader_of(piece.format)
            for batch in reader.load()(piece, fields, lambda *_: None) if reader and not reader.groups else ():
                for row in pc.indices_nonzero(pc.is_in(batch.column("id"), value_set=ids)).to_pylist():
                    record = f"document {before + row:,}{since}, counted from 0"
                    original = batch.column("id")[row].as_py()
                    if document := wanted.get((original, seen[original])):
                        records[document] = Raw([piece.path], record)
                    seen[original] += 1
                before += batch.num_rows
        return records

    def _nth_of_task(self, document: str, task: int) -> tuple[str, int]:
        """(the id that a document came with, how many with that id the task had read before it)."""
        original, number = self.as_it_was(document)
        if number == 1 or number > MOST_ALIKE:
            return original, 0
        suffix = self._link.described["facts"]["duplicate_ids"]["suffix"]
        earlier = {original} | {f"{original}{suffix}{other}" for other in range(2, number)}
        assert self._link.place is not None
        paths = [storage.join(self._link.place.path, part["path"]) for part in self._link.described["parts"]]
        return original, sum(part_number(path) == task for path, _ in look_up(paths, earlier))

    def _note(self, files: Sequence[str]) -> str:
        if not files:
            return "no manifest names the raw files"
        if len(files) > 1:
            return f"one of {len(files):,} files"
        path = files[0]
        if is_masked(path):
            return "the credentials of this URL were not stored, so it cannot be looked at"
        if not storage.exists(path):
            return "this file is no longer there"
        if not storage.is_url(path) and os.path.isdir(path):  # noqa: PTH112
            return ""
        return "" if storage.size(path) == self._sizes[path] else "the size of this file has changed"

    def _pieces(self, task: int) -> "list[Piece]":
        planned = self._planned()
        return list(planned[task].pieces) if task < len(planned) else []

    def _planned(self) -> "list[IngestWork]":
        """The arguments of ingest's tasks as they were, for as long as the raw files are those that were read."""
        if self._tasks is None:
            from corpusmill.pipelines.settings import validate
            from corpusmill.pipelines.stages.ingest.plan import IngestStage

            self._tasks = []
            try:
                from corpusmill.pipelines.recipe import path_resolver

                settings = validate(IngestStage.Settings, self._settings)
                stage = IngestStage(settings, seed=self._link.described["seed"], resolve=path_resolver({}))
                now = {path: kept[0] for files in stage.inputs().values() for path, kept in files.items()}
                if now == self._sizes:
                    self._tasks = [task.arguments for task in stage.tasks()]
            except (UserError, OSError):
                pass
        return self._tasks
