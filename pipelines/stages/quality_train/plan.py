"""Train a quality classifier: documents to get more of against documents to get fewer of, measured on held-back ones.

    sample-…    only with caps: which documents of a class are drawn
    lines       part → its chosen documents as lines, in buckets of the order in which they are trained on
    train       buckets in order → tokens → `model.bin`; one process, by nature (`dataproc.quality.trainer`)
    measure     part → scores of its held-back documents
    evaluate    all these scores → `quality.json`: calibration, and what the classifier is good for

A document's place in training, whether it is held back and whether a cap leaves it in are drawn from the seed and its
id, so the model's bytes are a function of the documents, the settings and the seed. A document that is in both classes
is held back from both, or from neither.

Memory of a worker: in `lines` the chosen text of one part; in `train` 4 × dimensions bytes a word and bucket, 64 MiB of
lines, the vocabulary; in `evaluate` 60 bytes a held-back document. Disk: the chosen text once, and 4 bytes a token.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import Field

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.line_settings import LineSettings
from corpusmill.pipelines.datasets import PartReference, folder_identities, list_parts
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, Watched
from corpusmill.pipelines.engine.state import WORK
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.parts import PartWork
from corpusmill.pipelines.stages.quality_keep.arguments import Cutoff, DrawRank
from corpusmill.pipelines.stages.quality_keep.ranking import find_cutoffs, remove_rank_files

TASKS = "corpusmill.pipelines.stages.quality_train.work"
BUCKET_BYTES = 64 << 20
Label = Literal["positive", "negative"]
CLASSES: tuple[Label, ...] = ("positive", "negative")


class ClassifierSettings(StageSettings):
    """How a quality classifier is trained; what is left out follows the preset."""

    preset: Literal["dclm", "deepseek-math"] = Field(
        default="dclm",
        description="dclm: 100 dimensions, words, 5 epochs; deepseek-math: 256, up to 3-grams of words, 3 epochs",
    )
    learning_rate: float | None = Field(default=None, description="at the first document; it decays to 0", gt=0, le=10)
    dimensions: int | None = Field(default=None, description="dimensions of a vector", ge=1, le=4096)
    epochs: int | None = Field(default=None, description="passes over all documents", ge=1, le=1000)
    word_ngrams: int | None = Field(default=None, description="longest n-gram of words", ge=1, le=8)
    minimum_count: int | None = Field(default=None, description="occurrences that a word needs to get a vector", ge=1)
    buckets: int | None = Field(default=None, description="vectors that n-grams share, by hash", ge=1, le=1 << 30)
    lowercase: bool = Field(default=False, description="lowercase the text")
    split_unspaced: bool = Field(
        default=True, description="treat each character of scripts without spaces (Han, kana, Thai, …) as a word"
    )
    characters: int = Field(
        default=0, description="read only this many characters from the start of a document; 0: all", ge=0
    )
    positive_cap: int = Field(default=0, description="train on this many positive documents at most; 0: all", ge=0)
    negative_cap: int = Field(default=0, description="train on this many negative documents at most; 0: all", ge=0)
    held_back: float = Field(default=0.1, description="share of documents held back from training", gt=0, lt=1)
    calibration: Literal["platt", "isotonic", "none"] = Field(
        default="platt", description="how scores become probabilities, fitted on half of the held-back documents"
    )


class QualityTrainSettings(ClassifierSettings):
    """Settings of `corpusmill quality train`."""

    positive: tuple[str, ...] = Field(description="datasets of positive documents: more like these", min_length=1)
    negative: tuple[str, ...] = Field(description="datasets of negative documents: fewer like these", min_length=1)


ClassPart = tuple[PartReference, Label]


@dataclass(frozen=True, kw_only=True)
class ClassWork(PartWork):
    """A part of a class: which of its documents are trained on, and how they become lines in an order of buckets."""

    seed: int
    held_back: float
    lines: LineSettings
    cutoffs: Mapping[str, Cutoff | None]
    buckets: int
    label: Label = "positive"


@dataclass(frozen=True, kw_only=True)
class TrainWork:
    """The lines to train on, by the names of their parts."""

    seed: int
    buckets: int
    parts: tuple[str, ...]
    hyperparameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class RecordWork:
    """The scores of held-back documents, by the names of their parts, and the rest of the record."""

    record: Mapping[str, Any]
    parts: tuple[str, ...]
    calibration: str


class QualityTrainStage(Stage):
    """Positive and negative documents to a classifier that says how good it is."""

    name = "quality-train"
    kernels = ("corpusmill.dataproc.quality.warmup",)
    Settings = QualityTrainSettings
    over_documents = False
    settings: QualityTrainSettings

    def inputs(self) -> dict[str, Any]:
        return folder_identities([*self.settings.positive, *self.settings.negative], self.resolve)

    def check_inputs(self, folder: str) -> None:
        self._parts()

    def _parts(self) -> list[ClassPart]:
        """All parts with their class, numbered through."""
        parts: list[ClassPart] = []
        for name in CLASSES:
            for part in list_parts(getattr(self.settings, name), self.resolve):
                parts.append((replace(part, number=len(parts)), name))
        return parts

    def hyperparameters(self) -> dict[str, Any]:
        """The preset's, with the settings that are given in their place."""
        from corpusmill.dataproc.quality.trainer import PRESETS

        chosen = PRESETS[self.settings.preset].to_dict()
        given = {name: getattr(self.settings, name, None) for name in chosen}
        return chosen | {name: value for name, value in given.items() if value is not None}

    def phases(self) -> list[PhasePlan]:
        parts = self._parts()
        text = sum(part.arrow_bytes for part, _ in parts)
        capped = [PhasePlan(name="sample", tasks=2 * len(parts), bytes=0)] if self._caps() else []
        return [
            *capped,
            PhasePlan(name="lines", tasks=len(parts), bytes=text),  # the input counts once, for `--dry-run`
            PhasePlan(name="train", tasks=1, bytes=0),
            PhasePlan(name="measure", tasks=len(parts), bytes=0),
            PhasePlan(name="evaluate", tasks=1, bytes=0),
        ]

    def _caps(self) -> dict[str, int]:
        settings = self.settings
        caps = {"positive": settings.positive_cap, "negative": settings.negative_cap}
        return {name: cap for name, cap in caps.items() if cap}

    def run(self, run: StageRun) -> Summary:
        settings, parts = self.settings, self._parts()
        if not any(part.rows for part, _ in parts):
            raise UserError("these datasets hold no documents", hint="give others")
        lines = LineSettings(
            lowercase=settings.lowercase, split_unspaced=settings.split_unspaced, characters=settings.characters
        )
        work = ClassWork(
            seed=self.seed,
            held_back=settings.held_back,
            lines=lines,
            cutoffs=self._cutoffs(run, parts),
            buckets=1 + sum(part.arrow_bytes for part, _ in parts) // BUCKET_BYTES,
        )
        made = run.map("lines", _part_tasks("write_lines", parts, work))
        remove_rank_files(run, "sample")
        chosen = {name: sum(result["documents"] for result in made if result["class"] == name) for name in CLASSES}
        text = sum(result["bytes"] for result in made)
        names = tuple(part.task_id for part, _ in parts)
        training = Task(
            id="train-00000",
            function=f"{TASKS}:train_model",
            arguments=TrainWork(
                seed=self.seed, buckets=work.buckets, parts=names, hyperparameters=self.hyperparameters()
            ),
            bytes=text,
        )
        (trained,) = run.map("train", [training], watch=lambda: _watched(run))
        measured = run.map("measure", _part_tasks("measure_part", parts, work))
        inputs = self.inputs()
        data = {
            name: {
                "datasets": [{"path": dataset, **inputs[dataset]} for dataset in getattr(settings, name)],
                "documents": sum(part.rows for part, kind in parts if kind == name),
                "trained_on": chosen[name],
                "held_back": sum(result["documents"] for result in measured if result["class"] == name),
            }
            for name in CLASSES
        }
        record = {
            "lines": asdict(lines),
            "preset": settings.preset,
            "hyperparameters": self.hyperparameters(),
            "seed": self.seed,
            "held_back": settings.held_back,
            "data": data,
            "training": trained["told"],
        }
        evaluation = Task(
            id="evaluate-00000",
            function=f"{TASKS}:write_record",
            arguments=RecordWork(record=record, parts=names, calibration=settings.calibration),
        )
        (evaluated,) = run.map("evaluate", [evaluation])
        counts = {f"{name}_documents": data[name]["documents"] for name in CLASSES}
        counts |= {f"{name}_trained_on": chosen[name] for name in CLASSES}
        counts |= {f"{name}_held_back": data[name]["held_back"] for name in CLASSES}
        return Summary(
            counts=counts,
            files=[*trained["files"], *evaluated["files"]],
            facts={"training": trained["told"], **evaluated["facts"]},
        )

    def _cutoffs(self, run: StageRun, parts: list[ClassPart]) -> dict[str, Cutoff | None]:
        """For a class with a cap, the rank of the last document that is trained on."""
        caps = self._caps()
        capped = [
            (part, DrawRank(label=name, held_back=self.settings.held_back, seed=self.seed))
            for part, name in parts
            if name in caps
        ]
        if not capped:
            return {}
        searches = find_cutoffs(run, "sample", capped, lambda name, documents: caps[name])
        return {name: search.cutoff for name, search in searches.items()}


def _part_tasks(function: str, parts: list[ClassPart], work: ClassWork) -> list[Task]:
    return [
        Task(
            id=part.task_id,
            function=f"{TASKS}:{function}",
            arguments=replace(work, path=part.path, label=name),
            bytes=part.arrow_bytes,
        )
        for part, name in parts
    ]


def _watched(run: StageRun) -> Watched:
    from corpusmill.dataproc import storage

    path = run.path(WORK, "progress")
    share = float(storage.read_bytes(path)) if storage.exists(path) else 0.0
    return Watched(share, (f"{share:.0%} of training",))
