"""GRPO's section of the report: rewards, divergence and lengths over the steps, and what was written at both ends.

Cost: one pass over the metrics, and the rollouts of two steps.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.pipelines.html.environment import as_markup
from corpusmill.pipelines.report.charts import FIRST, SECOND, THIRD, draw
from corpusmill.pipelines.report.sections import StageReport
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.report.training_charts import line_chart
from corpusmill.pipelines.visible import excerpt, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 400
SHOWN = 8
CHARACTERS = 400
HELD_BACK = {
    "held_back_reward": (SECOND, "held back"),
    "held_back_greedy_reward": (THIRD, "held back, likeliest tokens"),
}


def grpo_section(stage: StageOutput, place: int) -> dict[str, Any]:
    """What the template shows of a finished run."""
    lines = [json.loads(line) for line in storage.read_bytes(stage.path("metrics.jsonl")).splitlines()]
    steps = [line for line in lines if line["step"]]
    small = [
        ("kl", "KL divergence from the start", "kl_divergence"),
        ("tokens", "Tokens of a completion", "completion_tokens"),
        ("even", "Groups whose rewards are all equal", "groups_without_signal"),
        ("norm", "Gradient norm", "gradient_norm"),
    ]
    charts = []
    for name, title, key in small:
        x, y = _points(steps, key)
        if np.nan_to_num(y).any():
            charts.append((title, as_markup(line_chart(f"{name}{place}", title, x, y, name == "even", name == "norm"))))
    return {
        "heading": "Training by rewards",
        "facts": _facts(stage),
        "rewards": as_markup(reward_chart(f"rewards{place}", lines)),
        "small": charts,
        "samples": _samples(stage),
    }


def reward_chart(name: str, lines: Sequence[dict[str, Any]]) -> str:
    """Rewards of the steps, and those on prompts held back."""
    steps, rewards = _points([line for line in lines if line["step"]], "reward")

    def plot(axes: "Axes") -> None:
        axes.plot(steps, rewards, color=FIRST, linewidth=1.4, label="reward, mean of a step")
        for key, (colour, label) in HELD_BACK.items():
            x, y = _points([line for line in lines if line.get(key) is not None], key)
            if len(x):
                axes.plot(x, y, "o-", markersize=4, linewidth=0.9, color=colour, label=label)
        axes.set_xlabel("step")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)

    return draw(
        name, plot, height=3.6, says=f"Reward from {rewards[0]:.3f} to {rewards[-1]:.3f} over {steps[-1]:.0f} steps"
    )


def _points(lines: Sequence[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of a metric: means of neighbours where there are more than a chart has room for."""
    steps = np.array([line["step"] for line in lines], np.float64)
    values = np.array([np.nan if line.get(key) is None else line[key] for line in lines], np.float64)
    size = -(-len(steps) // MOST_POINTS)
    if size <= 1:
        return steps, values
    cuts = np.arange(0, len(steps), size)
    counts = np.diff(np.append(cuts, len(steps)))
    return np.add.reduceat(steps, cuts) / counts, np.add.reduceat(values, cuts) / counts


def _facts(stage: StageOutput) -> list[tuple[str, str]]:
    facts = stage.facts
    rows = [
        ("rewards", one_line(", ".join(stage.manifest["settings"]["rewards"]))),
        ("steps", f"{facts['steps']:,}"),
        ("completions", f"{facts['completions']:,}"),
        ("prompts", f"{facts['prompts']:,}"),
        ("log-probabilities, sampling against training", f"{facts['sampling_difference_most']:.1e} nats apart at most"),
    ]
    if facts.get("held_back_reward") is not None:
        rows.append(("held-back reward", f"{facts['held_back_reward_before']:.3f} to {facts['held_back_reward']:.3f}"))
    return rows


def _samples(stage: StageOutput) -> list[tuple[str, list[dict[str, Any]]]]:
    """(which step, rows) of the first step and of the last."""
    names = [entry["path"] for entry in stage.manifest["files"] if entry["path"].startswith("rollouts/")]
    chosen = dict.fromkeys([names[0], names[-1]]) if names else {}
    return [(f"step {int(name[-14:-8]):,}", _rows(stage.path(name))) for name in chosen]


def _rows(path: str) -> list[dict[str, Any]]:
    """One completion of each of the first prompts."""
    with storage.open_input(path) as file:
        table = pq.read_table(file, columns=["prompt", "completion", "answer", "reward", "sample"])
    firsts = [row for row in table.to_pylist() if not row["sample"]][:SHOWN]
    return [
        {
            "prompt": excerpt(row["prompt"], CHARACTERS),
            "completion": excerpt(row["completion"], CHARACTERS),
            "answer": "" if row["answer"] is None else excerpt(row["answer"], CHARACTERS),
            "reward": f"{row['reward']:.3g}",
        }
        for row in firsts
    ]


REPORT = StageReport(values=grpo_section, template="corpusmill.pipelines.stages.grpo:section.html")
