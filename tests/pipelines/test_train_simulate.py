"""`corpusmill train --simulate`: what it prints, for people and for programs, and what it refuses."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.simulate import simulate_command
from corpusmill.training.simulate.events import StageTimes, run
from corpusmill.training.simulate.picture import draw
from corpusmill.training.simulate.schedules import SCHEDULES
from tests.pipelines.test_cli import corpusmill

SMALL = {"preset": "h200-small", "batch_sequences": 64, "tokens": 1e9, "as_json": True}


def simulated(capsys: pytest.CaptureFixture[str], layout: str, **values) -> dict:
    simulate_command(layout, **{**SMALL, **values})
    return json.loads(capsys.readouterr().out)


def test_v3s_layout_is_priced_in_a_second_process():
    done = corpusmill(
        "train", "--simulate", "v3-report", "--first-batch-sequences", 3072, "--batch-ramp-tokens", 469 * 10**9
    )
    assert done.returncode == 0, done.stderr
    for said in ("PP16 DualPipe, EP64, DP128", "242,785 for 14.800 T tokens", "a lost node", "$2.00 a GPU-hour"):
        assert said in done.stdout
    assert "\x1b" not in done.stdout


def test_a_search_lists_the_fastest_first(capsys: pytest.CaptureFixture[str]):
    values = simulated(capsys, "h800:gpus=8,micro_batch=1", top=3)
    speeds = [layout["tokens_a_second"] for layout in values["layouts"]]
    assert len(speeds) == 3 and speeds == sorted(speeds, reverse=True)
    assert values["tried"] >= values["fit"] > 3 and values["fewest_gpus"] is None
    best = values["layouts"][0]
    assert best["fits"] and max(best["memory_bytes"]) <= 0.9 * best["device_bytes"]
    assert sum(best["seconds_by_part"].values()) == pytest.approx(best["step_seconds"])
    assert best["steps"] * best["step_tokens"] >= 1e9


def test_prices_are_dollars_by_the_hour(capsys: pytest.CaptureFixture[str]):
    layout = "gpus=8,pipeline=2,expert=4,schedule=1f1b"
    two, five = (simulated(capsys, layout, dollars=dollars)["layouts"][0] for dollars in (2.0, 5.0))
    assert five["dollars"] == pytest.approx(2.5 * two["dollars"])
    assert two["dollars_a_million_tokens"] == pytest.approx(two["dollars"] / two["tokens"] * 1e6)


def test_measured_products_and_a_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    measured, picture = tmp_path / "hopper.json", tmp_path / "schedule.svg"
    measured.write_text(json.dumps({"products": [{"shape": "64 x 64 x 64", "bf16": 100.0, "triton": 150.0}]}))
    layout = "gpus=4,pipeline=4,expert=1,schedule=zb1p"
    usual = simulated(capsys, layout)["layouts"][0]
    slower = simulated(capsys, layout, products=str(measured), picture=str(picture))["layouts"][0]
    assert slower["step_seconds"] > 2 * usual["step_seconds"]
    drawn = ElementTree.fromstring(picture.read_text())
    texts = [element.text or "" for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "rank 3" in texts and any(text.startswith("PP4 ZB1P") for text in texts)
    measured.write_text("[]")
    with pytest.raises(UserError, match="measurements"):
        simulated(capsys, layout, products=str(measured))


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        ("tpu:8", "unknown GPU"),
        ("gpus=8,width=2", "is not a field of a layout"),
        ("gpus=7,pipeline=2", "no layout of 7 GPUs"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], layout: str, says: str):
    with pytest.raises(UserError, match=says):
        simulated(capsys, layout)


def test_a_ramp_needs_both_of_its_numbers(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UserError, match="go together"):
        simulated(capsys, "gpus=8", batch_ramp_tokens=100)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_picture_has_a_box_for_every_half_of_every_action(name: str):
    schedule, times = SCHEDULES[name], StageTimes(1, 2, 1, 1, paired_forward=1, paired_backward=2)
    stages = 4 * schedule.stages_a_rank
    line = run(schedule.programs(4, 10), [times] * stages)
    svg = draw(line, "<a> & b", 10, stages, schedule.copies)
    assert svg == draw(line, "<a> & b", 10, stages, schedule.copies)
    root = ElementTree.fromstring(svg)
    boxes = [box for box in root.iter("{http://www.w3.org/2000/svg}rect") if box.get("stroke")]
    halves = sum(2 if timed.action.kind.value == "FB" else 1 for row in line.ranks for timed in row)
    assert len(boxes) == halves
    width = float(root.get("width") or 0)
    assert all(float(box.get("x")) + float(box.get("width")) <= width for box in boxes)


def test_the_committed_pictures_are_those_that_the_script_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from benchmarks.schedule_pictures import main

    monkeypatch.setattr(sys, "argv", ["schedule_pictures.py", "--output", str(tmp_path)])
    main()
    committed = Path(__file__).parents[2] / "docs" / "schedules"
    for name in SCHEDULES:
        assert (tmp_path / f"{name}.svg").read_text() == (committed / f"{name}.svg").read_text()
