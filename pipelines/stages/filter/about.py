"""What filter says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rates, Rows, StageDescription, document_rows

RULES_SHOWN = 6


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    broken = sorted(facts["documents_that_broke"].items(), key=lambda item: (-item[1], item[0]))
    fired = [(f"  broke {rule}", f"{count:,}") for rule, count in broken if count]
    more = [(f"  and {len(fired) - RULES_SHOWN} more rules", "")] if len(fired) > RULES_SHOWN else []
    rewritten = facts.get("documents_rewritten", {}).items()
    return [
        *document_rows(counts),
        *fired[:RULES_SHOWN],
        *more,
        *(
            (f"  not asked by {preset}, for language or script", f"up to {count:,}")
            for preset, count in _not_asked(facts.get("documents_not_asked", {})).items()
        ),
        *((f"  rewritten by {name}", f"{count:,}") for name, count in rewritten),
    ]


def _not_asked(by_rule: Mapping[str, int]) -> dict[str, int]:
    """The most documents that any one rule of each preset was not asked of."""
    presets: dict[str, int] = {}
    for rule, count in by_rule.items():
        preset = rule.split("/", 1)[0]
        presets[preset] = max(presets.get(preset, 0), count)
    return presets


def _losses(manifest: Manifest) -> list[tuple[str, int]]:
    return [("rejected", manifest["counts"]["rejected"])]


FILTER = StageDescription(
    name="filter",
    plan="corpusmill.pipelines.stages.filter.plan:FilterStage",
    command=("filter",),
    line="Measure every document once; keep by rules, with a ledger of every broken one.",
    help="Measure every document once and keep it by rules; every broken rule goes into the ledger.",
    example="corpusmill filter documents --output clean --rules gopher-quality,gopher-repetition,fineweb,code",
    command_module="corpusmill.pipelines.cli.filter",
    side_folders=("rejected", "ledger", "rewrites", "statistics"),
    keeps_ids=True,
    rates=Rates(65.0, 0.8, 0.35, 640),
    rows=_rows,
    losses=_losses,
    inspection="corpusmill.pipelines.stages.filter.inspection:INSPECTION",
    report="corpusmill.pipelines.stages.filter.report:REPORT",
)
