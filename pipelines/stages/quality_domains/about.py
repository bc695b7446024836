"""What the two stages of a quality loop between its rounds say of themselves."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Rates, Rows, StageDescription


def _domain_rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rows = [(name.replace("_", " "), f"{value:,}") for name, value in counts.items()]
    if facts["overlap"] is not None:
        rows.append(("already collected earlier", f"{facts['overlap']:.1%}"))
    return [*rows, ("new documents", f"{facts['new_documents']:,}")]


def _seed_rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [("pages not collected", f"{counts['pages']:,}"), ("of accepted domains", f"{counts['picked']:,}")]


QUALITY_DOMAINS = StageDescription(
    name="quality-domains",
    plan="corpusmill.pipelines.stages.quality_domains.plan:QualityDomainsStage",
    makes="domains",
    holds="counts of pages by domain",
    reads=(),
    uses=("collected", "before"),
    rates=Rates(50.0, 0.0, 0.1, 400),
    rows=_domain_rows,
)

QUALITY_SEEDS = StageDescription(
    name="quality-seeds",
    plan="corpusmill.pipelines.stages.quality_domains.plan:QualitySeedsStage",
    reads=(),
    uses=("collected",),
    rates=Rates(110.0, 0.1, 0.1, 400),
    rows=_seed_rows,
)
