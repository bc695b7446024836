"""Compact heat maps: a table of numbers as coloured cells with a handful of levels.

A cell of its own for every number of V3's 59 routers and 256 experts would be 15,000 shapes, a picture inside the page
would not follow its colours. So numbers fall into levels, and all cells of a level are one shape, runs of neighbours
one rectangle of it; a level is one of the page's colours at some strength. The legend names the levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpusmill.pipelines.report.charts import FAINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LABELS = 24


@dataclass(frozen=True)
class Level:
    """Numbers below `end`, down to the end of the level before."""

    end: float
    colour: str
    strength: float
    """Opacity, 0 to 1."""
    label: str


def draw_heat(axes: "Axes", table: np.ndarray, edges: np.ndarray, levels: Sequence[Level], rows: Sequence[str]) -> None:
    """Draws a table with its first row on top, and the levels' names above it.

    Args:
        axes: to draw into.
        table: float64 [R, C]; NaN stays empty.
        edges: where columns begin and the last one ends, ascending [C + 1].
        levels: by rising `end`; the last one's is infinite.
        rows: R names.
    """
    from matplotlib.patches import Patch, PathPatch
    from matplotlib.path import Path

    numbers = np.searchsorted([level.end for level in levels], table, side="right")
    for number, level in enumerate(levels):
        boxes = _boxes((numbers == number) & ~np.isnan(table))
        if not boxes:
            continue
        corners = [
            (edges[column], row)
            for row, first, end in boxes
            for column, row in ((first, row), (end, row), (end, row + 1), (first, row + 1), (first, row))
        ]
        codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(boxes)
        axes.add_patch(
            PathPatch(Path(corners, codes), facecolor=level.colour, alpha=level.strength, linewidth=0, edgecolor="none")
        )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(len(rows), 0)
    every = -(-len(rows) // MOST_LABELS)
    named = range(0, len(rows), every)
    axes.set_yticks([row + 0.5 for row in named], [rows[row] for row in named])
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    keys = [
        Patch(facecolor=level.colour, alpha=level.strength, edgecolor=FAINT, linewidth=0.5, label=level.label)
        for level in levels
    ]
    axes.legend(
        handles=keys, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(keys), handlelength=1, handleheight=1,
        columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip


def _boxes(mask: np.ndarray) -> list[tuple[int, int, int]]:
    """(row, first column, column past the last) of every run of true cells."""
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(padded, axis=1)
    starts, ends = np.argwhere(change == 1), np.argwhere(change == -1)
    return [(int(row), int(first), int(end)) for (row, first), (_, end) in zip(starts, ends, strict=True)]
