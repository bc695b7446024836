"""What mixture says of itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.pipelines.description import Manifest, Rates, Rows, StageDescription, document_rows

GROUPS_SHOWN = 24


def plan_rows(plan: Sequence[Mapping[str, Any]], unit: str) -> Rows:
    """What becomes of each group of a mixture, the largest first."""
    ranked = sorted(plan, key=lambda group: (-group["target"], -group["available"], group["group"]))
    rows = []
    for group in ranked[:GROUPS_SHOWN]:
        amount = f"{group['target']:,} of {group['available']:,} {unit} ({group['weight']:.2%})"
        fate = f"{group['epochs']:.3g} epochs" if group["target"] else "dropped"
        fate += f", {group['asked'] - group['target']:,} short" if group["asked"] > group["target"] else ""
        rows.append((f"  {group['group']}: {group['documents']:,} documents", f"{amount}, {fate}"))
    more = ranked[GROUPS_SHOWN:]
    if more:
        rest = sum(group["target"] for group in more)
        rows.append((f"  and {len(more):,} more groups", f"{rest:,} {unit}"))
    return rows


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [*document_rows(counts), (facts["unit"], f"{facts['total']:,}"), *plan_rows(facts["plan"], facts["unit"])]


def _losses(manifest: Manifest) -> list[tuple[str, int]]:
    return [("dropped by the mixture", manifest["counts"]["dropped"])]


MIXTURE = StageDescription(
    name="mixture",
    plan="corpusmill.pipelines.stages.mixture.plan:MixtureStage",
    command=("mixture",),
    line="Repeat, draw or drop documents until sources and languages have their weights.",
    help="Repeat, draw or drop documents until sources, kinds and languages have the requested weights.",
    example="corpusmill mixture unique --output mixed --by source,language --source-weights web=0.7,code=0.3"
    " --total 10GB",
    uses=("tokenizer",),
    side_folders=("dropped",),
    rates=Rates(150.0, 1.0, 0.3, 400),
    rows=_rows,
    losses=_losses,
    inspection="corpusmill.pipelines.stages.mixture.inspection:INSPECTION",
    preview="corpusmill.pipelines.stages.mixture.preview:plan_lines",
)
