"""Keep documents by a score: above a threshold, the best share of them, or by a draw that favours the better ones.

    rank-…    only for the best share or number: where it ends, exactly, in each group
    keep      part → kept documents, `_rejected/`, and `_ledger/` with the score and the threshold that it missed

Parts keep their numbers. Whether a document is kept depends on its score, its id and the seed, and for the best share
on the other documents' scores; never on parts or workers. Ties at the end of the best share are broken by a draw. With
`by`, shares, numbers and thresholds apply to each group by itself. Memory of a worker: two row groups.
"""

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

from pydantic import Field

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import listed
from corpusmill.pipelines.engine.stage import PhasePlan, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.stages.parts import PartsStage
from corpusmill.pipelines.stages.quality_keep.arguments import KeepWork, ScoreRank
from corpusmill.pipelines.stages.quality_keep.ranking import find_cutoffs, remove_rank_files

WAYS = ("threshold", "top_share", "top_count", "pareto")


class QualityKeepSettings(StageSettings):
    """Settings of `corpusmill quality keep`: one of `threshold`, `top_share`, `top_count` and `pareto`."""

    datasets: tuple[str, ...] = Field(description="datasets of scored documents", min_length=1)
    column: str = Field(default="quality_score", description="the column of scores")
    threshold: float | None = Field(default=None, description="keep documents with this score or more")
    thresholds: dict[str, float] = Field(default={}, description="overrides of the threshold by group (see --by)")
    top_share: float | None = Field(default=None, description="keep the best share of documents", gt=0, le=1)
    top_count: int | None = Field(default=None, description="keep this many of the best documents", ge=1)
    pareto: float | None = Field(
        default=None,
        description="keep documents that score above 1 minus a Pareto draw with this exponent (GPT-3: 9, Curator: 3)",
        gt=0,
    )
    by: Literal["language", "source", "kind"] | None = Field(
        default=None, description="rank each group separately; all together if left out"
    )


class QualityKeepStage(PartsStage):
    """Scored documents to the good ones, the others, and why."""

    name = "quality-keep"
    kernels = ("corpusmill.dataproc.quality.warmup",)
    Settings = QualityKeepSettings
    settings: QualityKeepSettings

    def check(self) -> None:
        given = [name for name in WAYS if getattr(self.settings, name) is not None]
        if len(given) != 1:
            said = f"{' and '.join(given)} are given" if given else "no setting says what to keep"
            hint = "give exactly one of --threshold, --top-share, --top-count and --pareto"
            raise UserError(said, where="quality keep", hint=hint)
        if self.settings.thresholds and (given != ["threshold"] or not self.settings.by):
            raise UserError(
                "thresholds by group need groups, and a threshold for all others",
                where="--thresholds",
                hint="give --by and --threshold",
            )

    @property
    def _is_ranked(self) -> bool:
        return self.settings.top_share is not None or self.settings.top_count is not None

    def phases(self) -> list[PhasePlan]:
        parts = self.parts()
        ranked = [PhasePlan(name="rank", tasks=3 * len(parts), bytes=16 * sum(part.rows for part in parts))]
        return [*(ranked if self._is_ranked else []), self.phase_over_parts("keep")]

    def run(self, run: StageRun) -> Summary:
        settings, parts = self.settings, self.parts()
        source = ScoreRank(column=settings.column, by=settings.by, seed=self.seed)
        work = KeepWork(
            way="top" if self._is_ranked else "threshold" if settings.threshold is not None else "pareto",
            source=source,
            threshold=settings.threshold,
            thresholds=settings.thresholds,
            pareto=settings.pareto,
        )
        facts: dict[str, Any] = {}
        if self._is_ranked:
            from corpusmill.dataproc.quality.ranking import score_of_key

            searches = find_cutoffs(run, "rank", [(part, source) for part in parts], self._wanted)
            cutoffs = {group: search.cutoff for group, search in searches.items() if search.cutoff}
            work = replace(work, cutoffs=cutoffs)
            facts["cutoffs"] = {
                group: score_of_key(cutoff[0]) if tuple(cutoff) != (0, 0) else None
                for group, cutoff in sorted(cutoffs.items())
            }
        tasks = self.part_tasks("corpusmill.pipelines.stages.quality_keep.work.keeping:keep_part", work)
        results = run.map("keep", tasks)
        remove_rank_files(run, "rank")
        counts = add_counts(results, ["documents_in", "kept", "rejected"])
        groups: dict[str, dict[str, int]] = {}
        for result in results:
            for group, (documents, kept) in result["groups"].items():
                total = groups.setdefault(group, {"documents": 0, "kept": 0})
                total["documents"] += documents
                total["kept"] += kept
        facts |= {"documents_that_broke": {results[0]["rule"]: counts["rejected"]} if results else {}}
        return Summary(
            counts=counts,
            parts=listed(results, "parts"),
            files=listed(results, "files"),
            facts=facts | ({"groups": dict(sorted(groups.items()))} if settings.by else {}),
        )

    def _wanted(self, group: str, documents: int) -> int:
        """How many documents of a group are kept: a share is taken as the exact decimal, and rounded up."""
        if self.settings.top_count is not None:
            return min(documents, self.settings.top_count)
        return math.ceil(Fraction(repr(self.settings.top_share)) * documents)
