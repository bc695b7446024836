"""The table at the end of a run: what came in, what became of it, where everything lies; from manifests alone."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine.progress import clock
from corpusmill.pipelines.engine.stage import Finished
from corpusmill.pipelines.recipe import Recipe

Rows = list[tuple[str, str]]
RULES_SHOWN = 6
LOG_WIDTH = 100
MOST_GROUPS = 8
PLAN_SHOWN = 24


def summary_rows(manifest: Mapping[str, Any]) -> Rows:
    """(what, value) of a stage, from its manifest."""
    return DESCRIBE[manifest["stage"]](manifest["counts"], manifest["facts"]) if manifest["stage"] in DESCRIBE else []


def _of_documents(counts: Mapping[str, int]) -> Rows:
    return [(key.replace("_", " "), f"{value:,}") for key, value in counts.items() if value or key == "documents_in"]


def _ingest(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    normalised = [(f"  changed by {name}", f"{count:,}") for name, count in facts.get("normalised", {}).items()]
    alone = [("large files in one piece", f"{len(facts['indivisible']):,}")] if "indivisible" in facts else []
    return [*_of_documents(counts), *normalised, *alone, *_of_repositories(facts.get("repositories", {}))]


def _of_repositories(told: Mapping[str, int]) -> Rows:
    """What became of the files of repositories: how many are in documents, and why the others are not."""
    if not told:
        return []
    first = ("repositories", "files", "dependencies")
    others = set(told) - {*first, "documents", "bytes", "normalised", "quarantined"}
    return [(name, f"{told[name]:,}") for name in first] + [
        (f"  files left out: {name.replace('_', ' ')}", f"{told[name]:,}") for name in sorted(others) if told[name]
    ]


def _filter(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    broken = sorted(facts["documents_that_broke"].items(), key=lambda item: (-item[1], item[0]))
    fired = [(f"  broke {rule}", f"{count:,}") for rule, count in broken if count]
    more = [(f"  and {len(fired) - RULES_SHOWN} more rules", "")] if len(fired) > RULES_SHOWN else []
    rewritten = facts.get("documents_rewritten", {}).items()
    return [
        *_of_documents(counts), *fired[:RULES_SHOWN], *more,
        *((f"  rewritten by {name}", f"{count:,}") for name, count in rewritten),
    ]  # fmt: skip


def _dedup(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    by_method = [(f"  by {method}", f"{count:,}") for method, count in facts["duplicates_by_method"].items() if count]
    return [*_of_documents(counts), *by_method]


def _tokenizer(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        ("ids", f"{facts['ids']:,}"),
        ("unique pretokens", f"{counts['unique_pretokens']:,}"),
        *_balance(facts.get("balance", {})),
    ]


def _balance(balance: Mapping[str, Any]) -> Rows:
    """What groups of documents were scaled by, where they were: the largest ones."""
    scales = balance.get("scales", {})
    if len(set(scales.values())) <= 1:
        return []
    groups = sorted(scales, key=lambda name: (-balance["groups"][name]["bytes"], name))[:MOST_GROUPS]
    return [(f"  {name or '(none)'} counts", f"{scales[name] / 2**20:.3g} times") for name in groups]


def _count(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    table = facts["table"]
    dropped = table["dropped"]
    left_out = f"{dropped['unique']:,}, {dropped['share']:.2%} of the text"
    return [
        ("documents", f"{table['documents']:,}"),
        ("pretokens", f"{counts['pretokens']:,}"),
        ("unique pretokens", f"{counts['unique_pretokens']:,}"),
        *([(f"  left out, fewer than {table['min_count']}", left_out)] if table["min_count"] > 1 else []),
        *([("groups by " + table["group_by"], f"{len(table['groups']):,}")] if table["group_by"] != "none" else []),
    ]


def _pack(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        ("tokens", f"{counts['tokens']:,}"),
        ("bytes per token", f"{facts['bytes_per_token']:.2f}"),
        ("sequences", f"{counts['sequences']:,}"),
        ("fill", f"{facts['fill']:.2%}"),
        ("documents cut", f"{counts['cut']:,}"),
        *([("  by cutting a stream", f"{facts['packing']['concat']['cut']:,}")] if "packing" in facts else []),
        ("documents with FIM", f"{counts['fim_documents']:,}"),
        ("tokens split at boundaries", boundary_splits(counts, facts)),
        ("documents held back", f"{counts['validation_documents']:,}"),
    ]


def boundary_splits(counts: Mapping[str, int], facts: Mapping[str, Any]) -> str:
    """How many tokens that join punctuation and line breaks were split: of all tokens, and what share was asked for."""
    told = facts.get("boundary_split")  # an older set has only the count
    return f"{counts['boundary_splits']:,}" + (
        f" ({told['share_of_tokens']:.2%} of tokens, p = {told['probability']:g})" if told else ""
    )


def _export(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rows = [
        ("items", f"{counts['items']:,}"),
        ("tokens", f"{counts['tokens']:,}"),
        ("bytes per token", f"{facts['bytes_per_token']:.2f}"),
        ("padding, marked", f"{counts['padding']:,}"),
        ("held-back items", f"{counts['validation_items']:,}"),
    ]
    if counts["incomplete_documents"]:
        rows.append(("documents that lack a piece", f"{counts['incomplete_documents']:,}"))
    return rows


def _import(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        ("documents", f"{counts['kept']:,}"),
        ("tokens", f"{counts['tokens']:,}"),
        ("sequences", f"{counts['sequences']:,}"),
        ("fill", f"{facts['fill']:.2%}"),
        ("padding left out", f"{counts['padding_left_out']:,}"),
        ("end tokens added", f"{counts['ends_added']:,}"),
        ("documents held back", f"{counts['validation_documents']:,}"),
    ]


def _train(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rows = [
        ("parameters", f"{facts['parameters']['total']:,}"),
        ("steps", f"{counts['steps']:,}"),
        ("training loss", f"{facts['train_loss']:.3f} nats/token"),
    ]
    if facts.get("validation_loss") is not None:
        rows.append(("held-back loss", f"{facts['validation_loss']:.3f} nats/token"))
        rows.append(("unigram entropy there", f"{facts['unigram_loss']:.3f} nats/token"))
    if facts.get("validation_bits_per_byte") is not None:
        rows.append(("held-back bits per byte", f"{facts['validation_bits_per_byte']:.3f}"))
    for use in facts.get("mixture") or ():
        if use["sequences"]:
            epochs = (use["repeated"] + use["rows"] - use["unseen"]) / use["rows"]
            read = f"{use['share']:.1%}, {use['sequences']:,} sequences, {epochs:.2f} epochs so far"
            rows.append((f"  phase {use['phase']}: {use['group'] or 'all'}", read))
    return rows


def _spans(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    whole = max(facts["bytes_in"], 1)
    return [
        *_of_documents(counts),
        ("bytes repeated", f"{facts['bytes_repeated']:,} ({facts['bytes_repeated'] / whole:.2%})"),
        ("bytes cut out", f"{facts['bytes_cut']:,}"),
        ("spans", f"{facts['spans']:,}"),
        ("documents with repeats", f"{facts['documents_with_repeats']:,}"),
    ]


def _decontaminate(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rows = [*_of_documents(counts), ("documents with items", f"{facts['contaminated']:,}")]
    if facts["bytes_cut"]:
        rows.append(("bytes cut out", f"{facts['bytes_cut']:,}"))
    for name, told in facts["sets"].items():
        rows.append((f"  {name}: items found", f"{told['found']:,} of {told['items']:,}"))
        if told["looked_for"] < told["items"]:
            rows.append(("    not looked for", f"{told['items'] - told['looked_for']:,}"))
    return rows


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _quality_train(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [
        *((key.replace("_", " "), f"{value:,}") for key, value in counts.items() if not key.endswith("_documents")),
        ("words", f"{facts['training']['words']:,}"),
        ("area under ROC", _number(facts["auc"])),
        ("average precision", _number(facts["average_precision"])),
        ("precision, recall, F1 at 0.5", ", ".join(_number(facts[name]) for name in ("precision", "recall", "f1"))),
        ("calibration error", _number(facts["expected_calibration_error"])),
        ("  before calibration", _number(facts["expected_calibration_error_raw"])),
    ]


def _quality_score(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    tenths = facts["documents_by_tenth"]
    shown = [(f"  {each / 10:.1f} to {(each + 1) / 10:.1f}", f"{tenths[each]:,}") for each in range(9, -1, -1)]
    return [*_of_documents(counts), (facts["column"], ""), *shown]


def _quality_keep(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    ends = [(f"  last score kept, {name}", f"{value:.6g}") for name, value in facts.get("cutoffs", {}).items() if value]
    groups = sorted(facts.get("groups", {}).items(), key=lambda item: (-item[1]["documents"], item[0]))
    kept = [(f"  {name}", f"{told['kept']:,} of {told['documents']:,}") for name, told in groups[:MOST_GROUPS]]
    return [*_of_documents(counts), *ends[:MOST_GROUPS], *kept]


def _quality_domains(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    rows = [(name.replace("_", " "), f"{value:,}") for name, value in counts.items()]
    if facts["overlap"] is not None:
        rows.append(("collected before, too", f"{facts['overlap']:.1%}"))
    return [*rows, ("new documents", f"{facts['new_documents']:,}")]


def _quality_seeds(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [("pages not collected", f"{counts['pages']:,}"), ("of accepted domains", f"{counts['picked']:,}")]


def plan_rows(plan: Sequence[Mapping[str, Any]], unit: str) -> Rows:
    """What becomes of each group of a mixture, the largest first."""
    ranked = sorted(plan, key=lambda each: (-each["target"], -each["available"], each["group"]))
    rows = []
    for each in ranked[:PLAN_SHOWN]:
        amount = f"{each['target']:,} of {each['available']:,} {unit} ({each['weight']:.2%})"
        fate = f"{each['epochs']:.3g} epochs" if each["target"] else "dropped"
        fate += f", {each['asked'] - each['target']:,} short" if each["asked"] > each["target"] else ""
        rows.append((f"  {each['group']}: {each['documents']:,} documents", f"{amount}, {fate}"))
    more = ranked[PLAN_SHOWN:]
    if more:
        rest = sum(each["target"] for each in more)
        rows.append((f"  and {len(more):,} more groups", f"{rest:,} {unit}"))
    return rows


def _mixture(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return [*_of_documents(counts), (facts["unit"], f"{facts['total']:,}"), *plan_rows(facts["plan"], facts["unit"])]


DESCRIBE = {
    "ingest": _ingest,
    "filter": _filter,
    "dedup": _dedup,
    "query": _dedup,
    "spans": _spans,
    "decontaminate": _decontaminate,
    "mixture": _mixture,
    "quality-train": _quality_train,
    "quality-score": _quality_score,
    "quality-keep": _quality_keep,
    "quality-domains": _quality_domains,
    "quality-seeds": _quality_seeds,
    "count": _count,
    "tokenizer": _tokenizer,
    "pack": _pack,
    "export": _export,
    "import": _import,
    "train": _train,
}


def print_summary(recipe: Recipe, finished: Sequence[tuple[str, Finished]], report: str | None, seconds: float) -> None:
    """Prints the table and the paths of everything to stdout."""
    from rich.console import Console
    from rich.table import Table

    # A log has no width of its own: wide enough there for the longest rule.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    table = Table(title=recipe.name, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for name, done in finished:
        for number, (what, value) in enumerate(summary_rows(done.manifest)):
            table.add_row("" if number else name, what, value)
        table.add_section()
    console.print(table)
    for name, done in finished:
        console.print(f"  {name:<12} {storage.absolute(done.folder)}", soft_wrap=True, markup=False)
    if report:
        console.print(f"  {'report':<12} {report}", soft_wrap=True, markup=False)
    if all(done.was_done for _, done in finished):
        console.print("All stages were done before; nothing was run.")
    else:
        console.print(f"Done in {clock(seconds)}.")
