"""Charts as SVG that goes into the page: its colours are the page's CSS variables, so it follows light and dark.

matplotlib knows no CSS, so each variable is drawn in a marker colour that is replaced in the SVG's text. Its style
attributes become presentation attributes, since the page's policy lets no style act but its one style sheet. All words
in a chart are ours; text of documents never gets here. Ids are made unique to the chart.
"""

import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc.errors import require_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, FIRST, SECOND, THIRD = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
VARIABLES = {INK: "--dim", FAINT: "--line", FIRST: "--first", SECOND: "--second", THIRD: "--third"}
WIDTH, HEIGHT = 9.4, 2.8
NARROW = 5.0
"""Wider charts scroll sideways on a phone, where their words would be too small to read."""
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
        _plain_powers(axes)
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(out, metadata=nothing)
    return _for_page(name, out.getvalue(), says or name, width)


def _plain_powers(axes: "Axes") -> None:
    """Numbers of logarithmic axes in digits: matplotlib's are formulas of TeX, which nobody here sets."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
            axis.set_minor_formatter(NullFormatter())


def _for_page(name: str, svg: str, says: str, width: float) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' style="([^"]*)"', _attributes, svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r'<svg role="img" \1', svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    kind = "chart wide" if width > NARROW else "chart"
    svg = svg.replace("<svg ", f'<svg class="{kind}" aria-label="{escape(says)}" ', 1)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Chart">{svg}</div>' if width > NARROW else svg


def _attributes(style: "re.Match[str]") -> str:
    """`style="fill: none; stroke: #123"` as ` fill="none" stroke="#123"`; fonts are the style sheet's."""
    pairs = [declaration.partition(":") for declaration in style[1].split(";") if declaration.strip()]
    kept = [(name.strip(), value.strip()) for name, _, value in pairs if name.strip() != "font-family"]
    return "".join(f' {name}="{value}"' for name, value in kept)
