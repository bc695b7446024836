"""Mixture: a dataset in which sources, languages and kinds have the weights that are asked for.

    sizes    part → the bytes or tokens of its documents, by group, with the keys by which they are drawn
    draw     one task: the key below which documents of a group are drawn, so that its target is met
    write    part and copy → the documents that are there so often; `_dropped/` beside the first

The plan (`dataproc/mixture/planning.py` says what it means) is made between `sizes` and `draw`, so a limit that cannot
be kept ends the run before anything is written; names in weights are looked up before anything is read. `--dry-run`
prints the plan: it goes over the texts for that, in one process, and writes nothing. The manifest holds it as
`facts.plan`.

Copies. The second copy of a document has the id `<id>~2`, and so on (with more tildes where ids of the input end so
already), and the column `copy` tells its number; ids stay unique, and what else a document has is the same. First
copies come first in the dataset, then all second ones, so that no document stands beside its own copy. Mix after
`dedup`, `spans` and `decontaminate`: they would take copies out again. What goes to our own trainer need not be copied
at all, see `dataproc/mixture/planning.py`.

The law: documents in = kept + dropped, where kept counts documents, and `copies` the rows beyond the first ones.
`_dropped/` names every document that is in no copy.

Memory: 40 bytes a document of a part; a 4,096th of that for all documents in `draw`; two row groups. Parts with
documents to be repeated are read once for each copy.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import ByteSize, Field

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.mixture.planning import Group, Planned, plan_mixture
from corpusmill.dataproc.mixture.settings import LEVELS, Mixture, check_names
from corpusmill.pipelines.datasets import listed, tokenizer_identity
from corpusmill.pipelines.engine.stage import PhasePlan, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.mixture.arguments import DrawWork, GroupPlan, MeasuringWork, WriteWork
from corpusmill.pipelines.stages.parts import PartsStage

TASKS = "corpusmill.pipelines.stages.mixture.work"
BYTES_PER_TOKEN = 4.0


class MixtureSettings(StageSettings):
    """Settings of `corpusmill mixture`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    by: tuple[Literal["source", "language", "kind"], ...] = Field(
        default=("source",),
        description="columns to group by, outermost first; each column's shares are within the one before",
    )
    source_weights: dict[str, float] = Field(
        default={}, description="relative shares by source; * stands for all others"
    )
    language_weights: dict[str, float] = Field(default={}, description="relative shares by language; und is unknown")
    kind_weights: dict[str, float] = Field(default={}, description="relative shares by kind")
    temperature: float = Field(
        default=1.0, description="without weights: 1 keeps natural shares, larger values even them out", gt=0
    )
    unit: Literal["bytes", "tokens"] = Field(default="bytes", description="unit of weights and limits")
    total: ByteSize | None = Field(default=None, description="total bytes or tokens; everything there is if left out")
    repeats: float = Field(default=4.0, description="maximum copies of a document", gt=0)
    group_repeats: dict[str, float] = Field(default={}, description="maximum copies by group, such as web/zh=2")
    caps: dict[str, ByteSize] = Field(
        default={}, description="maximum bytes or tokens by group or node, such as web=10GB"
    )
    short: Literal["refuse", "scale", "redistribute"] = Field(
        default="refuse",
        description="if a limit is too low for the weights: stop, take less of everything, or more of the others",
    )
    tokenizer: str | None = Field(default=None, description="count tokens with this tokenizer")
    bytes_per_token: dict[str, float] = Field(
        default={},
        description=f"bytes per token by language, to estimate without a tokenizer; * is the rest, {BYTES_PER_TOKEN:g}",
    )


class MixtureStage(PartsStage):
    """Documents to documents in other proportions, some repeated, some dropped."""

    name = "mixture"
    Settings = MixtureSettings
    settings: MixtureSettings

    @property
    def kernels(self) -> tuple[str, ...]:  # type: ignore[override]
        """The tokenizer's, where it counts."""
        return ("corpusmill.tokenizer.warmup",) if self.settings.tokenizer else ()

    def asked(self) -> Mixture:
        """The settings as a mixture. Raises UserError for what is wrong whatever the data are."""
        settings = self.settings
        return Mixture(
            by=settings.by,
            weights={level: getattr(settings, f"{level}_weights") for level in LEVELS},
            temperature=settings.temperature,
            total=None if settings.total is None else int(settings.total),
            repeats=settings.repeats,
            group_repeats=settings.group_repeats,
            caps={name: int(cap) for name, cap in settings.caps.items()},
            short=settings.short,
        )

    def check(self) -> None:
        settings = self.settings
        self.asked()
        if settings.unit == "bytes" and (settings.tokenizer or settings.bytes_per_token):
            where = "tokenizer" if settings.tokenizer else "bytes_per_token"
            raise UserError("this is for tokens, but the unit is bytes", where, "set unit to tokens, or leave it out")
        if settings.tokenizer and settings.bytes_per_token:
            raise UserError("tokens are counted by the tokenizer", "bytes_per_token", "leave one of the two out")
        for language, ratio in settings.bytes_per_token.items():
            if not ratio > 0:
                raise UserError(f"{ratio} bytes per token for '{language}'", "bytes_per_token", "use a number above 0")

    def require_files(self, made: Callable[[str], bool]) -> None:
        tokenizer = self.settings.tokenizer
        if tokenizer and not made(self.resolve(tokenizer)):
            tokenizer_identity(tokenizer, self.resolve)

    def check_inputs(self, folder: str) -> None:
        from corpusmill.dataproc.datasets import read_batches
        from corpusmill.dataproc.mixture.draws import group_rows

        super().check_inputs(folder)
        keys = set()
        for part in self.parts():
            for batch in read_batches(part.path, list(self.settings.by)):
                keys.update(group_rows(batch, self.settings.by)[0])
        check_names(sorted(keys), self.asked())

    def inputs(self) -> dict[str, Any]:
        identities = super().inputs()
        if self.settings.tokenizer:
            identities |= tokenizer_identity(self.settings.tokenizer, self.resolve)
        return identities

    def measuring(self) -> MeasuringWork:
        """What `sizes` needs besides the part."""
        settings = self.settings
        return MeasuringWork(
            by=settings.by,
            seed=self.seed,
            unit=settings.unit,
            tokenizer=self.resolve(settings.tokenizer) if settings.tokenizer else None,
            bytes_per_token={"*": BYTES_PER_TOKEN, **settings.bytes_per_token},
        )

    def planned(self, groups: Sequence[Sequence[Any]]) -> list[Planned]:
        """The plan for groups as `sizes` gives them: [key, documents, size] each."""
        return plan_mixture([Group(tuple(key), documents, size) for key, documents, size in groups], self.asked())

    def phases(self) -> list[PhasePlan]:
        draw = PhasePlan(name="draw", tasks=1, bytes=0)
        return [self.phase_over_parts("sizes"), draw, self.phase_over_parts("write")]

    def run(self, run: StageRun) -> Summary:
        parts = self.parts()
        measured = run.map("sizes", self.part_tasks(f"{TASKS}:measure_part", self.measuring()))
        planned = self.planned([group for result in measured for group in result["groups"]])
        marker = "~" * (1 + max((result["tildes"] for result in measured), default=0))
        work = DrawWork(
            plan=tuple(GroupPlan(key=group.group.key, copies=group.copies, drawn=group.drawn) for group in planned),
            parts=tuple(
                (part.task_id, tuple(tuple(key) for key, _, _ in result["groups"]))
                for part, result in zip(parts, measured, strict=True)
            ),
            marker=marker,
        )
        (result,) = run.map("draw", [Task(id="draw", function=f"{TASKS}:draw_documents", arguments=work)])
        drawn = result["drawn"]
        most = {
            group.group.key: group.copies + (documents > 0)
            for group, (documents, _) in zip(planned, drawn, strict=True)
        }
        tasks: list[Task] = []
        for copy in range(1, max([1, *most.values()]) + 1):
            for part, result in zip(parts, measured, strict=True):
                if copy == 1 or any(most[tuple(key)] >= copy for key, _, _ in result["groups"]):
                    write = WriteWork(path=part.path, copy=copy, by=self.settings.by, seed=self.seed)
                    name, size = f"part-{len(tasks):05d}", part.arrow_bytes
                    tasks.append(Task(id=name, function=f"{TASKS}:write_part", arguments=write, bytes=size))
        written = run.map("write", tasks)
        outcomes = [_outcome(group, *once_more) for group, once_more in zip(planned, drawn, strict=True)]
        counts = add_counts(written, ["documents_in", "kept", "dropped", "quarantined", "copies"])
        for name, expected in (("kept", "kept_documents"), ("dropped", "dropped_documents")):
            if counts[name] != sum(outcome[expected] for outcome in outcomes):
                raise RuntimeError(f"{counts[name]} documents {name}, and the plan says otherwise: {outcomes}")
        return Summary(
            counts=counts,
            parts=listed(written, "parts"),
            files=listed(written, "files"),
            facts={
                "unit": self.settings.unit,
                "marker": marker,
                "total": sum(outcome["size"] for outcome in outcomes),
                "plan": outcomes,
            },
        )


def _outcome(planned: Planned, drawn_documents: int, drawn_size: int) -> dict[str, Any]:
    """A group's line in the manifest: the plan, and what came of it to the document."""
    documents = planned.group.documents
    kept = documents if planned.copies else drawn_documents
    values: Mapping[str, Any] = planned.to_values()
    return {
        **values,
        "size": planned.copies * planned.group.size + drawn_size,
        "rows": planned.copies * documents + drawn_documents,
        "kept_documents": kept,
        "dropped_documents": documents - kept,
    }
