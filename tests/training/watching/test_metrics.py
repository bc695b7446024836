"""A run's log files: appended to, cut back, and read from their end."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from corpusmill.training.watching import metrics
from corpusmill.training.watching.metrics import MetricsLog, cut_after, last_line, last_lines, live_words, read_metrics

LINES = [{"step": step, "expert_loads": [[0.125] * (step * 7 % 23)]} for step in range(1, 41)]


@pytest.fixture(params=[1, 7, 64, 1 << 16])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read backwards in blocks of so many bytes: less than a line, or more than a file."""
    monkeypatch.setattr(metrics, "_BLOCK", request.param)


def write(path: Path, lines: list[dict[str, Any]], rest: str = "") -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + rest)


@pytest.mark.usefixtures("block")
def test_the_last_lines_are_those_at_the_end_of_the_whole_file(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    for rest in ("", '{"step": 41, "lo'):
        write(path, LINES, rest)
        for count in (1, 3, 40, 99):
            assert last_lines(path, count) == LINES[-count:]
        assert last_line(path) == LINES[-1]


@pytest.mark.usefixtures("block")
def test_cutting_back_leaves_the_bytes_of_the_lines_before(tmp_path: Path):
    path, expected = tmp_path / "log.jsonl", tmp_path / "expected.jsonl"
    for step in (0, 1, 17, 39, 40, 99):
        for rest in ("", '{"step": 41', "{"):
            write(path, LINES, rest)
            write(expected, LINES[:step])
            cut_after(path, step)
            assert path.read_bytes() == expected.read_bytes()


@pytest.mark.usefixtures("block")
def test_files_without_a_whole_line_have_no_last_one(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    assert last_line(path) is None
    for text in ("", '{"step": 1'):
        path.write_text(text)
        assert last_lines(path, 3) == []
    cut_after(path, 5)
    assert path.read_bytes() == b""


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "_BLOCK", 64)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"no JSON\n" * 10_000 + b'{"step": 9}\n' * 10)
    parsed = []
    monkeypatch.setattr(metrics, "_parsed", lambda line: parsed.append(line) or {"step": 9})
    assert last_lines(path, 4) == [{"step": 9}] * 4
    assert len(parsed) == 4
    cut_after(path, 9)  # would raise at a line that is no JSON
    assert path.read_bytes().endswith(b'{"step": 9}\n' * 10)


class Events:
    """Remembers what an event writer is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def cut_back(self, step: int) -> None:
        self.told.append(("cut back", step))

    def write(self, line: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        self.told.append((line["step"], timing["seconds"]))

    def close(self) -> None:
        self.told.append("closed")


def test_a_resumed_log_is_that_of_one_run(tmp_path: Path):
    """Ten steps, then on after step 6, back to step 8 while open, and to step 12; the event writer hears of each."""
    events = Events()
    for begin, parts in ((0, [(0, 10)]), (6, [(6, 11), (8, 12)])):
        log = MetricsLog(tmp_path / "run", tmp_path / "state", begin, events)  # type: ignore[arg-type]
        for after, last in parts:
            if after != begin:
                log.cut_back(after)
            for step in range(after + 1, last + 1):
                log.write({"step": step, "loss": step / 3}, {"step": step, "seconds": 1.0})
        log.sync()
        log.close()
    assert read_metrics(tmp_path / "run/metrics.jsonl") == [{"step": s, "loss": s / 3} for s in range(1, 13)]
    assert read_metrics(tmp_path / "state/timing.jsonl") == [{"step": s, "seconds": 1.0} for s in range(1, 13)]
    assert [event for event in events.told if event[0] == "cut back"] == [("cut back", n) for n in (0, 6, 8)]
    assert events.told.count("closed") == 2
    assert (12, 1.0) in events.told


def test_the_live_words_say_how_far_and_how_long():
    line = {
        "step": 120,
        "loss": 4.3123,
        "learning_rate": 1e-3,
        "gradient_norm": 0.8,
        "expert_max_violation": 0.31,
        "expert_violations": [0.31, 0.1],
    }
    timing = {"seconds": 1.7, "tokens_per_second": 1937.0, "mfu": None}
    assert live_words(line, timing, 300) == [
        *("step 120 of 300", "5 min left", "loss 4.312", "1.9k tokens/s", "learning rate 1.0e-3", "gradient norm 0.80"),
        "busiest expert 1.3 times the average",
    ]
    done = ["step 300 of 300", "loss 2.000", "1.9k tokens/s"]
    assert live_words({"step": 300, "loss": 2.0}, timing, 300) == done, "no time left at the end"
    assert live_words({"step": 1}, None, 240_000) == ["step 1 of 240,000"]
    measured = {"step": 2, "loss": 3.0, "validation_loss": 3.25, "learning_rate": 2.2e-10, "expert_violations": []}
    fast = {"seconds": 0.5, "tokens_per_second": 1_234_567, "mfu": 0.4321}
    assert live_words(measured, fast, 3) == [
        *("step 2 of 3", "1 s left", "loss 3.000", "1.2M tokens/s", "held-back loss 3.250", "MFU 43.2%"),
        "learning rate 2.2e-10",
    ]


def test_rates_and_times_are_rounded_to_what_can_be_read_at_a_glance():
    rates = {870.4: "870", 999.7: "1.0k", 9_940: "9.9k", 9_960: "10k", 999_600: "1.0M", 2.5e9: "2.5G"}
    for rate, said in rates.items():
        assert live_words({"step": 1}, {"tokens_per_second": rate}, 2)[-1] == f"{said} tokens/s"
    for seconds, said in {
        0.2: "1 s",
        89: "89 s",
        100: "2 min",
        5_340: "89 min",
        5_500: "2 h",
        172_800: "2 days",
    }.items():
        assert live_words({"step": 1}, {"seconds": seconds}, 2)[-1] == f"{said} left"
