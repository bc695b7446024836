"""Ingest: raw files of any known format become a dataset of documents.

Files are found (`raw_files`) and split into tasks of about `part_bytes` of input; each task writes one part or more.
A record that cannot be a document is quarantined with its file and offset, and the rest of its file goes on. Text stays
as it is but for what is declared: NUL, CR LF and byte order marks always, `unicode_form` and `mojibake` if asked.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import AfterValidator, ByteSize, Field, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from corpusmill.dataproc import storage
from corpusmill.dataproc.decompression import LARGEST_WINDOW_BYTES, WINDOW_BYTES
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.normalisation import Normalisation
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.readers.registry import FOLDERS, READERS, format_names, reader_of, reader_of_ending
from corpusmill.dataproc.readers.splitting import is_indivisible, split_file
from corpusmill.dataproc.repositories.settings import RepositorySettings
from corpusmill.pipelines.datasets import listed
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.ingest.arguments import IngestWork
from corpusmill.pipelines.stages.ingest.planned import Planned, facts_of, require_some
from corpusmill.pipelines.stages.ingest.raw_files import RawFile, find_raw_files


def _known_format(name: str) -> str:
    if name not in (known := format_names(name)):
        raise PydanticCustomError("format", f"no reader of this format; known are {', '.join(known)}")
    return name


NAMED_CHARACTERS = {"tab": "\t", "\\t": "\t", "space": " ", "none": "none"}


def _character(value: str) -> str:
    """One ASCII character, or a name that stands for one or for none."""
    character = NAMED_CHARACTERS.get(value, value)
    if character != "none" and (len(character) != 1 or not character.isascii() or character in "\r\n\0"):
        raise PydanticCustomError("character", "not one ASCII character; tab, space and none are words for those")
    return character


PROBED_FILES = 100
"""Of so many files of an input the first records are looked at; what more files hold shows when they are read."""

Format = Annotated[str, AfterValidator(_known_format)]
Character = Annotated[str, AfterValidator(_character)]
Extractor = Literal["resiliparse", "trafilatura"]


class InputFields(StageSettings):
    """What an input may have of its own; declared once, for the stage and for its inputs.

    A field that is also one of `Fields` reaches the readers by its name.
    """

    source: str = Field(default="corpus", description="name of the source, the first word of each new id", min_length=1)
    kind: str = Field(default="web", description="kind of text: web, book, docs, code, math, ...")
    format: Format | None = Field(
        default=None,
        description=f"format of the files: {', '.join((*READERS, *FOLDERS))}; by each one's ending if left out",
    )
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
    csv_delimiter: Character | None = Field(
        default=None, description="what separates the fields of CSV; a comma, and a tab in .tsv, if left out"
    )
    csv_quote: Character | None = Field(
        default=None, description='what fields of CSV are quoted by, or none; ", and none in .tsv, if left out'
    )
    csv_escape: Character | None = Field(
        default=None, description="what escapes the character behind it in CSV, or none; none if left out"
    )
    config: str | None = Field(
        default=None, description="configuration of a Hugging Face dataset; its default if left out"
    )
    split: str | None = Field(
        default=None, description="split of a Hugging Face dataset, or all; train, or the only one, if left out"
    )


class InputFiles(StageSettings):
    """The raw files of an input."""

    path: str = Field(description="a file, folder, glob or URL")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of names to leave out, besides the stage's")


def _optional(field: FieldInfo) -> tuple[Any, Any]:
    """A field that may be left out; the stage's value then applies. It may be empty even if the stage's may not."""
    kind: Any = field.annotation
    if bounds := [bound for bound in field.metadata if not isinstance(bound, MinLen)]:
        kind = Annotated[kind, *bounds]
    return kind | None, Field(default=None, description=field.description)


_FIELDS: dict[str, Any] = {
    name: _optional(field) for name, field in InputFields.model_fields.items() if name not in InputFiles.model_fields
}
Input: Any = create_model("Input", __base__=InputFiles, **_FIELDS)
"""One kind of raw files, and what of the stage's settings is different for them."""


class IngestSettings(InputFields):
    """Settings of `corpusmill ingest`."""

    inputs: tuple[Input | str, ...] = Field(description="raw files: paths, folders, globs or URLs", min_length=1)
    unicode_form: Literal["none", "NFC"] = Field(default="none", description="Unicode normal form to bring texts to")
    mojibake: bool = Field(default=False, description="repair text decoded with the wrong charset, with ftfy")
    extractor: Extractor = Field(default="resiliparse", description="what extracts the text from HTML")
    zstd_window: ByteSize = Field(
        default=ByteSize(WINDOW_BYTES),
        description="the largest window that a zstd file may ask for; each worker may need so much memory for it",
        ge=1 << 10,
        le=LARGEST_WINDOW_BYTES,
    )
    repository_depth: int | None = Field(
        default=None, description="depth of the repositories below a path; detected if left out", ge=0, le=2
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

    def of_input(self, files: Any) -> InputFields:
        """The fields of an input: its own, and the stage's where it has none; patterns to leave out are added up.

        Both were checked when they were read, and are not checked again.
        """
        own = {name: getattr(files, name) for name in InputFields.model_fields}
        merged = {name: value if _is_set(name, value) else getattr(self, name) for name, value in own.items()}
        return InputFields.model_construct(**merged | {"exclude": (*self.exclude, *files.exclude)})

    def record_fields(self, files: Any) -> Fields:
        """How the records of an input become documents."""
        return Fields(
            **self.of_input(files).model_dump(include={field.name for field in dataclasses.fields(Fields)}),
            maximum_record_bytes=int(self.maximum_record_bytes),
            extractor=self.extractor,
            zstd_window=int(self.zstd_window),
        )


def _is_set(name: str, value: Any) -> bool:
    """Whether an input has this field. An empty word counts as left out, but `id_field: ""` says there is no id."""
    return value is not None and (value != "" or name.endswith("_field"))


class IngestStage(Stage):
    """Raw files to documents."""

    name = "ingest"
    version = 2
    Settings = IngestSettings
    kernels = ()
    settings: IngestSettings

    def _sources(self, left_out: list[str] | None = None) -> list[tuple[InputFiles, list[RawFile]]]:
        """Each input with its files; `left_out` gets the links and folders that are passed over.

        Raises UserError where ids would not be unique.
        """
        settings = self.settings
        sources: list[tuple[InputFiles, list[RawFile]]] = []
        taken: set[str] = set()
        by_name: dict[tuple[str, str], str] = {}
        for written in settings.inputs:
            files_of = Input(path=written) if isinstance(written, str) else written
            fields = settings.of_input(files_of)
            files = find_raw_files(
                self.resolve(files_of.path),
                fields.format,
                fields.exclude,
                config=fields.config,
                split=fields.split,
                depth=settings.repository_depth,
                left_out=left_out,
            )
            for file in files:
                if storage.absolute(file.path) in taken:
                    raise UserError("this file is in two inputs", where=file.path, hint="give it once, or use exclude")
                taken.add(storage.absolute(file.path))
                other = by_name.setdefault((fields.source, file.name), file.path)
                if other != file.path:
                    what = f"its records would have the ids of those of {other}"
                    hint = "give both as one input, as a folder or a quoted glob, or give each its own source"
                    raise UserError(what, where=file.path, hint=hint)
            sources.append((files_of, files))
        return sources

    def check(self) -> None:
        if self.settings.mojibake:
            Normalisation(mojibake=True).check()

    def needs(self) -> list[tuple[str, str]]:
        modules = [("ftfy", "mojibake")] if self.settings.mojibake else []
        for written in self.settings.inputs:
            path, format = (written, None) if isinstance(written, str) else (written.path, written.format)
            format = format or self.settings.format
            reader = reader_of(format) if format else reader_of_ending(path)
            modules += [need for need in (reader.needs if reader else ()) if need not in modules]
        return modules

    def require_files(self, made: Callable[[str], bool]) -> None:
        self._sources()

    def check_inputs(self, folder: str) -> None:
        output = storage.absolute(folder) + "/"
        for written in self.settings.inputs:
            path = storage.absolute(self.resolve(written if isinstance(written, str) else written.path))
            if output.startswith(path.rstrip("/") + "/"):
                what = f"the output lies in the input {path}, and would be read as text itself"
                raise UserError(what, where=folder, hint="use an output outside of it")

    def inputs(self) -> dict[str, Any]:
        identities: dict[str, Any] = {}
        for files_of, files in self._sources():
            identities.setdefault(files_of.path, {}).update({file.path: file.identity() for file in files})
        return identities

    def tasks(self) -> list[Task]:
        """Whole small files are put together, large ones split; a task reads one input's files only."""
        return self._planned().tasks

    def _planned(self) -> Planned:
        target = int(self.settings.part_bytes)
        groups: list[tuple[InputFiles, str, list[Piece]]] = []
        indivisible: dict[str, int] = {}
        as_text: list[str] = []
        left_out: list[str] = []
        for files_of, files in self._sources(left_out):
            open_groups: dict[str, list[Piece]] = {}
            self._check_text_field(files_of, files)
            if self.settings.of_input(files_of).format is None:
                as_text += [file.path for file in files if file.format == "text"]
            for file in files:
                size = int(file.identity()[0])
                pieces = list(split_file(file.path, file.name, file.format, size, target))
                if len(pieces) == 1 and is_indivisible(file.path, file.format, size, target):
                    indivisible[file.path] = size
                for piece in pieces:
                    group = open_groups.setdefault(piece.format, [])
                    if group and sum(member.bytes for member in group) + piece.bytes > target:
                        groups.append((files_of, piece.format, group))
                        group = open_groups[piece.format] = []
                    group.append(piece)
            groups += [(files_of, name, group) for name, group in open_groups.items() if group]
        tasks = [self._task(number, *group) for number, group in enumerate(groups)]
        return Planned(tasks=tasks, indivisible=indivisible, as_text=as_text, left_out=left_out)

    def _check_text_field(self, files_of: InputFiles, files: Sequence[RawFile]) -> None:
        """Raises UserError where an input is JSON lines and none of its files has a text at the field that is named."""
        from corpusmill.dataproc.readers.jsonl import text_field_problem

        if not files or any(file.format != "jsonl" for file in files[:PROBED_FILES]):
            return
        fields = self.settings.record_fields(files_of)
        problems = []
        for file in files[:PROBED_FILES]:
            problems.append(text_field_problem(file.path, fields))
            if not problems[-1]:
                return
        if len(problems) == len(files):
            raise UserError(problems[0], where=files[0].path, hint="use --text-field")

    def _task(self, number: int, files_of: InputFiles, format: str, pieces: Sequence[Piece]) -> Task:
        settings = self.settings
        repository = RepositorySettings(
            depth=settings.repository_depth,
            documents=settings.repository_documents,
            document_bytes=int(settings.repository_document_bytes),
            maximum_file_bytes=int(settings.repository_file_bytes),
            exclude=settings.of_input(files_of).exclude,
        )
        work = IngestWork(
            pieces=tuple(pieces),
            format=format,
            part_bytes=int(settings.part_bytes),
            fields=settings.record_fields(files_of),
            normalisation=Normalisation(
                form="" if settings.unicode_form == "none" else settings.unicode_form, mojibake=settings.mojibake
            ),
            repository=repository if format == "repository" else None,
        )
        return Task(
            id=f"part-{number:05d}",
            function="corpusmill.pipelines.stages.ingest.work:ingest_pieces",
            arguments=work,
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
        planned = self._planned()
        for line in planned.notes():
            run.session.progress.say(line)
        results = run.map("read", planned.tasks)
        require_some(results, planned.tasks)
        return Summary(
            counts=add_counts(results, ["documents_in", "kept", "quarantined"]),
            parts=listed(results, "parts"),
            files=listed(results, "files"),
            facts=planned.facts() | facts_of(results, planned.tasks),
        )
