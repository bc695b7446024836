"""The report on training runs: curves that agree with the lines written, and charts that hold what there is."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from corpusmill.pipelines.report import write_report
from corpusmill.pipelines.report.charts import FIRST, SECOND, draw
from corpusmill.pipelines.report.curves import MOST_POINTS, MOST_SPIKES, read_curves, read_spikes
from corpusmill.pipelines.report.heat import Level, draw_heat
from corpusmill.training.watching.throughput import MFU_CONVENTION
from tests.pipelines.small_run import write_manifest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

FACTS = {
    "parameters": {"total": 12345}, "preset": "laptop", "steps": 30, "tokens": 1000, "epochs": 0.5,
    "gigaflops_per_token": 0.1, "train_loss": 5.0, "validation_loss": 4.5, "unigram_loss": 6.5,
    "validation_bits_per_byte": 2.0,
}  # fmt: skip


def step_line(step: int, **more: Any) -> dict[str, Any]:
    return {
        "step": step, "loss": 9 - step / 10, "mtp_loss": 9.5 - step / 10, "learning_rate": 1e-3, "gradient_norm": 1.0,
        "batch_sequences": 8, "expert_max_violation": 0.5, "expert_violations": [0.5, step / 100, 0.0],
    } | more  # fmt: skip


def write_lines(path: Path, lines: list[dict[str, Any]], rest: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + rest)


def make_model(folder: Path, lines: list[dict[str, Any]], times: list[dict[str, Any]] | None = None) -> Path:
    write_lines(folder / "metrics.jsonl", lines)
    if times:
        write_lines(folder / "_state/timing.jsonl", times)
    counts = {"steps": len(lines), "tokens": 1000, "sequences": 80}
    write_manifest(folder, "train", inputs={}, settings={}, counts=counts, parts=[], files=[], facts=FACTS)
    return folder


def page_of(tmp_path: Path, *models: Path) -> str:
    return Path(write_report(str(tmp_path), "run", [(model.name, str(model)) for model in models])).read_text()


def charts_of(page: str) -> list[str]:
    charts = re.findall(r'<svg class="chart.*?</svg>', page, re.DOTALL)
    for chart in charts:
        ElementTree.fromstring(chart)
        assert "mathdefault" not in chart and "nan" not in chart.lower() and "style=" not in chart
    return [re.findall(r'aria-label="([^"]*)"', chart)[0] for chart in charts]


def test_points_are_means_of_the_lines_they_stand_for(tmp_path: Path):
    """Against numpy over all lines at once, with a measurement every 7 steps and three steps a point."""
    steps = 2 * MOST_POINTS + 5
    draw_number = np.random.default_rng(0)
    losses, violations = draw_number.random(steps), draw_number.random((steps, 2))
    lines = [
        {"step": at + 1, "loss": losses[at], "expert_violations": violations[at].tolist()}
        | ({"validation_loss": at / 2, "validation_by_source": {"web": at / 4}} if at % 7 == 0 else {})
        for at in range(steps)
    ]
    write_lines(tmp_path / "metrics.jsonl", lines, '{"step": 99999, "lo')
    write_lines(tmp_path / "_state/timing.jsonl", [{"step": at + 1, "mfu": at / 10} for at in range(5)])
    curves = read_curves(str(tmp_path))
    assert curves is not None and curves.steps_per_point == 3
    starts = range(0, steps, 3)
    np.testing.assert_allclose(curves.columns["loss"], [losses[at : at + 3].mean() for at in starts])
    np.testing.assert_allclose(curves.columns["step"], [np.arange(1, steps + 1)[at : at + 3].mean() for at in starts])
    np.testing.assert_allclose(curves.violations, [violations[at : at + 3].mean(0) for at in starts])
    measured = np.arange(0, steps, 7)
    np.testing.assert_allclose(curves.validation["validation_loss"], [measured + 1, measured / 2])
    np.testing.assert_allclose(curves.by_source["web"], [measured + 1, measured / 4])
    np.testing.assert_allclose(curves.times["mfu"], np.arange(5) / 10)
    assert np.isnan(curves.columns["gradient_norm"]).all() and np.isnan(curves.times["seconds"]).all()
    assert curves.loads is None and "average_validation_loss" not in curves.validation


def test_loads_are_those_of_the_last_step_that_has_them(tmp_path: Path):
    lines = [step_line(step) for step in range(1, 30)]
    lines[9]["expert_loads"] = [[0.5, 0.5]]
    lines[19]["expert_loads"] = [[0.25, 0.75]]
    write_lines(tmp_path / "metrics.jsonl", lines)
    curves = read_curves(str(tmp_path))
    assert curves is not None and curves.loads is not None
    assert (curves.loads[0], curves.loads[1].tolist()) == (20, [[0.25, 0.75]])


def test_spikes_are_counted_beyond_those_that_are_kept(tmp_path: Path):
    assert read_spikes(str(tmp_path)) == ([], 0)
    line = {"loss": None, "why": "not finite", "done": "skipped", "sequences": [{"row": 1}]}
    write_lines(tmp_path / "spikes.jsonl", [{"step": step} | line for step in range(1, MOST_SPIKES + 4)])
    kept, count = read_spikes(str(tmp_path))
    assert (len(kept), count) == (MOST_SPIKES, MOST_SPIKES + 3)
    assert kept[1] == {"step": 2, "loss": None, "why": "not finite", "done": "skipped"}


def test_a_run_with_everything_shows_everything(tmp_path: Path):
    hostile = "web<b>\u202e"
    lines = [step_line(step, batch_sequences=8 + step) for step in range(1, 31)]
    for at in (9, 29):
        lines[at] |= {
            "validation_loss": 8 - at / 10, "average_validation_loss": 7.9 - at / 10,
            "validation_by_source": {hostile: 2.5 - at / 100, "books": 1.5}, "expert_loads": [[0.125, 0.875]] * 3,
            "average_validation_by_source": {hostile: 2.25, "books": 1.25},
        }  # fmt: skip
    times = [
        {"step": step, "seconds": 2.0, "tokens_per_second": 4096.0, "mfu": 0.4, "memory_bytes": 3 << 30}
        for step in range(1, 31)
    ]
    model = make_model(tmp_path / "model", lines, times)
    write_lines(model / "spikes.jsonl", [{"step": 12, "loss": None, "why": "loss <i>", "done": "rolled back"}])
    (model / "config.json").write_text(json.dumps({"model": {"n_dense_layers": 1, "n_layers": 3}}))
    page = page_of(tmp_path, model)
    assert charts_of(page) == [
        "Training loss, from 8.900 to 6.000 nats per token, over steps 1 to 30; on held-back text from 7.100 to 5.100; "
        "spikes at 1 step",
        "Learning rate, from 0.001 to 0.001",
        "Sequences a step, from 9 to 38",
        "Gradient norm, from 1 to 1",
        "Tokens per second, from 4,096 to 4,096",
        "MFU, from 0.4 to 0.4",
        "Excess load of the busiest expert, from 0.5 to 0.5",
        "Bits per byte of held-back text over steps, for 2 sources",
        "Excess load of the busiest expert of 3 routers over the steps; at the end 0.50 at most",
        "Load of each of 2 experts of 3 routers, in multiples of an even load: from 0.25 to 1.75",
    ]
    assert MFU_CONVENTION in unescape(page)
    for text in ("web&lt;b&gt;\\u202e", "loss &lt;i&gt;", "not finite", "rolled back", ">MTP 0<", "3.00 GiB", "40.0%"):
        assert text in page
    assert '<td dir="auto">4,096</td>' in page
    row = re.search(r"web&lt;b&gt;\S*</bdi></th>(.*)</tr>", page)
    assert row is not None and re.findall(r">([\d.]+)<", row[1]) == ["2.410", "2.210", "2.250"]
    assert "\u202e" not in page


def test_what_a_run_has_not_leaves_no_empty_charts(tmp_path: Path):
    plain = make_model(tmp_path / "plain", [{"step": 1, "loss": 3.0, "learning_rate": 1e-3, "gradient_norm": 0.0}])
    page = page_of(tmp_path, plain)
    labels = charts_of(page)
    assert labels == [
        "Training loss, from 3.000 to 3.000 nats per token, over steps 1 to 1",
        "Learning rate, from 0.001 to 0.001",
    ]
    assert MFU_CONVENTION not in unescape(page) and "Spikes" not in page


def test_two_runs_on_one_page_share_no_ids(tmp_path: Path):
    models = [make_model(tmp_path / name, [step_line(step) for step in range(1, 9)]) for name in ("short", "long")]
    page = page_of(tmp_path, *models)
    assert len(charts_of(page)) == 10
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_a_heat_map_covers_each_cell_once_in_its_levels_colour():
    """The area of each level's shape, in cells, is the number of cells that a plain count gives it."""
    table = np.array([[0.0, 0.5, 0.5, 3.0], [1.0, 1.0, np.nan, 0.2], [3.0, 3.0, 3.0, 3.0]])
    levels = [Level(0.3, FIRST, 0.1, "low"), Level(1.0, FIRST, 0.5, "middle"), Level(np.inf, SECOND, 1.0, "high")]
    areas = {}

    def plot(axes: Any) -> None:
        draw_heat(axes, table, np.arange(5.0), levels, ["a", "b", "c"])
        for patch in axes.patches:
            corners = patch.get_path().vertices.reshape(-1, 5, 2)
            sides = corners[:, 2] - corners[:, 0]
            areas[patch.get_alpha()] = float(np.abs(sides.prod(1)).sum())
            for (left, top), (right, bottom) in zip(corners[:, 0], corners[:, 2], strict=True):
                inside = table[int(top) : int(bottom), int(left) : int(right)]
                low = {0.1: -np.inf, 0.5: 0.3, 1.0: 1.0}[patch.get_alpha()]
                assert ((inside >= low) & (inside < {0.1: 0.3, 0.5: 1.0, 1.0: np.inf}[patch.get_alpha()])).all()

    chart = draw("heat", plot)
    assert areas == {0.1: 2.0, 0.5: 2.0, 1.0: 7.0}
    for label in ("low", "middle", "high", ">a<"):
        assert label in chart


def test_what_the_model_writes_is_text_and_nothing_else(tmp_path: Path):
    model = make_model(tmp_path / "model", [step_line(step) for step in range(1, 4)])
    assert "What it writes" not in page_of(tmp_path, model)
    samples = [{"prompt": "def <b>", "completion": "\x1b[2J\u202e" + "x" * 900, "log_probability": -1.0}]
    (model / "samples.json").write_text(json.dumps(samples))
    counts = {"steps": 3, "tokens": 1000, "sequences": 80}
    files = [{"path": "samples.json", "bytes": 1, "digest": ""}]
    write_manifest(model, "train", inputs={}, settings={}, counts=counts, parts=[], files=files, facts=FACTS)
    page = page_of(tmp_path, model)
    assert "def &lt;b&gt;" in page and "␛[2J\\u202e" in page and "more characters)" in page


def test_a_run_by_rewards_shows_curves_and_completions(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "rewarded"
    rewards = {"reward": 0.1, "kl_divergence": 0.01, "completion_tokens": 3.0, "gradient_norm": 1.0}
    lines: list[dict[str, Any]] = [{"step": 0, "held_back_reward": 0.1, "held_back_greedy_reward": 0.0}]
    lines += [{"step": step, **rewards, "reward": step / 900, "groups_without_signal": 0.5} for step in range(1, 901)]
    lines[-1] |= {"held_back_reward": 0.9, "held_back_greedy_reward": 1.0}
    write_lines(folder / "metrics.jsonl", lines)
    (folder / "rollouts").mkdir()
    names = [f"rollouts/step-{step:06d}.parquet" for step in (1, 450, 900)]
    for name in names:
        row = {"prompt": "1+1=", "completion": f"<i>{name[9:20]}", "answer": None, "reward": 0.5, "sample": 0}
        pq.write_table(pa.Table.from_pylist([row, row | {"sample": 1}]), folder / name)
    facts = {"steps": 900, "completions": 1800, "prompts": 7, "reward_first": 0.0, "reward_last": 1.0}
    facts |= {"sampling_difference_most": 2e-5, "held_back_reward": 0.9, "held_back_reward_before": 0.1}
    facts |= {"held_back_greedy_reward": 1.0, "held_back_greedy_reward_before": 0.0}
    files = [{"path": name, "bytes": 1, "digest": ""} for name in names]
    settings = {"rewards": ["exact"]}
    counts = {"steps": 900, "completions": 1800, "prompts": 7}
    write_manifest(folder, "grpo", inputs={}, settings=settings, counts=counts, parts=[], files=files, facts=facts)
    page = page_of(tmp_path, folder)
    assert charts_of(page)[0].startswith("Reward from 0.002 to 0.999 over")
    assert page.count("&lt;i&gt;step-000001") == 1 and page.count("&lt;i&gt;step-000900") == 1
    assert "step-000450" not in page and "2.0e-05 nats apart at most" in page
