"""Import: documents that somebody tokenised, in another trainer's files, to token shards.

Files are read in pieces; a task packs about `task_bytes` of them and writes the full shards that they give, and a
second phase joins what was left of several tasks, as packing does. A folder `validation` inside the one that is named
becomes held-back shards. A document's id is `<source>/<file>#<number of the item>`, with `.<number>` behind it where
an item holds several documents; in a flat file the place of its first token stands for the number.

Memory: about 20 bytes a token of a task, 0.8 GB at the default `task_bytes`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

from pydantic import ByteSize, Field

from corpusmill.dataproc import storage
from corpusmill.pipelines.datasets import check_roles_needed, listed, tokenizer_identity
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.pack.arguments import ImportPiece, ImportWork
from corpusmill.pipelines.stages.pack.gathering import gather_tasks
from corpusmill.pipelines.stages.pack.linting import lint_facts

HELD_BACK = "validation"
ENDS = {"eos": "ends documents", "pad": "pads sequences"}
_ENDING = re.compile(r"\.(bin|idx|parquet|arrow)$")
COUNTS = (
    "documents_in", "kept", "tokens", "sequences", "padding", "validation_documents", "validation_sequences",
    "fim_documents", "cut", "cut_needlessly", "padding_left_out", "ends_added",
)  # fmt: skip


class ImportSettings(StageSettings):
    """Settings of `corpusmill import`."""

    paths: tuple[str, ...] = Field(description="files, prefixes or folders of tokens", min_length=1)
    format: Literal["megatron", "mds", "huggingface", "flat"] = Field(description="their format")
    tokenizer: str = Field(description="the tokenizer folder that the ids come from")
    source: str | None = Field(default=None, description="name of the source; the last part of each path if left out")
    column: str | None = Field(default=None, description="column of token ids; input_ids or tokens if left out")
    dtype: Literal["uint16", "uint32"] | None = Field(
        default=None, description="type of an id in a flat file that no .json beside it describes"
    )
    append_eos: bool = Field(default=True, description="append the end-of-sequence token to documents that lack it")
    sequence_length: int = Field(default=4096, description="tokens per sequence", ge=16, le=1 << 20)
    packing: Literal["best-fit", "concat", "none"] = Field(default="best-fit", description="how sequences are filled")
    storage: Literal["plain", "packed", "zstd"] = Field(
        default="plain", description="how shards store tokens: 4 bytes each, 3 bytes, or compressed"
    )
    shard_tokens: int = Field(default=1 << 23, description="tokens per shard, padding included", ge=16)
    task_bytes: ByteSize = Field(
        default=ByteSize(128 << 20), description="tokens that one task packs together, at 4 bytes each", ge=1 << 10
    )


class ImportStage(Stage):
    """Tokens of another format and their tokenizer to token shards."""

    name = "import"
    kernels = ("corpusmill.dataproc.sequences.warmup", "corpusmill.dataproc.lint.warmup")
    Settings = ImportSettings
    settings: ImportSettings

    def inputs(self) -> dict[str, Any]:
        files = {path: _identities(self.resolve(path)) for path in self.settings.paths}
        return files | tokenizer_identity(self.settings.tokenizer, self.resolve)

    def check_inputs(self, folder: str) -> None:
        check_roles_needed(self.settings.tokenizer, self.resolve, ENDS)
        self._tasks(self.work())

    def require_files(self, made: Callable[[str], bool]) -> None:
        if not made(self.resolve(self.settings.tokenizer)):
            check_roles_needed(self.settings.tokenizer, self.resolve, ENDS)

    def phases(self) -> list[PhasePlan]:
        tasks = self._tasks(self.work())
        return [PhasePlan(name="import", tasks=len(tasks), bytes=sum(task.bytes for task in tasks))]

    def run(self, run: StageRun) -> Summary:
        work = self.work()
        vocabulary = run.map(
            "vocabulary",
            [
                Task(
                    id="vocabulary",
                    function="corpusmill.pipelines.stages.pack.work.shard_writing:write_vocabulary",
                    arguments=work,
                )
            ],
        )[0]
        tasks = self._tasks(work)
        results = run.map("import", tasks)
        gathered = run.map("gather", gather_tasks(work, listed(results, "tails"), len(tasks)))
        entries = [result["entry"] for result in gathered]
        parts = [*listed(results, "parts"), *(entry for entry in entries if "/" not in entry["path"])]
        counts = add_counts(results, COUNTS)
        space = counts["tokens"] + counts["padding"]
        return Summary(
            counts=counts,
            parts=parts,
            files=[*vocabulary["files"], *(entry for entry in entries if "/" in entry["path"])],
            facts={
                "fill": round(counts["tokens"] / space, 6) if space else 0.0,
                "groups": {"": {"sequences": counts["sequences"], "tokens": counts["tokens"]}},
                "tokenizer": vocabulary["fingerprint"],
                **lint_facts(run, work, parts, encoded=False),
            },
        )

    def work(self) -> ImportWork:
        """What all tasks are given."""
        settings = self.settings
        return ImportWork(
            tokenizer=self.resolve(settings.tokenizer),
            sequence_length=settings.sequence_length,
            packing=settings.packing,
            boundary_split=0.0,  # this and the next two are for the shards' headers
            bos=False,
            eos=settings.append_eos,
            fim=None,
            seed=self.seed,
            storage=settings.storage,
            shard_sequences=self.shard_sequences,
            format=settings.format,
            column=settings.column or "",
            dtype=settings.dtype or "",
        )

    @property
    def shard_sequences(self) -> int:
        """Sequences of every shard but the last."""
        return max(1, self.settings.shard_tokens // self.settings.sequence_length)

    def _tasks(self, work: ImportWork) -> list[Task]:
        """Consecutive pieces of the files, about `task_bytes` a task. Raises UserError for files that are not it."""
        tasks: list[Task] = []
        for held_back, pieces in self._pieces():
            groups: list[list[ImportPiece]] = []
            size = 0
            for part in pieces:
                if not groups or size + part.piece.bytes > self.settings.task_bytes:
                    groups.append([])
                    size = 0
                groups[-1].append(part)
                size += part.piece.bytes
            for group in groups:
                tasks.append(
                    Task(
                        id=f"import-{len(tasks):05d}",
                        function="corpusmill.pipelines.stages.import_tokens.work:import_documents",
                        arguments=replace(work, pieces=tuple(group), held_back=held_back, number=len(tasks)),
                        bytes=sum(part.piece.bytes for part in group),
                    )
                )
        return tasks

    def _pieces(self) -> Iterator[tuple[bool, list[ImportPiece]]]:
        """(False, pieces of the paths), then (True, those of `_validation/` below them)."""
        from corpusmill.dataproc.exchange.formats import format_named
        from corpusmill.dataproc.exchange.pieces import ReadOptions

        module = format_named(self.settings.format)
        column, dtype = self.settings.column or "", self.settings.dtype or ""
        options = ReadOptions(eos=-1, column=column, dtype=dtype, refuse_masks=True)
        for held_back in (False, True):
            pieces: list[ImportPiece] = []
            for path in self.settings.paths:
                base = self.resolve(path).rstrip("/").removesuffix("/index.json")
                below = storage.join(base, HELD_BACK) if held_back else base
                if held_back and not storage.list_names(below):
                    continue
                source = self.settings.source or _ENDING.sub("", base.rpartition("/")[2])
                for piece in module.pieces(below, self.settings.task_bytes, options):
                    inside = piece.path.startswith(f"{base}/")
                    name = piece.path.removeprefix(f"{base}/") if inside else piece.path.rpartition("/")[2]
                    pieces.append(ImportPiece(piece=piece, source=source, file=name))
            yield held_back, pieces


def _identities(path: str) -> dict[str, Any]:
    """The identity of every file that a path may stand for: of a folder's files, of a file and those named like it."""
    stem, dot, ending = path.rstrip("/").rpartition(".")
    names = storage.list_names(path)
    paths = [storage.join(path, name) for name in names if not name.startswith("_")]
    paths += [storage.join(path, HELD_BACK, name) for name in storage.list_names(storage.join(path, HELD_BACK))]
    if not names:
        base = stem if dot and "/" not in ending else path
        candidates = (path, f"{base}.idx", f"{base}.bin", f"{base}.json")
        paths = [candidate for candidate in candidates if storage.exists(candidate)]
    files = {candidate for candidate in paths if not storage.list_names(candidate)}
    return {file: storage.identity(file) for file in sorted(files)}
