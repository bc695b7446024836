"""The report on a quality classifier: tables for a terminal, and one HTML page with its ROC curve and reliability.

Languages, sources and kinds come from documents: they go through `one_line`, and the template escapes them. The page
loads nothing, and no script runs in it but its own.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc.quality.evaluation import GROUPS
from corpusmill.pipelines.engine.manifest import our_version
from corpusmill.pipelines.html.document import require_charts, self_contained, write_html
from corpusmill.pipelines.html.environment import as_markup
from corpusmill.pipelines.report.charts import FIRST, INK, SECOND, draw
from corpusmill.pipelines.terminal import Column, output_console, pairs, print_lines, print_sentence, table
from corpusmill.pipelines.visible import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDERS = [("corpusmill.pipelines.report", "")]
PAGE = "quality-report.html"
ROWS_SHOWN = 40
COLUMNS = ("positive", "negative", "auc", "average_precision", "precision", "recall", "f1")
HEADS = ("positive", "negative", "area under ROC", "average precision", "precision", "recall", "F1")
Record = Mapping[str, Any]


def write_page(record: Record, name: str, path: str) -> str:
    """Writes the page to a file, or as `quality-report.html` into a folder that is there; gives its path."""
    return write_html(page(record, name), PAGE, path)


def page(record: Record, name: str) -> str:
    """The page's text. Raises UserError when jinja2 or matplotlib is missing."""
    metrics = record["metrics"]
    require_charts()
    values = {
        "title": f"Classifier {one_line(name, 120)}",
        "version": our_version(),
        "tiles": _tiles(record),
        "facts": _facts(record),
        "heads": [(head, "n") for head in HEADS],
        "groups": [(column, _rows(metrics[f"by_{column}"])) for column in GROUPS],
        "thresholds": [
            _cells(threshold, ("threshold", "taken", "precision", "recall", "f1")) for threshold in _thresholds(metrics)
        ],
        "roc": as_markup(draw("roc", lambda axes: _plot_roc(axes, metrics), width=4.6, height=4.2)),
        "reliability": as_markup(
            draw("reliability", lambda axes: _plot_reliability(axes, metrics), width=4.6, height=4.2)
        ),
        "note": _calibration_note(record),
    }
    return self_contained(FOLDERS, "quality.html", values)


def print_tables(record: Record) -> None:
    """Prints the same numbers to stdout."""
    console = output_console()
    print_lines(console, pairs([*_facts(record), *_tiles(record)], console.width))
    metrics = record["metrics"]
    for column in GROUPS:
        rows = _rows(metrics[f"by_{column}"])
        if len(rows) > 1 or (rows and rows[0][0] != "unknown"):
            columns = (Column(column), *(Column(head, right=True) for head in HEADS))
            console.print()
            print_lines(console, table(columns, [(name, *cells) for name, cells in rows], console.width))
    columns = tuple(Column(head, right=True) for head in ("threshold", "taken", "precision", "recall", "F1"))
    names = ("threshold", "taken", "precision", "recall", "f1")
    console.print()
    print_lines(console, table(columns, [_cells(level, names) for level in _thresholds(metrics)], console.width))
    print_sentence(console, _calibration_note(record))


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _cells(measures: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    return [_number(measures[name]) for name in names]


def _rows(groups: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    return [(one_line(name, 60), _cells(measures, COLUMNS)) for name, measures in list(groups.items())[:ROWS_SHOWN]]


def _thresholds(metrics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Precision and recall at the fixed thresholds and at the one of the highest F1, rising."""
    best = [metrics["best_f1"]] if metrics["best_f1"] else []
    return sorted([*metrics["at"], *best], key=lambda row: row["threshold"])


def _tiles(record: Record) -> list[tuple[str, str]]:
    overall = record["metrics"]["overall"]
    return [
        ("documents measured on", f"{overall['positive'] + overall['negative']:,}"),
        ("area under ROC", _number(overall["auc"])),
        ("average precision", _number(overall["average_precision"])),
        ("precision at 0.5", _number(overall["precision"])),
        ("recall at 0.5", _number(overall["recall"])),
        ("F1 at 0.5", _number(overall["f1"])),
    ]


def _facts(record: Record) -> list[tuple[str, str]]:
    chosen, data = record["hyperparameters"], record["data"]
    shape = f"{chosen['dimensions']} dimensions, {chosen['word_ngrams']}-grams of words, {chosen['epochs']} epochs"
    rows = [
        ("preset", f"{record['preset']}: {shape}, learning rate {chosen['learning_rate']:g}"),
        ("words with a row", f"{record['training']['words']:,} of {record['training']['distinct_words']:,}"),
    ]
    for name in ("positive", "negative"):
        of_class = data[name]
        paths = ", ".join(one_line(dataset["path"], 80) for dataset in of_class["datasets"])
        documents, trained_on, held_back = (of_class[key] for key in ("documents", "trained_on", "held_back"))
        counts = f"{documents:,} documents, trained on {trained_on:,}, held back {held_back:,}"
        rows.append((name, f"{paths}: {counts}"))
    return rows


def _calibration_note(record: Record) -> str:
    metrics = record["metrics"]
    error = metrics["reliability"]["expected_error"]
    if not record["calibration"]:
        why = f" ({metrics['not_calibrated']})" if metrics["not_calibrated"] else ""
        return f"Scores are not calibrated{why}; the expected calibration error is {error:.4f}."
    before = metrics["reliability_raw"]["expected_error"]
    method = {"platt": "Platt's sigmoid", "isotonic": "isotonic regression"}[record["calibration"]["method"]]
    return (
        f"Calibrated by {method} on {metrics['documents']['calibrated_by']:,} other held-back documents: the expected "
        f"calibration error is {error:.4f}, and was {before:.4f}. It holds for the mixture that was held back."
    )


def _plot_roc(axes: "Axes", metrics: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    if metrics["roc"]:
        axes.plot([point[0] for point in metrics["roc"]], [point[1] for point in metrics["roc"]], color=FIRST)
    axes.set_xlabel("share of negative documents taken")
    axes.set_ylabel("share of positive documents taken")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)


def _plot_reliability(axes: "Axes", metrics: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    for name, colour, label in (("reliability_raw", SECOND, "raw"), ("reliability", FIRST, "as scored")):
        if metrics[name]:
            bins = metrics[name]["bins"]
            places = [bin_["mean_score"] for bin_ in bins], [bin_["positive_share"] for bin_ in bins]
            axes.plot(*places, "o-", markersize=4, color=colour, label=label)
    axes.set_xlabel("score")
    axes.set_ylabel("share of positive documents")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.legend(loc="upper left")
