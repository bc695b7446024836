"""Statistics of a filter: the histogram of each with the thresholds drawn in, and the way to the documents of a bar."""

from typing import Any

from corpusmill.pipelines.inspect.histograms import Histogram, statistic_histogram, statistic_names
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.ways import stage_address, stage_trail


@page("statistics.html")
def statistics(view: View) -> Values:
    """One statistic, the first where none is asked for, and the list of all."""
    place = view.stage
    names = statistic_names(place)
    values: Values = {
        "title": "Statistics",
        "trail": stage_trail(view),
        "command": ["inspect", place.path],
        "names": names,
        "histogram": None,
    }
    if not names:
        return values
    histogram = statistic_histogram(place, view.text("column", names[0]) or names[0])
    columns = ("from", "to", "documents")
    rows = [list(row) for row in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False)]
    shares = ", ".join(f"{share:g}" for share, _ in histogram.quantiles)
    statement = f'SELECT quantile_disc("{histogram.name}", [{shares}]) FROM statistics'
    return values | {
        "command": ["inspect", "sql", statement, place.path],
        "histogram": histogram,
        "bars": bars(histogram),
        "lines": _lines(histogram),
        "documents": f"{stage_address(view.path, view.stage_name)}/documents",
        "table": Table(f"{view.stage_name}-{histogram.name}", columns, rows) if rows else None,
    }


def bars(histogram: Histogram) -> list[dict[str, Any]]:
    """The bars: what each counts, its height as a share of the highest, and the expression for its documents."""
    most = max([*histogram.counts, 1])
    last = len(histogram.counts) - 1
    return [
        {
            "from": low,
            "to": high,
            "documents": count,
            "share": count / most,
            "where": " and ".join(
                [f"{histogram.name} >= {low:.9g}"] * (number > 0) + [f"{histogram.name} < {high:.9g}"] * (number < last)
            ),
        }
        for number, (low, high, count) in enumerate(
            zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False)
        )
    ]


def _lines(histogram: Histogram) -> list[dict[str, Any]]:
    """Thresholds: where each stands in percent of the width; None beyond the edges."""
    if not histogram.edges:
        return []
    low, high = histogram.edges[0], histogram.edges[-1]
    return [
        {"threshold": one, "at": 100 * (one.limit - low) / (high - low) if low <= one.limit <= high else None}
        for one in histogram.thresholds
    ]
