"""Sources, languages and kinds: what the shards hold against the manifest, and against the mixture that was asked for.

Shards name the source of each segment, so its share is counted here; languages and kinds are the manifest's counts.
Held-back documents count there, too.
"""

from collections.abc import Iterator, Mapping

from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding, Severity
from corpusmill.dataproc.lint.measures import Scanned, Totals

RECORDED_SLACK = 0.02
ASKED_SLACK, ASKED_ERROR = 0.05, 0.2
MOST_NAMED = 3


class Sources:
    """Shares of sources, languages and kinds that are not those recorded or asked for."""

    name = "mixture"

    def __init__(self, expected: Expected) -> None:
        self._expected = expected

    def add(self, block: Block, scanned: Scanned) -> None:
        """Nothing: the set's totals are enough."""

    def findings(self, totals: Totals) -> Iterator[Finding]:
        expected = self._expected
        recorded = expected.recorded.get("source", {})
        if expected.whole and recorded and totals.sources:
            far = differences(shares(totals.sources), shares(recorded), RECORDED_SLACK)
            if far:
                yield self._finding(
                    "error", far, "the manifest's counts", "the shards are not those that the manifest counted"
                )
        for level, asked in expected.asked.items():
            seen = totals.sources if level == "source" and totals.sources else expected.recorded.get(level, {})
            if not seen:
                continue
            far = differences(shares(seen), shares(asked), ASKED_SLACK)
            if far:
                worst = max(abs(one - other) for _, one, other in far)
                severity: Severity = "error" if worst > ASKED_ERROR else "warning"
                yield self._finding(
                    severity,
                    far,
                    f"the shares of each {level} that were asked for",
                    "mix again, or correct the weights",
                )

    def _finding(self, severity: Severity, far: list[tuple[str, float, float]], wanted: str, hint: str) -> Finding:
        named = "; ".join(f"{name} {seen:.1%} for {asked:.1%}" for name, seen, asked in far[:MOST_NAMED])
        more = f"; and {len(far) - MOST_NAMED} more" if len(far) > MOST_NAMED else ""
        return Finding(check=self.name, severity=severity, seen=named + more, expected=wanted, hint=hint)


def shares(amounts: Mapping[str, float]) -> dict[str, float]:
    """Amounts as shares of their sum."""
    whole = sum(amounts.values())
    return {name: amount / whole for name, amount in amounts.items()} if whole else {}


def differences(seen: Mapping[str, float], wanted: Mapping[str, float], slack: float) -> list[tuple[str, float, float]]:
    """(name, share seen, share wanted) of those further apart than `slack`, the furthest first."""
    pairs = [(name, seen.get(name, 0.0), wanted.get(name, 0.0)) for name in {*seen, *wanted}]
    far = [pair for pair in pairs if abs(pair[1] - pair[2]) > slack]
    return sorted(far, key=lambda pair: (-round(abs(pair[1] - pair[2]), 9), pair[0]))
