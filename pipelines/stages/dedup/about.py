"""What dedup says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rates, Rows, StageDescription, document_rows

METHODS = {"exact": "duplicates (exact)", "minhash": "near duplicates (minhash)"}


def duplicate_rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    """Documents, and how many were found to be duplicates by each method."""
    by_method = [(f"  by {method}", f"{count:,}") for method, count in facts["duplicates_by_method"].items() if count]
    return [*document_rows(counts), *by_method]


def _losses(manifest: Manifest) -> list[tuple[str, int]]:
    by_method: Mapping[str, int] = manifest["facts"]["duplicates_by_method"]
    return [(METHODS.get(method, method), count) for method, count in by_method.items()]


DEDUP = StageDescription(
    name="dedup",
    plan="corpusmill.pipelines.stages.dedup.plan:DedupStage",
    command=("dedup",),
    line="Remove exact and near duplicates; name the survivor of each.",
    help="Remove exact and near duplicates; each removed document names its survivor.",
    example="corpusmill dedup clean --output unique --method exact,minhash --threshold 0.8",
    uses=("protect", "against"),
    side_folders=("duplicates",),
    keeps_ids=True,
    rates=Rates(100.0, 0.9, 0.24, 550),
    sampled=True,
    rows=duplicate_rows,
    losses=_losses,
    inspection="corpusmill.pipelines.stages.dedup.inspection:INSPECTION",
    report="corpusmill.pipelines.stages.dedup.report:REPORT",
)
