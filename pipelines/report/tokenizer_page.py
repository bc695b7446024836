"""The report on tokenizers as one HTML page: nothing loaded from anywhere, charts as SVG inside it.

Names of tokenizers, values of columns, ids of documents and tokens come from outside: they go through `one_line`, and
the template escapes them. The charts hold no such text; there, a tokenizer is known by its colour.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpusmill.pipelines.engine.manifest import our_version
from corpusmill.pipelines.html.document import require_charts, self_contained, write_html
from corpusmill.pipelines.html.environment import as_markup
from corpusmill.pipelines.report.charts import FIRST, INK, SECOND, THIRD, draw
from corpusmill.pipelines.report.tokenizer_tables import number, round_trip
from corpusmill.pipelines.visible import one_line
from corpusmill.tokenizer.report import LONGEST_COUNTED, RARE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDERS = [("corpusmill.pipelines.report", "")]
PAGE = "report.html"
ROWS_SHOWN = 40
COLOURS = (FIRST, SECOND, THIRD, INK)
CLASSES = ("first", "second", "third", "dim")
Report = Mapping[str, Any]


def write_page(measured: Report, path: str) -> str:
    """Writes the page to a file, or as `report.html` into a folder that is there; gives its path.

    Raises UserError when jinja2 or matplotlib is missing.
    """
    return write_html(page(measured), PAGE, path)


def page(measured: Report) -> str:
    """The page's text."""
    text, tokenizers = measured["text"], measured["tokenizers"]
    names = [one_line(tokenizer["name"], 120) for tokenizer in tokenizers]
    require_charts()
    values = {
        "title": f"Tokenizer {names[0]}",
        "version": our_version(),
        "tiles": _tiles(text, tokenizers[0]),
        "tokenizers": [_overview(tokenizer, place) for place, tokenizer in enumerate(tokenizers)],
        "rare": RARE - 1,
        "columns": [
            (name, _bars(name, values, tokenizers), max(0, len(values) - ROWS_SHOWN))
            for name, values in measured["groups"].items()
            if set(values) - {"unknown"}
        ],
        "lengths": as_markup(_length_chart(tokenizers)),
        "usage": as_markup(_usage_chart(tokenizers)),
        "vocabularies": [_vocabulary(tokenizer) for tokenizer in tokenizers],
    }
    return self_contained(FOLDERS, "tokenizer.html", values)


def _tiles(text: Report, first: Report) -> list[tuple[str, str]]:
    return [
        ("documents", f"{text['documents']:,}"),
        ("MB of text", f"{text['bytes'] / 1e6:,.1f}"),
        ("tokens", f"{first['tokens']:,}"),
        ("bytes per token", number(first["bytes_per_token"])),
        ("tokens per word", number(first["tokens_per_word"])),
        ("ids never used", f"{first['never_used']['share']:.1%}"),
    ]


def _colour(place: int) -> str:
    return CLASSES[place % len(CLASSES)]


def _overview(tokenizer: Report, place: int) -> dict[str, Any]:
    return {
        "name": one_line(tokenizer["name"], 120),
        "colour": _colour(place),
        "cells": [
            f"{tokenizer['ids']:,}",
            f"{tokenizer['tokens']:,}",
            number(tokenizer["bytes_per_token"]),
            number(tokenizer["characters_per_token"]),
            number(tokenizer["tokens_per_word"]),
            f"{tokenizer['joined']['share']:.2%}",
            f"{tokenizer['never_used']['ids']:,} ({tokenizer['never_used']['share']:.1%})",
            f"{tokenizer['rarely_used']['ids']:,} ({tokenizer['rarely_used']['share']:.1%})",
        ],
        "round_trip": round_trip(tokenizer),
    }


def _bars(column: str, values: Mapping[str, Any], tokenizers: Sequence[Report]) -> list[dict[str, Any]]:
    """A bar for each value and tokenizer: bytes per token, on the scale of the longest."""
    shown = list(values)[:ROWS_SHOWN]
    rates = {value: [tokenizer["groups"][column][value] for tokenizer in tokenizers] for value in shown}
    most = max((rate["bytes_per_token"] or 0 for row in rates.values() for rate in row), default=0) or 1
    return [
        {
            "label": one_line(value, 60),
            "tokenizer": one_line(tokenizers[place]["name"], 60),
            "size": f"{values[value]['bytes'] / 1e6:,.1f}",
            "colour": _colour(place),
            "width": 100 * (rate["bytes_per_token"] or 0) / most,
            "bytes": number(rate["bytes_per_token"]),
            "words": number(rate["tokens_per_word"]),
            "characters": number(rate["characters_per_token"]),
        }
        for value in shown
        for place, rate in enumerate(rates[value])
    ]


def _length_chart(tokenizers: Sequence[Report]) -> str:
    def plot(axes: "Axes") -> None:
        width = 0.84 / len(tokenizers)
        longest = 1
        for place, tokenizer in enumerate(tokenizers):
            counts = np.array(tokenizer["lengths"]["ids"])
            longest = max(longest, *np.flatnonzero(counts).tolist(), 1)
            left = np.arange(len(counts)) - 0.42 + place * width
            axes.bar(left, counts, width, align="edge", color=COLOURS[place % len(COLOURS)])
        axes.set_xlim(0, min(longest, LONGEST_COUNTED) + 1)
        axes.set_xlabel("bytes of a token")
        axes.set_ylabel("ids")

    return draw("tokenlengths", plot)


def _usage_chart(tokenizers: Sequence[Report]) -> str:
    def plot(axes: "Axes") -> None:
        for place, tokenizer in enumerate(tokenizers):
            ranks, uses = (np.array(tokenizer["usage"][name]) for name in ("ranks", "uses"))
            used = uses > 0
            axes.plot(ranks[used], uses[used], color=COLOURS[place % len(COLOURS)])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("rank of an id, the commonest first")
        axes.set_ylabel("uses")

    return draw("usage", plot)


def _vocabulary(tokenizer: Report) -> dict[str, Any]:
    tokens = max(1, tokenizer["tokens"])

    def rows(of: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
        return [
            (name, f"{row['ids']:,}", f"{row['never_used']:,}", f"{100 * row['tokens'] / tokens:.2f}%")
            for name, row in of.items()
        ]

    def examples(of: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
        return [(f"{row['id']}", one_line(row["text"], 200), f"{row['bytes']:,}", f"{row['used']:,}") for row in of]

    scripts = dict(sorted(tokenizer["scripts"].items(), key=lambda item: (-item[1]["ids"], item[0])))
    return {
        "name": one_line(tokenizer["name"], 120),
        "kinds": rows(tokenizer["kinds"]),
        "scripts": rows(scripts),
        "examples": [
            ("Longest tokens", examples(tokenizer["longest"])),
            (f"Never used: {tokenizer['never_used']['ids']:,}", examples(tokenizer["never_used"]["examples"])),
            (f"Rarely used: {tokenizer['rarely_used']['ids']:,}", examples(tokenizer["rarely_used"]["examples"])),
        ],
    }
