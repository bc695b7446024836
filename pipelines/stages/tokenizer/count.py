"""Count: documents to a table of pretoken counts, from which tokenizers of any size and balance are trained.

The table stays by group (language, source or kind), and takes in more text later: `extend` adds new datasets to tables
that were counted before, to the same bytes as if all had been counted at once. Phases: see `counting.py`. Memory: the
setting `memory` a worker, and the batch that is counted.
"""

from typing import Any, Literal

from pydantic import ByteSize, Field

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import folder_identities, require_distinct_ids
from corpusmill.pipelines.engine.stage import (
    DOCUMENT_SECONDS,
    DocumentSeconds,
    PhasePlan,
    Stage,
    StageRun,
    StageSettings,
    Summary,
)
from corpusmill.pipelines.stages.tokenizer.counting import Counting, plan_counting


class CountSettings(StageSettings):
    """Settings of `corpusmill tokenizer count`."""

    datasets: tuple[str, ...] = Field(default=(), description="datasets of documents; optional with --extend")
    extend: tuple[str, ...] = Field(default=(), description="tables of counts to add to")
    pattern: str = Field(default="deepseek-v3", description="how text is cut into pretokens")
    group_by: Literal["none", "source", "language", "kind"] = Field(
        default="none", description="count these groups of documents separately, so that training can weight them"
    )
    most_groups: int = Field(default=256, description="fail if there are more groups than this", ge=1, le=1 << 16)
    min_count: int = Field(default=1, description="permanently drop pretokens seen less often", ge=1)
    memory: ByteSize = Field(
        default=ByteSize(512 << 20),
        description="memory of a worker's table, beyond which it spills to disk",
        ge=1 << 20,
    )
    document_seconds: DocumentSeconds = DOCUMENT_SECONDS


class CountStage(Stage):
    """Documents to a table of pretoken counts."""

    name = "count"
    kernels = ("corpusmill.tokenizer.warmup",)
    Settings = CountSettings
    over_documents = False
    settings: CountSettings

    def inputs(self) -> dict[str, Any]:
        return folder_identities([*self.settings.datasets, *self.settings.extend], self.resolve)

    def check(self) -> None:
        from corpusmill.tokenizer.patterns import pattern_named

        pattern_named(self.settings.pattern)
        if not self.settings.datasets and not self.settings.extend:
            raise UserError("there is nothing to count", where="datasets", hint="give a dataset of documents")

    def check_inputs(self, folder: str) -> None:
        self._counting().check()
        require_distinct_ids(self.settings.datasets, self.resolve)

    def phases(self) -> list[PhasePlan]:
        return self._counting().phases()

    def _counting(self) -> Counting:
        settings = self.settings
        return plan_counting(
            datasets=settings.datasets,
            tables=settings.extend,
            resolve=self.resolve,
            pattern=settings.pattern,
            group_by=settings.group_by,
            most_groups=settings.most_groups,
            min_count=settings.min_count,
            memory=settings.memory,
        )

    def run(self, run: StageRun) -> Summary:
        counted = self._counting().run(run)
        return Summary(counts=counted.counts, files=counted.files, facts={"table": counted.table})
