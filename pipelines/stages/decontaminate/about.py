"""What decontaminate says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rates, Rows, StageDescription, document_rows


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rows = [*document_rows(counts), ("documents with items", f"{facts['contaminated']:,}")]
    if facts["bytes_cut"]:
        rows.append(("bytes cut out", f"{facts['bytes_cut']:,}"))
    for name, items in facts["sets"].items():
        rows.append((f"  {name}: items found", f"{items['found']:,} of {items['items']:,}"))
        if items["looked_for"] < items["items"]:
            rows.append(("    too short to look for", f"{items['items'] - items['looked_for']:,}"))
    return rows


def _losses(manifest: Manifest) -> list[tuple[str, int]]:
    return [("items of evaluation sets", manifest["counts"]["rejected"])]


DECONTAMINATE = StageDescription(
    name="decontaminate",
    plan="corpusmill.pipelines.stages.decontaminate.plan:DecontaminateStage",
    command=("decontaminate",),
    line="Find items of evaluation sets in documents; report, cut or remove.",
    help="Find items of evaluation sets in documents by n-grams of words; report, cut or remove.",
    example="corpusmill decontaminate unique --against gsm8k=eval/gsm8k.jsonl --fields gsm8k=question+answer"
    " --action remove --output decontaminated",
    side_folders=("rejected", "ledger", "rewrites", "hits", "items"),
    keeps_ids=True,
    rates=Rates(100.0, 1.0, 0.3, 480),
    sampled=True,
    rows=_rows,
    losses=_losses,
    inspection="corpusmill.pipelines.stages.decontaminate.inspection:INSPECTION",
)
