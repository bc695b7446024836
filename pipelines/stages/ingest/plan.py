"""Ingest: raw files of any known format become a dataset of documents.

Files are found (`raw_files`) and split into tasks of about `part_bytes` of input; each task writes one part or more.
A record that cannot be a document is quarantined with its file and offset, and the rest of its file goes on. Text stays
as it is but for what is declared: NUL, CR LF and byte order marks always, `unicode_form` and `mojibake` if asked.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.splitting import is_indivisible, split_file
from corpusmill.pipelines.datasets import listed
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.ingest.raw_files import RawFile, find_raw_files

Format = Literal[
    "jsonl", "json", "csv", "parquet", "arrow", "text", "html", "warc", "repository", "huggingface", "python-metadata"
]
Extractor = Literal["resiliparse", "trafilatura"]
OF_FIELDS = ("text_field", "id_field", "url_field", "language_field", "meta_fields")


class Input(BaseModel):
    """One kind of raw files, where it differs from the stage's own settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(description="a file, folder, glob or URL")
    source: str | None = Field(default=None, description="name of the source, if not the stage's")
    kind: str | None = Field(default=None, description="web, book, docs, code, math, ...")
    format: Format | None = Field(default=None, description="format of the files; by each one's ending if left out")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of names to leave out")
    text_field: str | None = Field(default=None, description="field or column that holds the text")
    id_field: str | None = Field(default=None, description="field or column that holds the id")
    url_field: str | None = Field(default=None, description="field or column that holds the URL")
    language_field: str | None = Field(default=None, description="field or column that holds the language")
    meta_fields: tuple[str, ...] | None = Field(default=None, description="fields that meta keeps")
    config: str | None = Field(default=None, description="configuration of a Hugging Face dataset")
    split: str | None = Field(default=None, description="split of a Hugging Face dataset")


class IngestSettings(StageSettings):
    """Settings of `corpusmill ingest`."""

    inputs: tuple[Input | str, ...] = Field(description="raw files: paths, folders, globs or URLs", min_length=1)
    source: str = Field(default="corpus", description="name of the source, the first word of each new id", min_length=1)
    kind: str = Field(default="web", description="kind of text: web, book, docs, code, math, ...")
    format: Format | None = Field(default=None, description="format of the files; by each one's ending if left out")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of file names to leave out")
    text_field: str = Field(
        default="text", description="field or column that holds the text; dots lead into nested ones", min_length=1
    )
    id_field: str = Field(default="id", description="field or column that holds the id, where there is one")
    url_field: str = Field(default="url", description="field or column that holds the URL, where there is one")
    language_field: str = Field(
        default="language", description="field or column that holds the language, where there is one"
    )
    meta_fields: tuple[str, ...] | None = Field(
        default=None, description="other fields or columns that meta keeps; all if left out"
    )
    config: str | None = Field(
        default=None, description="configuration of a Hugging Face dataset; its default if left out"
    )
    split: str | None = Field(
        default=None, description="split of a Hugging Face dataset, or all; train, or the only one, if left out"
    )
    unicode_form: Literal["none", "NFC"] = Field(default="none", description="Unicode normal form to bring texts to")
    mojibake: bool = Field(default=False, description="repair text that was decoded by the wrong charset, by ftfy")
    extractor: Extractor = Field(default="resiliparse", description="what takes the text out of HTML")
    repository_depth: int | None = Field(
        default=None, description="how far below a path its repositories are; found out if left out", ge=0, le=2
    )
    repository_documents: Literal["component", "repository", "file"] = Field(
        default="component", description="what a document is: files that need each other, a whole repository, or a file"
    )
    repository_document_bytes: ByteSize = Field(
        default=ByteSize(1 << 20), description="a longer document of a repository is split between files", ge=1 << 10
    )
    repository_file_bytes: ByteSize = Field(
        default=ByteSize(1 << 20), description="a longer file of a repository is left out", ge=1 << 10
    )
    part_bytes: ByteSize = Field(
        default=ByteSize(128 << 20), description="text of one part, and input of one task", ge=1 << 16
    )
    maximum_record_bytes: ByteSize = Field(
        default=ByteSize(64 << 20), description="a longer record is quarantined", ge=1 << 10
    )


class IngestStage(Stage):
    """Raw files to documents."""

    name = "ingest"
    version = 2
    Settings = IngestSettings
    kernels = ()
    settings: IngestSettings

    def _sources(self) -> list[tuple[Input, list[RawFile]]]:
        """Each input with its files. Raises UserError where ids would not be unique."""
        settings = self.settings
        sources = []
        taken: set[str] = set()
        by_name: dict[tuple[str, str], str] = {}
        for each in settings.inputs:
            given = Input(path=each) if isinstance(each, str) else each
            files = find_raw_files(
                self.resolve(given.path),
                given.format or settings.format,
                [*settings.exclude, *given.exclude],
                config=given.config or settings.config,
                split=given.split or settings.split,
                depth=settings.repository_depth,
            )
            for file in files:
                if storage.absolute(file.path) in taken:
                    raise UserError("this file is in two inputs", where=file.path, hint="give it once, or use exclude")
                taken.add(storage.absolute(file.path))
                other = by_name.setdefault((given.source or settings.source, file.name), file.path)
                if other != file.path:
                    what = f"its records would have the ids of those of {other}"
                    hint = "give both as one input, by a folder or a quoted glob, or each a source of its own"
                    raise UserError(what, where=file.path, hint=hint)
            sources.append((given, files))
        return sources

    def check(self) -> None:
        if self.settings.mojibake:
            from corpusmill.dataproc.readers.normalisation import Normalisation

            Normalisation(mojibake=True).check()

    def check_inputs(self, folder: str) -> None:
        output = storage.absolute(folder) + "/"
        for each in self.settings.inputs:
            given = storage.absolute(self.resolve(each if isinstance(each, str) else each.path))
            if output.startswith(given.rstrip("/") + "/"):
                what = f"the output lies in the input {given}, and would be read as text itself"
                raise UserError(what, where=folder, hint="use an output outside of it")

    def inputs(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for given, files in self._sources():
            found.setdefault(given.path, {}).update({file.path: file.identity() for file in files})
        return found

    def tasks(self) -> list[Task]:
        """Whole small files are put together, large ones split; a task reads one input's files only."""
        return self._tasks_and_indivisible()[0]

    def _tasks_and_indivisible(self) -> tuple[list[Task], dict[str, int]]:
        """The tasks, and the bytes of each large file that is one piece because it is one member or frame."""
        target = int(self.settings.part_bytes)
        groups: list[tuple[Input, str, list[Piece]]] = []
        indivisible: dict[str, int] = {}
        for given, files in self._sources():
            open_groups: dict[str, list[Piece]] = {}
            self._check_text_field(given, files)
            for file in files:
                size = int(file.identity()[0])
                pieces = list(split_file(file.path, file.name, file.format, size, target))
                if len(pieces) == 1 and is_indivisible(file.path, file.format, size, target):
                    indivisible[file.path] = size
                for piece in pieces:
                    group = open_groups.setdefault(piece.format, [])
                    if group and sum(each.bytes for each in group) + piece.bytes > target:
                        groups.append((given, piece.format, group))
                        group = open_groups[piece.format] = []
                    group.append(piece)
            groups += [(given, name, group) for name, group in open_groups.items() if group]
        return [self._task(number, *group) for number, group in enumerate(groups)], indivisible

    def _check_text_field(self, given: Input, files: Sequence[RawFile]) -> None:
        """Raises UserError where an input of JSON lines has no text at the field that is named."""
        if first := next((file for file in files if file.format == "jsonl"), None):
            from corpusmill.dataproc.readers.jsonl import check_text_field

            check_text_field(first.path, Fields(**self._fields(given)))

    def _fields(self, given: Input) -> dict[str, Any]:
        """The values of `dataproc.readers.pieces.Fields` for an input."""
        settings = self.settings
        named = {name: getattr(given, name) for name in OF_FIELDS}
        return {
            "source": given.source or settings.source,
            "kind": given.kind or settings.kind,
            **{name: getattr(settings, name) if value is None else value for name, value in named.items()},
            "maximum_record_bytes": int(settings.maximum_record_bytes),
            "extractor": settings.extractor,
        }

    def _task(self, number: int, given: Input, format: str, pieces: Sequence[Piece]) -> Task:
        settings = self.settings
        arguments = {
            "pieces": [vars(piece) for piece in pieces],
            "format": format,
            "part_bytes": int(settings.part_bytes),
            "fields": self._fields(given),
            "normalisation": {
                "form": "" if settings.unicode_form == "none" else settings.unicode_form,
                "mojibake": settings.mojibake,
            },
        }
        if format == "repository":
            arguments["repository"] = {
                "depth": settings.repository_depth,
                "documents": settings.repository_documents,
                "document_bytes": int(settings.repository_document_bytes),
                "maximum_file_bytes": int(settings.repository_file_bytes),
                "exclude": [*settings.exclude, *given.exclude],
            }
        return Task(
            id=f"part-{number:05d}",
            function="corpusmill.pipelines.stages.ingest.work:ingest_pieces",
            arguments=arguments,
            bytes=sum(piece.bytes for piece in pieces),
        )

    def phases(self) -> list[PhasePlan]:
        tasks = self.tasks()
        return [PhasePlan(name="read", tasks=len(tasks), bytes=sum(task.bytes for task in tasks))]

    def input_bytes(self) -> int:
        """Compressed JSON lines count as what a few of them unpack to."""
        from corpusmill.pipelines.stages.ingest.unpacked import unpacked_bytes

        return super().input_bytes() + unpacked_bytes(self.inputs().values())

    def run(self, run: StageRun) -> Summary:
        tasks, indivisible = self._tasks_and_indivisible()
        if indivisible:
            largest = max(indivisible, key=lambda path: (indivisible[path], path))
            files = "1 large file" if len(indivisible) == 1 else f"{len(indivisible)} large files"
            run.session.progress.say(
                f"{files} of a single gzip member or zstd frame, which one worker reads ({largest})"
            )
        results = run.map("read", tasks)
        facts: dict[str, Any] = {}
        if indivisible:
            facts["indivisible"] = indivisible
        normalised = [
            name for name in ("mojibake", "NFC") if any(name in each.get("normalised", ()) for each in results)
        ]
        if normalised:
            facts["normalised"] = {
                name: sum(each["normalised"].get(name, 0) for each in results) for name in normalised
            }
        repositories = Counter[str]()
        for each in results:
            repositories.update(each.get("repositories", {}))
        if repositories:
            facts["repositories"] = dict(sorted(repositories.items()))
        return Summary(
            counts=add_counts(results, ["documents_in", "kept", "quarantined"]),
            parts=listed(results, "parts"),
            files=listed(results, "files"),
            facts=facts,
        )
