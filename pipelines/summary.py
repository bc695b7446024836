"""The table at the end of a run: what came in, what became of it, where everything lies; from manifests alone."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dataproc import storage
from pipelines.engine.progress import clock
from pipelines.engine.stage import Finished
from pipelines.recipe import Recipe

Rows = list[tuple[str, str]]
RULES_SHOWN = 6
LOG_WIDTH = 100
MOST_GROUPS = 8


def summary_rows(manifest: Mapping[str, Any]) -> Rows:
    """(what, value) of a stage, from its manifest."""
    return DESCRIBE[manifest["stage"]](manifest["counts"], manifest["facts"]) if manifest["stage"] in DESCRIBE else []


def _of_documents(counts: Mapping[str, int]) -> Rows:
    return [(key.replace("_", " "), f"{value:,}") for key, value in counts.items() if value or key == "documents_in"]


def _ingest(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    return _of_documents(counts)


def _filter(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    broken = sorted(facts["documents_that_broke"].items(), key=lambda item: (-item[1], item[0]))
    fired = [(f"  broke {rule}", f"{count:,}") for rule, count in broken if count]
    more = [(f"  and {len(fired) - RULES_SHOWN} more rules", "")] if len(fired) > RULES_SHOWN else []
    return [*_of_documents(counts), *fired[:RULES_SHOWN], *more]


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


DESCRIBE = {
    "ingest": _ingest,
    "filter": _filter,
    "dedup": _dedup,
    "query": _dedup,
    "spans": _spans,
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
