"""What was removed, and why: rules and examples of what they rejected, and the largest clusters of duplicates.

Reads the ledgers and `_duplicates/` a row group at a time, and the text of the few documents that are shown. Memory: 16
bytes for each cluster of duplicates.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import read_batches
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.visible import excerpt, one_line

EXAMPLES = 3
EXCERPT_CHARACTERS = 400
CLUSTERS = 10
MEMBERS = 3
ID_CHARACTERS = 160

SoleRules = Counter[str] | None
"""Documents that broke one rule only, by rule; None where they were not counted."""


@dataclass(frozen=True)
class Example:
    """A rejected document: the beginning of its text, the value that broke the rule, and what it is said to be."""

    document: str
    value: float
    threshold: float
    text: str
    source: str = ""
    language: str | None = None


@dataclass
class RuleLine:
    """One rule: how many documents broke it, and how many broke no other (None where that was not counted)."""

    name: str
    broke: int
    only: int | None
    examples: list[Example] = field(default_factory=list)


@dataclass
class Cluster:
    """A cluster of duplicates: the survivor, how many were removed for it, some of them and their similarity."""

    survivor: str
    removed: int
    lowest: float
    highest: float
    members: list[str]


def rule_lines(stage: StageOutput, only: SoleRules) -> list[RuleLine]:
    """Rules that were broken, most often first, with examples."""
    broken = {rule: count for rule, count in stage.facts["documents_that_broke"].items() if count}
    examples = _examples(stage, list(broken))
    lines = [
        RuleLine(one_line(rule), count, None if only is None else only[rule], examples.get(rule, []))
        for rule, count in broken.items()
    ]
    return sorted(lines, key=lambda line: (-line.broke, line.name))


def sole_rules(stage: StageOutput) -> SoleRules:
    """Documents that broke one rule only, by rule; None where there are too many ledgers to read them all."""
    if stage.share_read("ledger"):
        return None
    counts: Counter[str] = Counter()
    for path in stage.side_paths("ledger").values():
        batches = list(read_batches(path, ["id", "rule"]))
        if not batches:
            continue
        rules = pa.Table.from_batches(batches).group_by("id").aggregate([("rule", "count"), ("rule", "min")])
        alone = rules.filter(pc.equal(rules["rule_count"], 1))["rule_min"]
        counts.update({row["values"]: row["counts"] for row in pc.value_counts(alone).to_pylist()})
    return counts


def ledger_lines(stage: StageOutput) -> list[RuleLine]:
    """The same for any stage with a ledger, whose manifest need not count by rule: the files that are read are."""
    counts: Counter[str] = Counter()
    for path in stage.side_paths("ledger").values():
        for batch in read_batches(path, ["rule"]):
            counts.update({row["values"]: row["counts"] for row in pc.value_counts(batch.column("rule")).to_pylist()})
    examples = _examples(stage, list(counts))
    only = sole_rules(stage)
    lines = [
        RuleLine(one_line(rule), count, None if only is None else only[rule], examples[rule])
        for rule, count in counts.items()
    ]
    return sorted(lines, key=lambda line: (-line.broke, line.name))


def _examples(stage: StageOutput, rules: list[str]) -> dict[str, list[Example]]:
    """A few rejected documents of each rule: one from each of some files that are far from each other, and more from
    one file only where a rule was broken in few. Stops reading when every rule has its own."""
    examples: dict[str, dict[str, Example]] = {rule: {} for rule in rules}
    rejected = stage.side_paths("rejected")
    files = _spread([(path, rejected[stem]) for stem, path in stage.side_paths("ledger").items() if stem in rejected])
    for most in (1, EXAMPLES):
        for path, documents_path in files:
            wanted = [rule for rule in rules if len(examples[rule]) < EXAMPLES]
            if not wanted:
                break
            _add_examples(examples, path, documents_path, wanted, most)
    return {rule: list(chosen.values()) for rule, chosen in examples.items()}


def _add_examples(
    examples: dict[str, dict[str, Example]], path: str, documents_path: str, rules: list[str], most: int
) -> None:
    """At most so many examples of each rule from one part's ledger and rejected documents."""
    rows = [row for rule_rows in _spaced_rows(path, rules, most).values() for row in rule_rows]
    documents = _documents(documents_path, {row["id"] for row in rows}) if rows else {}
    for row in rows:
        chosen = examples[row["rule"]]
        if len(chosen) < EXAMPLES and row["id"] in documents:
            chosen.setdefault(row["id"], _example(row, documents[row["id"]]))


def _spread(files: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The files in an order in which the first few are far from each other: by strides that get shorter."""
    order: dict[int, None] = {}
    stride = len(files)
    while stride:
        order |= dict.fromkeys(range(stride // 2, len(files), stride))
        stride //= 2
    return [files[place] for place in order]


def _spaced_rows(path: str, rules: list[str], most: int) -> dict[str, list[dict]]:
    """At most so many rows of each rule in a ledger, the first of each row group and evenly spaced ones in it."""
    rows: dict[str, list[dict]] = {rule: [] for rule in rules}
    for batch in read_batches(path):
        for rule, chosen in rows.items():
            places = np.flatnonzero(pc.equal(batch.column("rule"), rule).to_numpy(zero_copy_only=False))
            if len(places) and len(chosen) < most:
                spaced = places[np.unique(np.linspace(0, len(places) - 1, most - len(chosen)).astype(np.int64))]
                chosen += batch.take(pa.array(spaced)).to_pylist()
    return rows


def _example(row: dict, document: dict) -> Example:
    return Example(
        one_line(row["id"], ID_CHARACTERS), row["value"], row["threshold"],
        excerpt(document["text"] or "", EXCERPT_CHARACTERS),
        one_line(document.get("source") or "", 80),
        one_line(document["language"], 40) if document.get("language") else None,
    )  # fmt: skip


def _documents(path: str, ids: set[str]) -> dict[str, dict]:
    """The rejected documents with these ids: text, source, language."""
    wanted = pa.array(sorted(ids), pa.string())
    documents = {}
    for batch in read_batches(path, ["id", "text", "source", "language"]):
        for row in batch.filter(pc.is_in(batch.column("id"), value_set=wanted)).to_pylist():
            documents[row["id"]] = row
    return documents


def largest_clusters(stage: StageOutput) -> list[Cluster]:
    """The clusters that lost most documents, largest first."""
    paths = list(stage.side_paths("duplicates").values())
    labels, sizes = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    for path in paths:
        for batch in read_batches(path, ["cluster"]):
            here, counts = np.unique(batch.column("cluster").to_numpy(), return_counts=True)
            labels, inverse = np.unique(np.concatenate([labels, here]), return_inverse=True)
            sizes = np.bincount(inverse, np.concatenate([sizes, counts]), minlength=len(labels)).astype(np.int64)
    order = np.lexsort((labels, -sizes))[:CLUSTERS]
    top = {int(labels[at]): Cluster("", int(sizes[at]), 1.0, 0.0, []) for at in order}
    wanted = pa.array(list(top), pa.uint64())
    for path in paths if top else ():
        for batch in read_batches(path):
            for row in batch.filter(pc.is_in(batch.column("cluster"), value_set=wanted)).to_pylist():
                _add_member(top[row["cluster"]], row)
    return list(top.values())


def _add_member(cluster: Cluster, row: dict) -> None:
    cluster.survivor = one_line(row["survivor"], ID_CHARACTERS)
    cluster.lowest = min(cluster.lowest, row["similarity"])
    cluster.highest = max(cluster.highest, row["similarity"])
    if len(cluster.members) < MEMBERS:
        cluster.members.append(one_line(row["id"], ID_CHARACTERS))
