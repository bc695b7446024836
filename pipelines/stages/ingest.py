"""Ingest: raw files of any known format become a dataset of documents.

Files are found and split into tasks of about `part_bytes` of input; each task writes one part or more. A record that
cannot be a document is quarantined with its file and offset, and the rest of its file goes on.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from dataproc import storage
from dataproc.errors import UserError
from dataproc.readers.pieces import Piece, find_files, recognise, split_file
from pipelines.datasets import listed
from pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from pipelines.engine.task import Task

Format = Literal["jsonl", "parquet", "text", "python-metadata", "warc"]


class Input(BaseModel):
    """One kind of raw files, where it differs from the stage's own settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a file, folder, glob or URL")
    source: str | None = Field(default=None, description="name of the source, if not the stage's")
    kind: str | None = Field(default=None, description="web, book, docs, code, math, ...")
    format: Format | None = Field(default=None, description="format of the files; by each one's ending if left out")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of names to leave out")


class IngestSettings(StageSettings):
    """Settings of `corpusmill ingest`."""

    inputs: tuple[Input | str, ...] = Field(description="raw files: paths, folders, globs or URLs", min_length=1)
    source: str = Field(default="corpus", description="name of the source, the first word of each new id", min_length=1)
    kind: str = Field(default="web", description="kind of text: web, book, docs, code, math, ...")
    format: Format | None = Field(default=None, description="format of the files; by each one's ending if left out")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of file names to leave out")
    text_field: str = Field(default="text", description="field or column that holds the text")
    id_field: str = Field(default="id", description="field or column that holds the id, where there is one")
    part_bytes: ByteSize = Field(
        default=ByteSize(128 << 20), description="text of one part, and input of one task", ge=1 << 16
    )
    maximum_record_bytes: ByteSize = Field(
        default=ByteSize(64 << 20), description="a longer record is quarantined", ge=1 << 10
    )


class IngestStage(Stage):
    """Raw files to documents."""

    name = "ingest"
    Settings = IngestSettings
    uses_kernels = False
    settings: IngestSettings

    def _sources(self) -> list[tuple[Input, list[tuple[str, str]]]]:
        """Each input with the (path, name) of its files. Raises UserError where ids would not be unique."""
        sources = []
        taken: set[str] = set()
        by_name: dict[tuple[str, str], str] = {}
        for each in self.settings.inputs:
            given = Input(path=each) if isinstance(each, str) else each
            files = find_files(self.resolve(given.path), [*self.settings.exclude, *given.exclude])
            for path, name in files:
                if storage.absolute(path) in taken:
                    raise UserError("this file is in two inputs", where=path, mend="give it once, or use exclude")
                taken.add(storage.absolute(path))
                other = by_name.setdefault((given.source or self.settings.source, name), path)
                if other != path:
                    what = f"its records would have the ids of those of {other}"
                    mend = "give both as one input, by a folder or a quoted glob, or each a source of its own"
                    raise UserError(what, where=path, mend=mend)
            sources.append((given, files))
        return sources

    def check_inputs(self, folder: str) -> None:
        output = storage.absolute(folder) + "/"
        for each in self.settings.inputs:
            given = storage.absolute(self.resolve(each if isinstance(each, str) else each.path))
            if output.startswith(given.rstrip("/") + "/"):
                what = f"the output lies in the input {given}, and would be read as text itself"
                raise UserError(what, where=folder, mend="use an output outside of it")

    def inputs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for given, files in self._sources():
            found.setdefault(given.path, {}).update({path: storage.identity(path) for path, _ in files})
        return found

    def tasks(self) -> list[Task]:
        """Whole small files are put together, large ones split; a task reads one input's files only."""
        target = int(self.settings.part_bytes)
        groups: list[tuple[Input, str, list[Piece]]] = []
        for given, files in self._sources():
            open_groups: dict[str, list[Piece]] = {}
            for path, name in files:
                kind_of_file = given.format or self.settings.format or recognise(path)
                for piece in split_file(path, name, kind_of_file, storage.size(path), target):
                    group = open_groups.setdefault(piece.format, [])
                    if group and sum(each.bytes for each in group) + piece.bytes > target:
                        groups.append((given, piece.format, group))
                        group = open_groups[piece.format] = []
                    group.append(piece)
            groups += [(given, name, group) for name, group in open_groups.items() if group]
        return [self._task(number, *group) for number, group in enumerate(groups)]

    def _task(self, number: int, given: Input, format: str, pieces: Sequence[Piece]) -> Task:
        settings = self.settings
        return Task(
            id=f"part-{number:05d}",
            function="pipelines.tasks.ingest:ingest_pieces",
            arguments={
                "pieces": [vars(piece) for piece in pieces],
                "format": format,
                "part_bytes": int(settings.part_bytes),
                "fields": {
                    "source": given.source or settings.source,
                    "kind": given.kind or settings.kind,
                    "text_field": settings.text_field,
                    "id_field": settings.id_field,
                    "maximum_record_bytes": int(settings.maximum_record_bytes),
                },
            },
            bytes=sum(piece.bytes for piece in pieces),
        )

    def phases(self) -> list[PhasePlan]:
        tasks = self.tasks()
        return [PhasePlan(name="read", tasks=len(tasks), bytes=sum(task.bytes for task in tasks))]

    def run(self, run: StageRun) -> Summary:
        results = run.map("read", self.tasks())
        return Summary(
            counts=add_counts(results, ["documents_in", "kept", "quarantined"]),
            parts=listed(results, "parts"),
            files=listed(results, "files"),
        )
