"""What filter says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Manifest, Rates, Rows, StageDescription, count_and_share, document_rows

RULES_SHOWN = 10


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rewritten = facts.get("documents_rewritten", {}).items()
    return [
        *document_rows(counts),
        *_exempt(facts.get("documents_not_asked", {})),
        *((f"  rewritten by {name}", f"{count:,}") for name, count in rewritten),
    ]


def _causes(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    """The rules that most documents broke, and their share of the documents; one may break several."""
    broken = sorted(facts["documents_that_broke"].items(), key=lambda item: (-item[1], item[0]))
    rows = [(f" {rule}", count_and_share(count, counts["documents_in"])) for rule, count in broken if count]
    left = len(rows) - RULES_SHOWN
    more = [(f" and {left} more rule{'s' if left > 1 else ''}", "")] if left > 0 else []
    return [("rules broken, by share of documents", ""), *rows[:RULES_SHOWN], *more] if rows else []


def _exempt(by_rule: Mapping[str, int]) -> Rows:
    """Documents that rules do not apply to, by their language or script; a row for a preset's rules of one number."""
    groups: dict[tuple[str, int], list[str]] = {}
    for rule, count in by_rule.items():
        groups.setdefault((rule.split("/", 1)[0], count), []).append(rule)
    return [
        (f"  exempt from {rules[0] if len(rules) == 1 else f'{len(rules)} rules of {preset}'}", f"{count:,}")
        for (preset, count), rules in groups.items()
    ]


def _losses(manifest: Manifest) -> list[tuple[str, int]]:
    return [("rejected", manifest["counts"]["rejected"])]


FILTER = StageDescription(
    name="filter",
    plan="corpusmill.pipelines.stages.filter.plan:FilterStage",
    command=("filter",),
    line="Measure every document once and keep it by rules; a ledger lists every broken one.",
    help="Measure every document once and keep it by rules; every broken rule goes into the ledger.",
    example="corpusmill filter documents --output clean --rules gopher-quality,gopher-repetition,fineweb,code",
    command_module="corpusmill.pipelines.cli.filter",
    side_folders=("rejected", "ledger", "rewrites", "statistics"),
    keeps_ids=True,
    rates=Rates(65.0, 0.8, 0.35, 640),
    sampled=True,
    rows=_rows,
    causes=_causes,
    losses=_losses,
    inspection="corpusmill.pipelines.stages.filter.inspection:INSPECTION",
    report="corpusmill.pipelines.stages.filter.report:REPORT",
)
