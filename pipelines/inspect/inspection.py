"""How `why` and `trace` read what a stage left beside its documents; each room that leaves something says it itself.

A room's `inspection.py` holds an `Inspection`, which its description names. Functions are given the stage's folder as
a `Side` and read its side tables; they print nothing and change nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.side_tables import side_files
from corpusmill.pipelines.description import StageDescription, load
from corpusmill.pipelines.inspect.documents import matching
from corpusmill.pipelines.inspect.lookup import Row

SHOWN = 20
"""Rows of a side table that an answer lists before it says how many more there are."""


@dataclass(frozen=True)
class Side:
    """A stage's folder, by its manifest, and the tables beside its parts."""

    name: str
    path: str
    manifest: Mapping[str, Any]

    def files(self, table: str) -> list[str]:
        """Paths of a side table's files."""
        return [storage.join(self.path, path) for path in side_files(self.manifest, table).values()]

    def rows(self, table: str, document: str, column: str = "id") -> list[dict[str, Any]]:
        """The rows of a side table whose `column` is this document's id."""
        return list(matching(self.files(table), column, document))


@dataclass(frozen=True)
class Reason:
    """What became of a document.

    Attributes:
        fate: kept, rejected, duplicate, dropped or quarantined.
        lines: why, one thing a line; text of documents in them is as it is.
    """

    fate: str
    lines: list[str]


@dataclass(frozen=True)
class Passed:
    """A rule that a filter applied to a document, the document's value, and the thresholds that it kept to.

    A document of a language to keep has the language for its value, one for which an expression holds "true".
    """

    stage: str
    rule: str
    statistic: str
    value: float | str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Judged:
    """A rule that was asked of a document: its value (None where it was not measured) and the thresholds.

    Attributes:
        statistic: the column, or the expression, that the rule looks at.
        value: of an expression 1 where it holds, 0 where it does not.
        broken: whether the document does not keep to it.
    """

    rule: str
    statistic: str
    value: float | None
    minimum: float | None
    maximum: float | None
    broken: bool


@dataclass
class Judgement:
    """All rules that were asked of a document, and all its statistics; `missing` says what is not known."""

    rules: list[Judged] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Survivor:
    """The document that stayed in another's place.

    Attributes:
        similarity: exact, or estimated where `verified` says signatures.
        containment: share of the removed document's shingles that the survivor holds; None where nobody measured it.
        cluster: number of a survivor and those that went for it.
    """

    id: str
    method: str
    similarity: float
    containment: float | None
    verified: str | None
    cluster: int


@dataclass
class Passage:
    """What a stage knows of documents that went through it.

    Attributes:
        passed: (id, rule) of rules that were applied to kept documents.
        survivors: (id, removed document's id) of documents that stayed in another's place.
        missing: what could not be found, a line each.
    """

    passed: list[tuple[str, Passed]] = field(default_factory=list)
    survivors: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """How a stage's side tables are read.

    Attributes:
        removal: why a document is not among the kept ones; None where these tables do not know.
        kept: lines on a document that was kept.
        passage: what there is to say of kept documents, given their rows by id.
        judged: the rules that were asked of a document, kept or not, and its statistics.
        survivor: who stayed for a document.
        copies: ids of further copies by which a document goes on.
        originals: ids of documents that others of the dataset are copies of, by the copy's id.
        reads_raw_files: whether its manifest names raw files, which a document can be traced to.
    """

    removal: Callable[[Side, str], Reason | None] = lambda side, document: None
    kept: Callable[[Side, str], list[str]] = lambda side, document: []
    passage: Callable[[Side, Mapping[str, Row]], Passage] = lambda side, rows: Passage()
    judged: Callable[[Side, str], Judgement] = lambda side, document: Judgement()
    survivor: Callable[[Side, str], Survivor | None] = lambda side, document: None
    copies: Callable[[Side, str], list[str]] = lambda side, document: []
    originals: Callable[[Side, Mapping[str, Row]], dict[str, str]] = lambda side, rows: {}
    reads_raw_files: bool = False


def ledger_removal(side: Side, document: str) -> Reason | None:
    """The rules that a document broke, by the stage's ledger."""
    broken = side.rows("ledger", document)
    return Reason("rejected", [_broken(row) for row in broken]) if broken else None


def _broken(row: Mapping[str, Any]) -> str:
    relation = "below" if row["value"] < row["threshold"] else "above"
    if math.isnan(row["value"]):
        return f"{row['rule']}: what it looks at was not measured"
    if row["rule"] == "language":
        return f"language: not one of the languages to keep (score {row['value']:.4g})"
    return f"{row['rule']}: {row['value']:.6g} is {relation} {row['threshold']:.6g}"


REJECTING = Inspection(removal=ledger_removal)
"""For a stage that rejects documents with a ledger, and leaves no other table to read."""

NOTHING = Inspection()


def inspection_of(description: StageDescription | None) -> Inspection:
    """The inspection that a stage's description names."""
    if description is None or not description.inspection:
        return NOTHING
    inspection: Inspection = load(description.inspection)
    return inspection
