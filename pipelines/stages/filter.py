"""Filter: every document is measured once, and kept or rejected by rules over the measurements.

One task a part, and parts keep their numbers. Beside the kept documents stand `rejected/` (the documents, with the
names of all rules they broke), `ledger/` (a row for each broken rule: id, rule, value, threshold) and `statistics/`
(every number of every document), so thresholds can be judged again without reading text.
"""

from typing import Any

from pydantic import Field

from pipelines.datasets import folder_identities, list_parts, listed
from pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from pipelines.engine.task import Task


class CustomRule(StageSettings):
    """A rule of the user's own over one statistic."""

    name: str = Field(description="as it will stand in the ledger")
    statistic: str = Field(description="a column of statistics/")
    minimum: float | None = Field(default=None, description="broken below this")
    maximum: float | None = Field(default=None, description="broken above this")
    kinds: tuple[str, ...] | None = Field(default=None, description="kinds it applies to; all if left out")


class FilterSettings(StageSettings):
    """Settings of `corpusmill filter`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    rules: tuple[str, ...] = Field(
        default=("gopher-quality", "gopher-repetition", "fineweb", "code"), description="presets of rules"
    )
    thresholds: dict[str, float] = Field(default={}, description="other thresholds for rules of the presets, by name")
    custom_rules: tuple[CustomRule, ...] = Field(
        default=(), description="rules of your own", json_schema_extra={"recipe_only": True}
    )
    language_model: str | None = Field(
        default=None, description="a fastText language model; fills `language` where the input gave none"
    )
    languages: tuple[str, ...] = Field(default=(), description="keep these languages only (code is not asked)")
    minimum_language_score: float = Field(default=0.65, description="least score for a language to count", ge=0, le=1)


class FilterStage(Stage):
    """Documents to kept documents, rejected documents, statistics and ledger."""

    name = "filter"
    Settings = FilterSettings
    settings: FilterSettings

    def check_inputs(self, folder: str) -> None:
        list_parts(self.settings.datasets, self.resolve)

    def inputs(self) -> dict[str, Any]:
        identities = folder_identities(self.settings.datasets, self.resolve)
        if self.settings.language_model:
            from dataproc.storage import identity

            model = self.settings.language_model
            identities[model] = {self.resolve(model): identity(self.resolve(model))}
        return identities

    def check(self) -> None:
        self._rules()

    def _rules(self) -> list[dict[str, Any]]:
        """The rules in force, as plain data. Raises UserError for a name or statistic that there is not."""
        from dataproc.rules import resolve_rules, rule_to_dict

        custom = [rule.model_dump() for rule in self.settings.custom_rules]
        rules = resolve_rules(list(self.settings.rules), dict(self.settings.thresholds), custom)
        return [rule_to_dict(rule) for rule in rules]

    def _tasks(self) -> list[Task]:
        settings, rules = self.settings, self._rules()
        model = settings.language_model
        return [
            Task(
                id=part.task_id,
                function="pipelines.tasks.filter:filter_part",
                arguments={
                    "path": part.path,
                    "rules": rules,
                    "language_model": self.resolve(model) if model else None,
                    "languages": list(settings.languages),
                    "minimum_language_score": settings.minimum_language_score,
                },
                bytes=part.arrow_bytes,
            )
            for part in list_parts(settings.datasets, self.resolve)
        ]

    def phases(self) -> list[PhasePlan]:
        parts = list_parts(self.settings.datasets, self.resolve)
        return [PhasePlan(name="measure", tasks=len(parts), bytes=sum(part.arrow_bytes for part in parts))]

    def run(self, run: StageRun) -> Summary:
        results = run.map("measure", self._tasks())
        broken: dict[str, int] = {rule["name"]: 0 for rule in self._rules()}
        for result in results:
            for rule, count in result["rejected_by"].items():
                broken[rule] = broken.get(rule, 0) + count
        return Summary(
            counts=add_counts(results, ["documents_in", "kept", "rejected", "quarantined"]),
            parts=listed(results, "parts"),
            files=listed(results, "files"),
            facts={"documents_that_broke": broken},
        )
