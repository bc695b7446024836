"""Decontamination: items of evaluation sets in documents, listed, cut out, or removed with the document.

    index    one task: the n-grams of all sets, without those that are allowed or that a set's items share
    count    part → which n-grams its documents hold           only where `maximum_documents` is given
    common   one task: the index without n-grams that more documents hold        likewise
    apply    part → the part after the action, `_hits/`, `_rejected/`, `_ledger/`, and `_rewrites/` of a cut
    items    one task: `_items/`, a row for each item: the documents that hold it, and the greatest share in one of them

Definitions and their sources are in `dataproc/contamination/decontaminate.py`. Sets are files (JSON lines, a JSON
array, Parquet, plain text with an item a line) or datasets; an item is made of the fields that are named:

    corpusmill decontaminate clean --against gsm8k=eval/gsm8k.jsonl,arc=eval/arc.parquet \\
        --fields gsm8k=question+answer,arc=question+choices.text --action remove --output decontaminated

Each part is a task and is read once, twice with `maximum_documents`. A worker holds two row groups and 22 bytes a byte
of the longest document; the index (42 MB a million n-grams) is mapped and shared by the workers of a machine.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.finding import find_files
from corpusmill.pipelines.datasets import listed
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.stage import PhasePlan, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.decontaminate.arguments import (
    ApplyWork,
    CommonWork,
    CountWork,
    EvaluationFiles,
    IndexWork,
    ItemsWork,
)
from corpusmill.pipelines.stages.parts import PartsStage

TASKS = "corpusmill.pipelines.stages.decontaminate.work"
SET_NAME = re.compile(r"[^\s,/+=]+")
PIECES = "pieces"
"""Not the name of a set: `decontaminate/pieces` in the ledger means something else."""

ENDINGS = (
    ".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst", ".json", ".json.gz", ".json.zst",
    ".parquet", ".txt", ".txt.gz", ".txt.zst",
)  # fmt: skip
"""Endings of the files in a folder that make up a set."""

TOTALS = ("contaminated", "hits", "bytes_in", "bytes_cut", "bytes_rejected")


class DecontaminateSettings(StageSettings):
    """Settings of `corpusmill decontaminate`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    against: dict[str, str] = Field(description="evaluation sets: a name, and a file, glob, folder or dataset")
    fields: dict[str, str] = Field(
        default={},
        description="fields that make an item of a set, joined by +, such as question+answer; text if left out",
    )
    ids: dict[str, str] = Field(default={}, description="the field with an item's id, by set; id if left out")
    ngram: int = Field(default=13, description="words of an n-gram", ge=2, le=255)
    minimum: int = Field(default=8, description="ignore items with fewer words", ge=1, le=255)
    share: float = Field(
        default=0.0, description="share of an item's words that must match; 0: one n-gram is enough", ge=0, le=1
    )
    shares: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default={}, description="overrides of the share by set, such as gsm8k=0.5"
    )
    maximum_documents: int = Field(
        default=0,
        description="ignore n-grams in more documents than this, as common phrases; 0: no limit",
        ge=0,
    )
    maximum_items: int = Field(
        default=256,
        description="ignore n-grams shared by more items of a set than this, as its template",
        ge=1,
    )
    allow: tuple[str, ...] = Field(default=(), description="files of text whose n-grams never count as a match")
    action: Literal["report", "remove", "cut"] = Field(
        default="report", description="list items, remove documents that contain them, or cut the matches out"
    )
    margin: int = Field(default=200, description="cut: also cut this many characters on either side", ge=0)
    least_piece: int = Field(default=200, description="cut: drop pieces with fewer characters", ge=0)
    maximum_pieces: int = Field(
        default=10, description="cut: reject a document that would break into more pieces", ge=1
    )

    @field_validator("against")
    @classmethod
    def _named(cls, against: dict[str, str]) -> dict[str, str]:
        if not against:
            raise ValueError("give at least one set, as in gsm8k=eval/gsm8k.jsonl")
        for name in against:
            if not SET_NAME.fullmatch(name) or name == PIECES:
                raise ValueError(f"'{name}' cannot be the name of a set")
        return against


class DecontaminateStage(PartsStage):
    """Documents to documents without items of evaluation sets, and a list of where these were."""

    name = "decontaminate"
    version = 2
    kernels = ("corpusmill.dataproc.contamination.warmup",)
    Settings = DecontaminateSettings
    settings: DecontaminateSettings

    def check(self) -> None:
        settings = self.settings
        if settings.minimum > settings.ngram:
            what = f"items of {settings.minimum} words are looked for, but n-grams have {settings.ngram}"
            raise UserError(what, "minimum", "give at most --ngram")
        for flag, named in (("fields", settings.fields), ("ids", settings.ids), ("shares", settings.shares)):
            for name in named:
                if name not in settings.against:
                    raise UserError(f"no evaluation set '{name}'", flag, f"the sets are {', '.join(settings.against)}")

    def check_inputs(self, folder: str) -> None:
        super().check_inputs(folder)
        for files in self._files().values():
            for path in files:
                storage.open_input(path).close()

    def require_files(self, made: Callable[[str], bool]) -> None:
        if not any(made(self.resolve(path)) for path in self.settings.against.values()):
            self._files()

    def _files(self) -> dict[str, list[str]]:
        """The files of each set, and of what is allowed, under names that say which."""
        files = {}
        for name, written in self.settings.against.items():
            path = self.resolve(written)
            manifest = state.read_manifest(path)
            if manifest is None:
                files[f"against {name}"] = _set_files(path)
            else:
                files[f"against {name}"] = [storage.join(path, part["path"]) for part in manifest["parts"]]
        if self.settings.allow:
            files["allow"] = [path for pattern in self.settings.allow for path, _ in find_files(self.resolve(pattern))]
        return files

    def inputs(self) -> dict[str, Any]:
        identities = super().inputs()
        for name, files in self._files().items():
            identities[name] = {path: storage.identity(path) for path in files}
        return identities

    def _index_task(self) -> Task:
        settings, files = self.settings, self._files()
        work = IndexWork(
            ngram=settings.ngram,
            minimum=settings.minimum,
            maximum_items=settings.maximum_items,
            allow=tuple(files.pop("allow", [])),
            sets=tuple(
                EvaluationFiles(
                    name=name,
                    paths=files[f"against {name}"],
                    fields=settings.fields.get(name, "text").split("+"),
                    id_field=settings.ids.get(name, "id"),
                )
                for name in settings.against
            ),
        )
        return Task(id="index", function=f"{TASKS}:make_index", arguments=work, bytes=self._set_bytes())

    def _set_bytes(self) -> int:
        return sum(storage.size(path) for files in self._files().values() for path in files)

    def phases(self) -> list[PhasePlan]:
        sets = self._set_bytes()
        counted = [
            self.phase_over_parts("count"),
            PhasePlan(name="common", tasks=1, bytes=sets),
        ]
        return [
            PhasePlan(name="index", tasks=1, bytes=sets),
            *(counted if self.settings.maximum_documents else []),
            self.phase_over_parts("apply"),
            PhasePlan(name="items", tasks=1, bytes=sets),
        ]

    def run(self, run: StageRun) -> Summary:
        settings = self.settings
        (indexed,) = run.map("index", [self._index_task()])
        facts: dict[str, Any] = {"ngrams": indexed["ngrams"], "left_out": indexed["left_out"]}
        index = "all"
        if settings.maximum_documents:
            counted = run.map("count", self.part_tasks(f"{TASKS}:count_ngrams", CountWork(index=index)))
            work = CommonWork(
                index=index, parts=tuple(result["task"] for result in counted), most=settings.maximum_documents
            )
            (common,) = run.map("common", [Task(id="common", function=f"{TASKS}:leave_common", arguments=work)])
            facts["left_out"] |= {"common": common["common"]}
            index = "rare"
        action = ApplyWork(
            index=index,
            action=settings.action,
            share=settings.share,
            shares=settings.shares,
            margin=settings.margin,
            least_piece=settings.least_piece,
            maximum_pieces=settings.maximum_pieces,
        )
        applied = run.map("apply", self.part_tasks(f"{TASKS}:apply_part", action))
        wanted = ItemsWork(index=index, parts=tuple(result["task"] for result in applied))
        (items,) = run.map("items", [Task(id="items", function=f"{TASKS}:count_items", arguments=wanted)])
        broken = Counter[str]()
        for result in applied:
            broken.update(result["rejected_by"])
        rejecting = {f"decontaminate/{name}": 0 for name in settings.against} if settings.action == "remove" else {}
        return Summary(
            counts=add_counts(applied, ["documents_in", "kept", "rejected", "quarantined"]),
            parts=listed(applied, "parts"),
            files=[*listed(applied, "files"), *items["files"]],
            facts=facts
            | add_counts(applied, TOTALS)
            | {"documents_that_broke": rejecting | dict(broken), "sets": items["sets"]},
        )


def _set_files(path: str) -> list[str]:
    """The file that is named, or all that a glob matches, or the files of a folder that can be a set."""
    files = [name for name, _ in find_files(path)]
    if files == [path] or any(sign in path for sign in "*?["):
        return files
    fitting = [name for name in files if name.endswith(ENDINGS)]
    if not fitting:
        raise UserError(
            "no file here can be read as an evaluation set", path, f"use files ending in {', '.join(ENDINGS)}"
        )
    return fitting
