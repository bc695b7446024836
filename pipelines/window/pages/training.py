"""Training: the curve of the loss, and its steps; a run that is going on can be watched."""

from collections.abc import Sequence
from typing import Any

from corpusmill.pipelines.inspect.steps import STEP_COLUMNS, read_steps, step_cells
from corpusmill.pipelines.window.page import Table, Values, View, page
from corpusmill.pipelines.window.ways import stage_trail

POINTS = 400
ROWS = 24
WIDTH, HEIGHT = 800.0, 200.0


@page("training.html")
def training(view: View) -> Values:
    """The page of a training run."""
    place = view.stage
    steps = read_steps(place.path, POINTS)
    shown = read_steps(place.path, ROWS) if steps else []
    return {
        "title": "Training",
        "trail": stage_trail(view),
        "command": ["inspect", "steps", place.path, "-n", str(ROWS)],
        "columns": STEP_COLUMNS,
        "rows": [step_cells(step) for step in shown],
        "curve": _curve([(step["step"], step["loss"]) for step in steps if step.get("loss") is not None]),
        "held_back": _curve(
            [(step["step"], step["validation_loss"]) for step in steps if step.get("validation_loss") is not None],
            [(step["step"], step["loss"]) for step in steps if step.get("loss") is not None],
        ),
        "table": Table(f"{view.stage_name}-steps", STEP_COLUMNS, [list(step_cells(step)) for step in steps]),
    }


def _curve(points: Sequence[tuple[int, float]], scale: Sequence[tuple[int, float]] = ()) -> dict[str, Any] | None:
    """Points of a polyline, on the scale of other points where they are given; None where there are fewer than two."""
    scale = scale or points
    if len(points) < 2 or len(scale) < 2:
        return None
    first, last = scale[0][0], scale[-1][0]
    values = [value for _, value in (*scale, *points)]
    low, high = min(values), max(values)
    across, up = WIDTH / max(last - first, 1), HEIGHT / ((high - low) or 1.0)
    placed = [f"{(step - first) * across:.1f},{HEIGHT - (value - low) * up:.1f}" for step, value in points]
    return {"points": " ".join(placed), "low": low, "high": high, "first": first, "last": last}
