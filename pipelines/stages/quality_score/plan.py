"""Score documents by a classifier: a column of numbers is added, nothing is taken away.

One task a part, and parts keep their numbers. The model is opened once a worker. A calibrated model gives two columns:
`quality_score`, which is a probability, and `quality_score_raw`, which is the classifier's own number. Memory of a
worker: a row group and its lines, and the model's folded rows (`dataproc.quality.scorer`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality.line_settings import LineSettings
from corpusmill.pipelines.datasets import folder_identities, listed
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.stage import (
    DOCUMENT_SECONDS,
    DocumentSeconds,
    PhasePlan,
    StageRun,
    StageSettings,
    Summary,
    add_counts,
)
from corpusmill.pipelines.stages.parts import PartsStage, PartWork


class QualityScoreSettings(StageSettings):
    """Settings of `corpusmill quality score`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    model: str = Field(description="a folder of 'quality train', or a fastText classifier (.bin, .ftz)")
    label: str | None = Field(
        default=None, description="label whose probability is the score [default: the folder's; __label__hq of a file]"
    )
    column: str = Field(default="quality_score", description="the column to add", pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    calibrated: bool = Field(default=True, description="calibrate scores if the folder has a calibration")
    lowercase: bool | None = Field(default=None, description="for a model file: lowercase the text")
    split_unspaced: bool | None = Field(
        default=None, description="for a model file: treat each character of scripts without spaces as a word"
    )
    characters: int | None = Field(
        default=None, description="for a model file: read only this many characters from the start of a document", ge=1
    )
    document_seconds: DocumentSeconds = DOCUMENT_SECONDS


@dataclass(frozen=True, kw_only=True)
class ScoreWork(PartWork):
    """The model that scores, the column that is added, and how a model without a record of its own reads a text."""

    model: str
    label: str | None
    column: str
    calibrated: bool
    lines: LineSettings


class QualityScoreStage(PartsStage):
    """Documents to the same documents with a score."""

    name = "quality-score"
    kernels = ("corpusmill.dataproc.quality.warmup",)
    Settings = QualityScoreSettings
    settings: QualityScoreSettings

    def inputs(self) -> dict[str, Any]:
        datasets = super().inputs()
        model, path = self.settings.model, self.resolve(self.settings.model)
        if _is_file(path):
            return datasets | {model: {path: storage.identity(path)}}
        return datasets | folder_identities([model], self.resolve)

    def check_inputs(self, folder: str) -> None:
        super().check_inputs(folder)
        self._check_model()

    def require_files(self, made: Callable[[str], bool]) -> None:
        if not made(self.resolve(self.settings.model)):
            self._check_model()

    def _check_model(self) -> None:
        model = self.resolve(self.settings.model)
        if not _is_file(model) and (maker := state.require_manifest(model)["stage"]) != "quality-train":
            raise UserError(f"'{maker}' made this folder", model, "give one of 'quality train', or a .bin or .ftz file")
        given = [
            name for name in ("lowercase", "split_unspaced", "characters") if getattr(self.settings, name) is not None
        ]
        if given and not _is_file(model):
            flag = f"--{given[0].replace('_', '-')}"
            raise UserError("this model already defines how text is read", where=flag, hint=f"leave {flag} out")

    def phases(self) -> list[PhasePlan]:
        return [self.phase_over_parts("score")]

    def run(self, run: StageRun) -> Summary:
        settings = self.settings
        work = ScoreWork(
            model=self.resolve(settings.model),
            label=settings.label,
            column=settings.column,
            calibrated=settings.calibrated,
            lines=LineSettings(
                lowercase=bool(settings.lowercase),
                split_unspaced=bool(settings.split_unspaced),
                characters=settings.characters or 0,
            ),
        )
        tasks = self.part_tasks("corpusmill.pipelines.stages.quality_score.work:score_part", work)
        results = run.map("score", tasks)
        tenths = [sum(result["tenths"][tenth] for result in results) for tenth in range(10)]
        return Summary(
            counts=add_counts(results, ["documents_in", "kept", "quarantined"]),
            parts=listed(results, "parts"),
            files=listed(results, "files"),
            facts={"column": settings.column, "documents_by_tenth": tenths},
        )


def _is_file(path: str) -> bool:
    """Whether a model is a bare file, by its name: nothing else can say so of a URL."""
    return path.endswith((".bin", ".ftz"))
