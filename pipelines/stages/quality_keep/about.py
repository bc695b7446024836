"""What keeping by a quality score says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rates, Rows, StageDescription, document_rows

GROUPS_SHOWN = 8


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    ends = [(f"  last score kept, {name}", f"{value:.6g}") for name, value in facts.get("cutoffs", {}).items() if value]
    groups = sorted(facts.get("groups", {}).items(), key=lambda item: (-item[1]["documents"], item[0]))
    kept = [(f"  {name}", f"{group['kept']:,} of {group['documents']:,}") for name, group in groups[:GROUPS_SHOWN]]
    return [*document_rows(counts), *ends[:GROUPS_SHOWN], *kept]


def _losses(manifest: Manifest) -> list[tuple[str, int]]:
    return [("below the score to keep", manifest["counts"]["rejected"])]


QUALITY_KEEP = StageDescription(
    name="quality-keep",
    plan="corpusmill.pipelines.stages.quality_keep.plan:QualityKeepStage",
    command=("quality", "keep"),
    help="Keep scored documents: above a threshold, the best share of them, or by a seeded Pareto draw.",
    example="corpusmill quality keep scored --top-share 0.1 --by language --output good",
    side_folders=("rejected", "ledger"),
    keeps_ids=True,
    rates=Rates(130.0, 0.5, 0.3, 390),
    rows=_rows,
    losses=_losses,
    inspection="corpusmill.pipelines.inspect.inspection:REJECTING",
)
