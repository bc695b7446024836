"""Lint of a set of tokens: shards of ours or another trainer's files, where they lie; nothing is imported or written.

What a set is and what may be expected of it is found out in `lint_sets`; the checks are `dataproc.lint`'s. A foreign
set that has masks or labels is read once more for each column of them. With an older build beside it, that one is
counted, too, and the two are compared.

Cost: one pass over the tokens. Memory: `dataproc/lint/measures.py` states it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from corpusmill.dataproc.lint.drift import Build, drift
from corpusmill.dataproc.lint.findings import Finding
from corpusmill.dataproc.lint.linter import Linter, Report
from corpusmill.dataproc.lint.masks import Masks
from corpusmill.dataproc.lint.measures import Totals, scanned_block
from corpusmill.pipelines.inspect.foreign_sets import ForeignSet
from corpusmill.pipelines.inspect.lint_sets import ShardSet, TokenSet, open_set


@dataclass(frozen=True, kw_only=True)
class LintOptions:
    """What a user may say that a set does not.

    Attributes:
        format: of a foreign set: megatron, mds, huggingface, flat; found out where it is "".
        tokenizer: folder of the tokenizer that made the ids.
        column: of tokens, in formats with columns. dtype: of a flat file that nothing describes.
        against: an older build of the same set.
        asked: shares by level and name; those of the mixture that the set was made of where it is empty.
    """

    format: str = ""
    tokenizer: str = ""
    column: str = ""
    dtype: str = ""
    against: str = ""
    asked: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Linted:
    """What lint says of a set: where it is, what it is, and the report."""

    path: str
    what: str
    report: Report

    def to_values(self) -> dict[str, Any]:
        """As JSON has it; findings apart."""
        values = self.report.to_values()
        values.pop("findings")
        return {"path": self.path, "what": self.what, **values}


def lint(path: str, options: LintOptions) -> Linted:
    """All checks over a set. Raises UserError for what is no set of tokens, or cannot be read."""
    tokens = open_set(path, options.format, options.tokenizer, options.column, options.dtype, options.asked)
    linter = Linter(tokens.expected)
    for block in tokens.blocks():
        linter.add(block)
    more = [*tokens.findings(), *_mask_findings(tokens)]
    if options.against:
        old = open_set(options.against, options.format, options.tokenizer, options.column, options.dtype, {})
        more += drift(_build(tokens, linter.totals), _build(old, _totals(old)))
    return Linted(path=path, what=tokens.what, report=linter.report(more))


def _totals(tokens: TokenSet) -> Totals:
    """What a set holds, without the checks."""
    vocabulary = tokens.expected.vocab_size
    totals = Totals(np.zeros(vocabulary + 1, np.int64))
    for block in tokens.blocks():
        totals.add(block, scanned_block(block, vocabulary))
    return totals


def _build(tokens: TokenSet, totals: Totals) -> Build:
    recorded = {level: dict(amounts) for level, amounts in tokens.expected.recorded.items()}
    if totals.sources:
        recorded["source"] = totals.sources
    return Build(
        sequences=totals.sequences,
        tokens=totals.tokens,
        documents=totals.documents,
        tokenizer=tokens.tokenizer,
        settings=tokens.settings(),
        tokens_by=recorded,
        counts=totals.counts,
    )


def _mask_findings(tokens: TokenSet) -> Iterator[Finding]:
    if isinstance(tokens, ShardSet):
        return
    assert isinstance(tokens, ForeignSet)
    for column in tokens.mask_columns():
        masks = Masks(column)
        for block, values in zip(tokens.blocks(), tokens.column(column), strict=True):
            masks.add(block, values.offsets, values.tokens)
        yield from masks.findings()
