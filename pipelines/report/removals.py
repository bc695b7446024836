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

EXAMPLES = 2
EXCERPT_CHARACTERS = 400
CLUSTERS = 10
MEMBERS = 3
ID_CHARACTERS = 160

SoleRules = Counter[str] | None
"""Documents that broke one rule only, by rule; None where they were not counted."""


@dataclass(frozen=True)
class Example:
    """A rejected document: the beginning of its text, and the value that broke the rule."""

    document: str
    value: float
    threshold: float
    text: str


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


def _examples(stage: StageOutput, rules: list[str]) -> dict[str, list[Example]]:
    """The first few rejected documents of each rule; stops reading when every rule has its own."""
    examples: dict[str, list[Example]] = {rule: [] for rule in rules}
    rejected = stage.side_paths("rejected")
    for stem, path in stage.side_paths("ledger").items():
        wanted = [rule for rule in rules if len(examples[rule]) < EXAMPLES]
        if not wanted:
            break
        rows = [row for batch in read_batches(path) for row in _first_rows(batch, wanted)]
        if not rows or stem not in rejected:
            continue
        texts = _texts(rejected[stem], {row["id"] for row in rows})
        for row in rows:
            if len(examples[row["rule"]]) < EXAMPLES and row["id"] in texts:
                shown = one_line(row["id"], ID_CHARACTERS)
                examples[row["rule"]].append(Example(shown, row["value"], row["threshold"], texts[row["id"]]))
    return examples


def _first_rows(batch: pa.RecordBatch, rules: list[str]) -> list[dict]:
    of_rule = (batch.filter(pc.equal(batch.column("rule"), rule)).slice(0, EXAMPLES) for rule in rules)
    return [row for rows in of_rule for row in rows.to_pylist()]


def _texts(path: str, ids: set[str]) -> dict[str, str]:
    """Excerpts of the documents with these ids."""
    wanted = pa.array(sorted(ids), pa.string())
    excerpts = {}
    for batch in read_batches(path, ["id", "text"]):
        for row in batch.filter(pc.is_in(batch.column("id"), value_set=wanted)).to_pylist():
            excerpts[row["id"]] = excerpt(row["text"], EXCERPT_CHARACTERS)
    return excerpts


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
