"""Score documents by a classifier: a column of numbers is added, nothing is taken away.

One task a part, and parts keep their numbers. The model is opened once a worker. A calibrated model gives two columns:
`quality_score`, which is a probability, and `quality_score_raw`, which is the classifier's own number. Memory of a
worker: a row group and its lines, and the model's folded rows (`dataproc.quality.scorer`).
"""

from typing import Any

from pydantic import Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import folder_identities, list_parts, listed
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task


class QualityScoreSettings(StageSettings):
    """Settings of `corpusmill quality score`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    model: str = Field(description="a folder of 'quality train', or a fastText classifier (.bin, .ftz)")
    label: str | None = Field(
        default=None, description="whose probability is the score [default: the folder's; __label__hq of a file]"
    )
    column: str = Field(default="quality_score", description="the column to add", pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    calibrated: bool = Field(default=True, description="calibrated scores, where the folder has a calibration")
    lowercase: bool | None = Field(default=None, description="of a file: letters to lower case")
    split_unspaced: bool | None = Field(
        default=None, description="of a file: characters of scripts without spaces are words"
    )
    characters: int | None = Field(
        default=None, description="of a file: characters at a document's beginning that are looked at", ge=1
    )


class QualityScoreStage(Stage):
    """Documents to the same documents with a score."""

    name = "quality-score"
    kernels = ("quality",)
    Settings = QualityScoreSettings
    settings: QualityScoreSettings

    def inputs(self) -> dict[str, Any]:
        found = folder_identities(self.settings.datasets, self.resolve)
        model, path = self.settings.model, self.resolve(self.settings.model)
        if _is_file(path):
            return found | {model: {path: storage.identity(path)}}
        return found | folder_identities([model], self.resolve)

    def check_inputs(self, folder: str) -> None:
        list_parts(self.settings.datasets, self.resolve)
        model = self.resolve(self.settings.model)
        if not _is_file(model) and (made := state.require_manifest(model)["stage"]) != "quality-train":
            raise UserError(f"'{made}' made this folder", model, "give one of 'quality train', or a .bin or .ftz file")
        given = [
            name for name in ("lowercase", "split_unspaced", "characters") if getattr(self.settings, name) is not None
        ]
        if given and not _is_file(self.resolve(self.settings.model)):
            flag = f"--{given[0].replace('_', '-')}"
            raise UserError("this model says itself how it reads a text", where=flag, hint=f"leave {flag} out")

    def phases(self) -> list[PhasePlan]:
        parts = list_parts(self.settings.datasets, self.resolve)
        return [PhasePlan(name="score", tasks=len(parts), bytes=sum(part.arrow_bytes for part in parts))]

    def run(self, run: StageRun) -> Summary:
        settings = self.settings
        arguments = {
            "model": self.resolve(settings.model),
            "label": settings.label,
            "column": settings.column,
            "calibrated": settings.calibrated,
            "lines": {
                "lowercase": bool(settings.lowercase),
                "split_unspaced": bool(settings.split_unspaced),
                "characters": settings.characters or 0,
            },
        }
        tasks = [
            Task(
                id=part.task_id,
                function="corpusmill.pipelines.stages.quality_score.work:score_part",
                arguments=arguments | {"path": part.path},
                bytes=part.arrow_bytes,
            )
            for part in list_parts(settings.datasets, self.resolve)
        ]
        results = run.map("score", tasks)
        tenths = [sum(result["tenths"][each] for result in results) for each in range(10)]
        return Summary(
            counts=add_counts(results, ["documents_in", "kept", "quarantined"]),
            parts=listed(results, "parts"),
            files=listed(results, "files"),
            facts={"column": settings.column, "documents_by_tenth": tenths},
        )


def _is_file(path: str) -> bool:
    """Whether a model is a bare file, by its name: nothing else says it of a URL."""
    return path.endswith((".bin", ".ftz"))
