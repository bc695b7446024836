"""Packing's section of the report: sequences, what packing cost and saved, and tokens by source, kind and language."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.report.sections import StageReport
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.stages.pack.about import boundary_splits, conversations
from corpusmill.pipelines.visible import one_line

VALUES_SHOWN = 40
"""Sources, kinds or languages in a table."""


def _values(stage: StageOutput, place: int) -> dict[str, Any]:
    counts, facts, settings = stage.counts, stage.facts, stage.manifest["settings"]
    kept = max(counts["kept"], 1)
    packed = max(counts["kept"] - counts["validation_documents"], 1)
    rows = [
        ("sequences", f"{counts['sequences']:,} of {settings['sequence_length']:,} tokens"),
        ("policy", one_line(str(settings["packing"]))),
        ("fill", f"{facts['fill']:.3%}"),
        ("padding", f"{counts['padding']:,} tokens"),
        ("documents cut", f"{counts['cut']:,} ({counts['cut'] / packed:.1%})"),
        ("cut though they would fit", f"{counts['cut_needlessly']:,}"),
        *_against_concat(facts.get("packing"), packed),
        ("rearranged to fill in the middle", f"{counts['fim_documents']:,} ({counts['fim_documents'] / kept:.1%})"),
        ("tokens split at boundaries", boundary_splits(counts, facts)),
        ("bytes per token", f"{facts['bytes_per_token']:.3f}"),
        *conversations(counts, facts),
        ("held back", f"{counts['validation_documents']:,} documents, {counts['validation_sequences']:,} sequences"),
    ]
    return {"heading": "Tokens and packing", "facts": rows, "tables": _token_tables(facts["tokens_by"])}


def _against_concat(packing: Mapping[str, Any] | None, documents: int) -> list[tuple[str, str]]:
    """What packing saved: tokens without their context, and what cutting a stream every L tokens would have done."""
    if packing is None:  # a set of before version 2
        return []
    plain = packing["concat"]
    return [
        ("tokens that lost context", f"{packing['lost_context']:.1%}, in a cut stream {plain['lost_context']:.1%}"),
        ("documents a cut stream would cut", f"{plain['cut']:,} ({plain['cut'] / documents:.1%})"),
        ("of them would fit", f"{plain['cut_needlessly']:,}"),
    ]


def _token_tables(tokens_by: Mapping[str, Mapping[str, int]]) -> list[tuple[str, list[tuple[str, int, float]], int]]:
    """(column, (value, tokens, percent) by falling tokens, how many are left out) for source, kind and language."""
    tables = []
    for column in ("source", "kind", "language"):
        tokens = tokens_by.get(column, {})
        total = max(sum(tokens.values()), 1)
        ranked = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))
        rows = [
            (one_line("unknown" if value == "None" else value, 80), count, 100 * count / total)
            for value, count in ranked[:VALUES_SHOWN]
        ]
        if rows:
            tables.append((column, rows, max(0, len(ranked) - VALUES_SHOWN)))
    return tables


REPORT = StageReport(values=_values, template="corpusmill.pipelines.stages.pack:section.html")
