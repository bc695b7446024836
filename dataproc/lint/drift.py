"""A build against the one before: what moved further than a new crawl or a changed rule explains.

Counts may grow by a tenth without a word. Shares of sources and languages, entropy, and the whole distribution of ids
(Jensen-Shannon divergence, in bits) are compared as they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from corpusmill.dataproc.lint.entropy import entropy_bits
from corpusmill.dataproc.lint.findings import Finding, Severity
from corpusmill.dataproc.lint.sources import differences, shares

COUNT_WARNING, COUNT_ERROR = 0.1, 0.5
SHARE_WARNING = 0.03
ENTROPY_WARNING = 0.25
DIVERGENCE_WARNING = 0.02
MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Build:
    """What is compared of a set: totals, settings of its header, shares by level, and counts of ids int64 (V + 1,)."""

    sequences: int
    tokens: int
    documents: int
    tokenizer: str
    settings: Mapping[str, Any]
    tokens_by: Mapping[str, Mapping[str, int]]
    counts: np.ndarray = field(repr=False)


def drift(new: Build, old: Build) -> Iterator[Finding]:
    """What changed from the older build to the newer."""
    if new.tokenizer != old.tokenizer:
        seen = f"tokenizer {new.tokenizer or 'unknown'}"
        yield _finding(
            "warning", seen, f"{old.tokenizer or 'unknown'}, as before", "tokens cannot be compared one by one"
        )
    changed = [
        name for name in sorted({*new.settings, *old.settings}) if new.settings.get(name) != old.settings.get(name)
    ]
    if changed:
        seen = "; ".join(f"{name} {new.settings.get(name)} for {old.settings.get(name)}" for name in changed)
        yield _finding("note", seen, "the settings of before", "see that this is meant")
    for name in ("tokens", "documents", "sequences"):
        now, before = getattr(new, name), getattr(old, name)
        change = (now - before) / before if before else float(now > 0)
        if abs(change) > COUNT_WARNING:
            severity: Severity = "error" if abs(change) > COUNT_ERROR else "warning"
            hint = "look for stages that lost or gained documents: corpusmill inspect diff"
            yield _finding(severity, f"{now:,} {name} ({change:+.0%})", f"about {before:,}", hint)
    for level in sorted({*new.tokens_by} & {*old.tokens_by}):
        far = differences(shares(new.tokens_by[level]), shares(old.tokens_by[level]), SHARE_WARNING)
        if far:
            named = "; ".join(f"{name} {now:.1%} for {before:.1%}" for name, now, before in far[:MOST_NAMED])
            yield _finding("warning", f"{level}: {named}", "shares within 3 points", "see which stage changed them")
    if new.tokenizer == old.tokenizer and len(new.counts) == len(old.counts):
        yield from _distribution(new.counts, old.counts)


def _distribution(new: np.ndarray, old: np.ndarray) -> Iterator[Finding]:
    change = entropy_bits(new) - entropy_bits(old)
    if abs(change) > ENTROPY_WARNING:
        seen = f"{entropy_bits(new):.2f} bits a token ({change:+.2f})"
        yield _finding("warning", seen, f"about {entropy_bits(old):.2f}", "compare samples of both")
    if (divergence := jensen_shannon(new, old)) > DIVERGENCE_WARNING:
        moved = np.abs(new / max(new.sum(), 1) - old / max(old.sum(), 1))
        ids = ", ".join(str(token) for token in np.argsort(-moved)[:MOST_NAMED])
        seen = f"{divergence:.3f} bits between the shares of ids, most by ids {ids}"
        yield _finding("warning", seen, f"under {DIVERGENCE_WARNING:g}", "compare samples of both")


def jensen_shannon(one: np.ndarray, other: np.ndarray) -> float:
    """Jensen-Shannon divergence of two histograms, in bits: 0 for equal shares, 1 for disjoint ones."""
    if not one.sum() or not other.sum():
        return 0.0
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2

    def bits(shares_of: np.ndarray) -> float:
        here = shares_of > 0
        return float((shares_of[here] * np.log2(shares_of[here] / middle[here])).sum())

    return (bits(p) + bits(q)) / 2


def _finding(severity: Severity, seen: str, wanted: str, hint: str) -> Finding:
    return Finding(check="drift", severity=severity, seen=seen, expected=wanted, hint=hint)
