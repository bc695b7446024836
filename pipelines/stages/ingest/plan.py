"""Ingest: raw files of any known format become a dataset of documents.

Files are found (`raw_files`) and split into tasks of about `part_bytes` of input; each task writes one part or more.
A record that cannot be a document is quarantined with its file and offset, and the rest of its file goes on. Text stays
as it is but for what is declared: NUL, CR LF and byte order marks always, `unicode_form` and `mojibake` if asked.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.commoncrawl import is_crawl, parse_crawl
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.normalisation import Normalisation
from corpusmill.dataproc.readers.pieces import Piece
from corpusmill.dataproc.readers.registry import READERS, reader_of, reader_of_ending
from corpusmill.dataproc.readers.splitting import is_indivisible, split_file
from corpusmill.dataproc.repositories.settings import RepositorySettings
from corpusmill.pipelines.datasets import listed
from corpusmill.pipelines.engine.stage import (
    PhasePlan,
    Stage,
    StageRun,
    Summary,
    add_counts,
)
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.ingest.arguments import IngestWork
from corpusmill.pipelines.stages.ingest.planned import Planned, facts_of, require_some
from corpusmill.pipelines.stages.ingest.raw_files import Listing, RawFile, find_raw_files
from corpusmill.pipelines.stages.ingest.settings import IngestSettings, Input, InputFiles

MOST_FILES = 20_000
"""Of a task: some 10 seconds of opening them, however little is in them."""


PROBED_FILES = 100
"""Of so many files of an input the first records are looked at; what more files hold shows when they are read."""


Sources = list[tuple[InputFiles, list[RawFile]]]


@dataclasses.dataclass
class _Group:
    """Pieces that become a task, and their bytes."""

    pieces: list[Piece] = dataclasses.field(default_factory=list)
    bytes: int = 0

    def has_room(self, piece: Piece, target: int) -> bool:
        """Whether a piece fits: by bytes, and by the number of files, each of which costs something to open."""
        return not self.pieces or (self.bytes + piece.bytes <= target and len(self.pieces) < MOST_FILES)

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.bytes += piece.bytes


def _pieces_of(file: RawFile, size: int, target: int) -> Iterator[Piece]:
    """A file as it is split; one of nominal size as it is, since splitting would ask for it."""
    if file.nominal_bytes:
        yield Piece(path=file.path, name=file.name, format=file.format, bytes=size)
    else:
        yield from split_file(file.path, file.name, file.format, size, target)


class IngestStage(Stage):
    """Raw files to documents."""

    name = "ingest"
    version = 3
    Settings = IngestSettings
    settings: IngestSettings
    _listed: Sources | None = None
    _left_out: Sequence[str] = ()
    _identities: Mapping[str, Any] = {}

    @property
    def kernels(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of our own extractor, if it is asked for."""
        return ("corpusmill.dataproc.extraction.warmup",) if self.settings.extractor == "corpusmill" else ()

    def _sources(self) -> Sources:
        """Each input with its files, as they were listed last. Raises UserError where ids would not be unique."""
        if self._listed is None:
            self._listed = self._list_sources()
        return self._listed

    def _list_sources(self) -> Sources:
        settings = self.settings
        listing = Listing(self.say)
        left_out: list[str] = []  # links, folders and special files that are not read
        sources: Sources = []
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
                listing=listing,
            )
            for file in (file for file in files if not file.is_misnamed()):  # a spelled name may be another file's
                path = storage.absolute(file.path)
                if path in taken:
                    raise UserError("this file is in two inputs", where=file.path, hint="give it once, or use exclude")
                taken.add(path)
                other = by_name.setdefault((fields.source, file.name), file.path)
                if other != file.path:
                    what = f"its records would get the same ids as those of {other}"
                    hint = "give both as one input, as a folder or a quoted glob, or give each its own source"
                    raise UserError(what, where=file.path, hint=hint)
            sources.append((files_of, files))
        self._left_out = left_out
        return sources

    def check(self) -> None:
        if self.settings.comments and self.settings.extractor != "corpusmill":
            what = f"the extractor {self.settings.extractor} cannot keep readers' comments"
            raise UserError(what, where="comments", hint="use --extractor corpusmill, or leave it out")
        if self.settings.mojibake:
            Normalisation(mojibake=True).check()
        for written in self.settings.inputs:
            if is_crawl(path := written if isinstance(written, str) else written.path):
                parse_crawl(path)

    def needs(self) -> list[tuple[str, str]]:
        modules = [("ftfy", "mojibake")] if self.settings.mojibake else []
        for written in self.settings.inputs:
            path, format = (written, None) if isinstance(written, str) else (written.path, written.format)
            format = format or self.settings.format or ("warc" if is_crawl(path) else None)
            reader = reader_of(format) if format else reader_of_ending(path)
            modules += [need for need in (reader.needs if reader else ()) if need not in modules]
        return modules

    def is_unbounded(self) -> bool:
        formats = {file.format for _, files in self._sources() for file in files if not file.is_misnamed()}
        readers = [READERS.get(format) for format in formats]  # what other packages bring may take any time
        return self.settings.mojibake or any(reader is None or reader.unbounded for reader in readers)

    def require_files(self, made: Callable[[str], bool]) -> None:
        self._sources()

    def check_inputs(self, folder: str) -> None:
        output = storage.absolute(folder) + "/"
        for written in self.settings.inputs:
            resolved = self.resolve(written if isinstance(written, str) else written.path)
            path = storage.absolute(resolved)
            if not is_crawl(resolved) and output.startswith(path.rstrip("/") + "/"):
                what = f"the output is inside the input {path} and would itself be read as text"
                raise UserError(what, where=folder, hint="choose an output outside it")

    def inputs(self) -> dict[str, Any]:
        """Identities of all files, which are listed anew: this is how a change is noticed."""
        self._listed = None
        identities: dict[str, Any] = {}
        for files_of, files in self._sources():
            identities.setdefault(files_of.path, {}).update({file.path: file.identity() for file in files})
        self._identities = identities
        return identities

    def tasks(self) -> list[Task]:
        """Whole small files are put together, large ones split; a task reads one input's files only."""
        return self._planned().tasks

    def _planned(self) -> Planned:
        target = int(self.settings.part_bytes)
        groups: list[tuple[InputFiles, str, list[Piece]]] = []
        indivisible: dict[str, int] = {}
        as_text: list[str] = []
        for files_of, files in self._sources():
            open_groups: dict[str, _Group] = {}
            self._check_text_field(files_of, files)
            if self.settings.of_input(files_of).format is None:
                as_text += [file.path for file in files if file.format == "text"]
            identities = self._identities.get(files_of.path, {})
            for file in files:
                if file.is_misnamed():
                    piece = Piece(path=file.path, name=file.name, format=file.format, bytes=0)
                    open_groups.setdefault(file.format, _Group()).add(piece)
                    continue
                size = int((identities.get(file.path) or file.identity())[0])
                pieces = list(_pieces_of(file, size, target))
                if len(pieces) == 1 and not file.nominal_bytes and is_indivisible(file.path, file.format, size, target):
                    indivisible[file.path] = size
                for piece in pieces:
                    group = open_groups.setdefault(piece.format, _Group())
                    if not group.has_room(piece, target):
                        groups.append((files_of, piece.format, group.pieces))
                        group = open_groups[piece.format] = _Group()
                    group.add(piece)
            groups += [(files_of, name, group.pieces) for name, group in open_groups.items()]
        tasks = [self._task(number, *group) for number, group in enumerate(groups)]
        return Planned(tasks=tasks, indivisible=indivisible, as_text=as_text, left_out=list(self._left_out))

    def _check_text_field(self, files_of: InputFiles, files: Sequence[RawFile]) -> None:
        """Raises UserError where an input is JSON lines and none of its files has a text at the field that is named."""
        from corpusmill.dataproc.readers.jsonl import text_field_problem

        files = [file for file in files if not file.is_misnamed()]
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
        from corpusmill.pipelines.stages.ingest.unique_ids import make_ids_unique

        planned = self._planned()
        for line in planned.notes():
            run.say(line)
        results = run.map("read", planned.tasks)
        require_some(results, planned.tasks)
        parts, repeated = make_ids_unique(run, listed(results, "parts"), refuse=self.settings.duplicate_ids == "refuse")
        return Summary(
            counts=add_counts(results, ["documents_in", "kept", "quarantined"]),
            parts=parts,
            files=listed(results, "files"),
            facts=planned.facts()
            | facts_of(results, planned.tasks)
            | ({"duplicate_ids": repeated} if repeated else {}),
        )
