"""Charts as SVG that goes into the page: its colours are the page's CSS variables, so it follows light and dark.

matplotlib knows no CSS, so each variable is drawn in a marker colour that is replaced in the SVG's text. All words in
a chart are ours; text of documents never gets here. Ids are made unique to the chart.
"""

import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from corpusmill.dataproc.errors import require_extra
from corpusmill.pipelines.report.lengths import Lengths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, FIRST, SECOND, THIRD = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
VARIABLES = {INK: "--dim", FAINT: "--line", FIRST: "--first", SECOND: "--second", THIRD: "--third"}
WIDTH, HEIGHT = 9.4, 2.8
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "corpusmill",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": FAINT,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}


def draw(
    name: str, plot: "Callable[[Axes], None]", width: float = WIDTH, height: float = HEIGHT, says: str | None = None
) -> str:
    """The SVG element of one chart. Raises UserError when matplotlib is not installed.

    Args:
        name: unique on the page, letters and digits.
        plot: draws into the axes that it is given.
        width, height: in inches.
        says: what the chart shows, for those who cannot see it; its name where it is left out.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise require_extra("matplotlib", "report") from error
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        plot(axes)
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(out, metadata=nothing)
    return _for_page(name, out.getvalue(), says or name)


def _for_page(name: str, svg: str, says: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r'<svg role="img" \1', svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    svg = svg.replace("<svg ", f'<svg aria-label="{escape(says)}" ', 1)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg


def length_chart(name: str, lengths: Lengths) -> str:
    """Documents by length, kept and rejected stacked."""

    def plot(axes: "Axes") -> None:
        left, width = lengths.edges[:-1], np.diff(lengths.edges) * 0.92
        axes.bar(left, lengths.kept, width, align="edge", color=FIRST, label="kept")
        if lengths.rejected.any():
            bottom = lengths.kept
            axes.bar(left, lengths.rejected, width, bottom, align="edge", color=SECOND, label="rejected")
            axes.legend(loc="upper right")
        powers = np.arange(10)
        inside = powers[(np.log2(10.0**powers) >= left[0]) & (np.log2(10.0**powers) <= lengths.edges[-1])]
        axes.set_xticks(np.log2(10.0**inside), [f"{10 ** int(power):,}" for power in inside])
        axes.set_xlabel("characters of a document")
        axes.set_ylabel("documents")

    return draw(name, plot, says=f"{lengths.kept.sum() + lengths.rejected.sum():,} documents by length in characters")
