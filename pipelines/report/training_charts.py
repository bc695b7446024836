"""Charts of a training run. Names of sources come from documents, so they stay out of the charts; the page's table says
which colour and dashes belong to which source.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpusmill.pipelines.report.charts import FIRST, INK, SECOND, THIRD, WIDTH, draw
from corpusmill.pipelines.report.curves import Curves
from corpusmill.pipelines.report.heat import Level, draw_heat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = [(colour, dashes) for dashes in ("solid", "dashed") for colour in (FIRST, SECOND, THIRD, INK)]
"""Styles of lines; a chart has no more lines than this."""
LOG_FROM = 30
"""A highest value of so many times the lowest is shown on a logarithmic axis."""
MAP_COLUMNS = 120
VIOLATIONS = [
    Level(0.1, FIRST, 0.04, "under 0.1"),
    Level(0.2, FIRST, 0.16, "to 0.2"),
    Level(0.5, FIRST, 0.32, "to 0.5"),
    Level(1.0, FIRST, 0.52, "to 1"),
    Level(2.0, FIRST, 0.74, "to 2"),
    Level(np.inf, FIRST, 1.0, "more"),
]
LOADS = [
    Level(0.25, SECOND, 0.9, "under ¼"),
    Level(0.5, SECOND, 0.55, "to ½"),
    Level(0.8, SECOND, 0.25, "to 0.8"),
    Level(1.25, FIRST, 0.05, "even, 0.8 to 1.25"),
    Level(2.0, FIRST, 0.3, "to 2"),
    Level(4.0, FIRST, 0.6, "to 4"),
    Level(np.inf, FIRST, 1.0, "more times even"),
]


def loss_chart(name: str, curves: Curves, unigram: float | None, spikes: Sequence[int]) -> str:
    """Training losses, those on held-back text, the unigram entropy that a model has to get below, and the steps of
    spikes."""
    steps, losses = curves.columns["step"], curves.columns["loss"]
    marked = np.unique(spikes)

    def plot(axes: "Axes") -> None:
        axes.plot(steps, losses, **_line(losses, FIRST), label="training")
        mtp = curves.columns["mtp_loss"]
        if np.nan_to_num(mtp).any():
            axes.plot(steps, mtp, **_line(mtp, THIRD), linewidth=1.0, label="tokens further ahead (MTP)")
        looks = {
            "validation_loss": (SECOND, "held back"),
            "average_validation_loss": (INK, "held back, moving average"),
        }
        for kind, (measured_at, values) in curves.validation.items():
            colour, label = looks[kind]
            axes.plot(measured_at, values, "o-", markersize=_dot(values), linewidth=0.8, color=colour, label=label)
        if unigram is not None:
            axes.axhline(unigram, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="unigram entropy (held back)")
        if len(marked):
            from matplotlib.transforms import ScaledTranslation

            assert axes.figure is not None
            above = axes.transData + ScaledTranslation(0, 9 / 72, axes.figure.dpi_scale_trans)
            look: dict[str, Any] = {
                "transform": above,
                "color": SECOND,
                "markeredgecolor": INK,
                "label": "spike, not trained on",
            }
            axes.plot(marked, np.interp(marked, steps, losses), "v", markersize=7, **look)
        axes.set_ylabel("nats per token")
        _over_steps(axes)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)

    said = f"Training loss, {_span(losses, '.3f')} nats per token, over steps {steps[0]:,.0f} to {steps[-1]:,.0f}"
    if "validation_loss" in curves.validation:
        said += f"; on held-back text {_span(curves.validation['validation_loss'][1], '.3f')}"
    if len(marked):
        said += f"; spikes at {len(marked)} {'step' if len(marked) == 1 else 'steps'}"
    return draw(name, plot, height=3.6, says=said)


def source_chart(name: str, by_source: Sequence[tuple[np.ndarray, np.ndarray]]) -> str:
    """Bits per byte over steps, a line for each source in the order of STYLES."""

    def plot(axes: "Axes") -> None:
        for (colour, dashes), (steps, bits) in zip(STYLES, by_source, strict=False):
            axes.plot(steps, bits, "o", linestyle=dashes, markersize=_dot(bits), color=colour)
        _over_steps(axes)
        axes.set_ylabel("bits per byte")

    return draw(name, plot, says=f"Bits per byte of held-back text over steps, for {len(by_source)} sources")


def line_chart(
    name: str, title: str, steps: np.ndarray, values: np.ndarray, percent: bool = False, wide: bool = False
) -> str:
    """One value over the steps, half as wide as the page, from 0.

    Args:
        name: of the chart.
        title: what the values are.
        steps, values: of equal length; at least one value is known and not 0.
        percent: whether values are shares.
        wide: whether they may span orders of magnitude: then the axis is logarithmic where they do.
    """

    def plot(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

        axes.plot(steps, values, **_line(values, FIRST))
        known = values[~np.isnan(values)]
        if wide and known.min() > 0 and known.max() > LOG_FROM * known.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_ylim(0, 1.08 * known.max())
            axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            if percent:
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
            elif known.max() >= 1000:
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        _over_steps(axes, 6)

    return draw(name, plot, width=WIDTH / 2, height=2.4, says=f"{title}, {_span(values)}")


def fp8_chart(name: str, end: str, steps: np.ndarray, shares: np.ndarray) -> str:
    """Shares of values that FP8 saturates or flushes over the steps, a line for each kind in the order of STYLES."""

    def plot(axes: "Axes") -> None:
        from matplotlib.ticker import FuncFormatter

        for (colour, dashes), values in zip(STYLES, shares.T, strict=False):
            axes.plot(steps, values, "o", linestyle=dashes, markersize=_dot(values), color=colour)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
        _over_steps(axes, 6)

    highest = np.nanmax(shares) if _any_known(shares) else 0.0
    said = f"Values that FP8 has {end} over steps {steps[0]:,.0f} to {steps[-1]:,.0f}, at most {100 * highest:.3g}%"
    return draw(name, plot, width=WIDTH / 2, height=2.4, says=said)


def _any_known(values: np.ndarray) -> bool:
    return bool((~np.isnan(values)).any())


def violation_map(name: str, curves: Curves, routers: Sequence[str]) -> str:
    """How far each router's busiest expert was above an even load, over the steps."""
    groups = -(-len(curves.violations) // MAP_COLUMNS)
    starts = np.arange(0, len(curves.violations), groups)
    steps = curves.columns["step"]
    known = ~np.isnan(curves.violations)
    counts = np.add.reduceat(known.astype(np.int64), starts)
    sums = np.add.reduceat(np.where(known, curves.violations, 0.0), starts)
    table = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    edges = np.append(steps[starts], steps[-1] + curves.steps_per_point) - curves.steps_per_point / 2

    def plot(axes: "Axes") -> None:
        draw_heat(axes, table.T, edges, VIOLATIONS, routers)
        _over_steps(axes)
        axes.set_ylabel("layer")

    said = f"Excess load of the busiest expert of {len(routers)} routers over the steps; at the end"
    return draw(name, plot, height=_height(len(routers)), says=f"{said} {np.nanmax(table[-1]):.2f} at most")


def load_map(name: str, shares: np.ndarray, routers: Sequence[str]) -> str:
    """Each expert's load in multiples of an even one, at one step."""
    relative = shares * shares.shape[1]

    def plot(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        draw_heat(axes, relative, np.arange(shares.shape[1] + 1) - 0.5, LOADS, routers)
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.set_xlabel(f"expert; an even load is 1 of {shares.shape[1]:,} of the router's choices")
        axes.set_ylabel("layer")

    said = f"Load of each of {shares.shape[1]} experts of {len(routers)} routers, in multiples of an even load: from"
    return draw(name, plot, height=_height(len(routers)), says=f"{said} {relative.min():.2f} to {relative.max():.2f}")


def _over_steps(axes: "Axes", most: int = 10) -> None:
    """A horizontal axis of steps, with at most so many numbers on it."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("step")


def _height(rows: int) -> float:
    """Inches of a map with so many rows."""
    return min(1.3 + 0.2 * rows, 6.0)


def _line(values: np.ndarray, colour: str) -> dict[str, Any]:
    """How a line is drawn; a single point would be none, so it is a dot."""
    return {"color": colour, "marker": "o" if (~np.isnan(values)).sum() == 1 else ""}


def _dot(values: np.ndarray) -> float:
    """Size of the dots of measurements: they become a line where there are many."""
    return 4.5 if len(values) <= 40 else 2.0 if len(values) <= 120 else 0.0


def _span(values: np.ndarray, form: str | None = None) -> str:
    """The first and the last value, in words; with three digits where no form is given."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "not known"
    first, last = (f"{value:{form or (',.0f' if abs(value) >= 1000 else '.3g')}}" for value in (known[0], known[-1]))
    return f"from {first} to {last}"
