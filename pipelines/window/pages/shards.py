"""A set of token shards as a whole: how full sequences are, how long segments are, and what lint says of it."""

from typing import Any

from corpusmill.pipelines.inspect.contents import contents_of
from corpusmill.pipelines.inspect.histograms import fill_histogram
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.pages.statistics import bars
from corpusmill.pipelines.window.ways import stage_trail


@page("shards.html")
def shards(view: View) -> Values:
    """The page of a set. Lint is what the stage that wrote the shards found in a sample; the command looks at all."""
    place = view.stage
    fill = fill_histogram(place)
    lengths = next(iter(contents_of(place).lengths), None)
    linted = place.manifest["facts"].get("lint")
    findings: list[dict[str, Any]] = list(linted["findings"]) if linted else []
    columns = ("severity", "check", "seen", "expected", "hint")
    return {
        "title": "Shards",
        "trail": stage_trail(view),
        "command": ["inspect", "lint", place.path],
        "counts": place.manifest["counts"],
        "fill": fill,
        "fill_bars": bars(fill),
        "lengths": _length_bars(lengths) if lengths else [],
        "sampled": lengths.sampled if lengths else 0,
        "linted": linted is not None,
        "findings": findings,
        "table": Table("findings", columns, [[one[name] for name in columns] for one in findings])
        if findings
        else None,
    }


def _length_bars(lengths: Any) -> list[tuple[str, int, float]]:
    """(label, segments, share of all) of each power of two."""
    edges = [*lengths.edges[1:], None]
    return [
        (f"{low:,} to {high - 1:,}" if high else f"{low:,}+", count, count / max(lengths.sampled, 1))
        for low, high, count in zip(lengths.edges, edges, lengths.counts, strict=False)
    ]
