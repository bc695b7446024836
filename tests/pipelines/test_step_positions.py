"""Which positions of its order a step of a run read, by the run's own metrics."""

import json
import tracemalloc
from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.sequences import ordered_rows, step_positions
from corpusmill.training.loader import shard_loader as data
from corpusmill.training.settings import settings_for
from tests.training.shardmaker import write_shard_set


def write_metrics(folder: Path, lines: list[dict[str, int]], end: str = "") -> str:
    text = "".join(json.dumps({"loss": 3.0, **line}) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + end)
    return str(folder)


def test_a_growing_batch_and_data_left_out_are_told_by_the_lines_themselves(tmp_path: Path) -> None:
    run = write_metrics(
        tmp_path,
        [
            {"step": 1, "sequences": 4, "batch_sequences": 4},
            {"step": 2, "sequences": 9, "batch_sequences": 5},
            {"step": 3, "sequences": 20, "batch_sequences": 6},  # 9 to 13 were a spike
            {"step": 4, "sequences": 26, "batch_sequences": 6},
        ],
    )
    assert [step_positions(run, step) for step in range(1, 5)] == [
        range(4),
        range(4, 9),
        range(14, 20),
        range(20, 26),
    ]


def test_lines_without_the_size_of_their_batch_begin_where_the_step_before_ended(tmp_path: Path) -> None:
    lines = [{"step": 1, "sequences": 4}, {"step": 2, "sequences": 8}]
    lines += [{"step": 3, "sequences": 15, "batch_sequences": 5}, {"step": 4, "sequences": 20}]
    run = write_metrics(tmp_path, lines, end='{"step": 5, "seq')
    assert [step_positions(run, step) for step in range(1, 5)] == [
        range(4),
        range(4, 8),
        range(10, 15),
        range(15, 20),
    ]
    for step in (0, 5):
        with pytest.raises(UserError, match=f"no step {step}; steps are 1 to 4"):
            step_positions(run, step)


def test_lines_that_do_not_tell_are_refused(tmp_path: Path) -> None:
    for line in ({"step": 1}, {"step": 1, "batch_sequences": 4}, {"step": 2, "sequences": 4, "batch_sequences": 4}):
        with pytest.raises(UserError, match="do not say which sequences were read"):
            step_positions(write_metrics(tmp_path, [line]), 1)


def test_a_long_file_takes_no_memory(tmp_path: Path) -> None:
    loads = [0.125] * 1000
    with (tmp_path / "metrics.jsonl").open("w") as file:
        for step in range(1, 2001):
            metrics = {"step": step, "sequences": step * 8, "batch_sequences": 8, "expert_loads": loads}
            file.write(json.dumps(metrics) + "\n")
    assert (tmp_path / "metrics.jsonl").stat().st_size > 14_000_000
    tracemalloc.start()
    try:
        assert step_positions(str(tmp_path), 1999) == range(1998 * 8, 1999 * 8)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_rows_at_a_steps_positions_are_those_that_training_read(tmp_path: Path, monkeypatch) -> None:
    from corpusmill.training.trainer import train

    read: list[list[int]] = []
    real = data.ShardLoader.take

    def take(loader: data.ShardLoader, sequences: int) -> list[data.Batch]:
        batches = real(loader, sequences)
        read.append([row for batch in batches for row in batch.rows.tolist()])
        return batches

    monkeypatch.setattr(data.ShardLoader, "take", take)
    settings = settings_for(
        "tiny",
        str(write_shard_set(tmp_path / "shards")),
        str(tmp_path / "run"),
        steps=6,
        batch_sequences=6,
        micro_batch=4,
        first_batch_sequences=2,
        batch_ramp_tokens=18 * 32,
        threads=1,
    )
    train(settings, tmp_path / "state")
    assert [len(rows) for rows in read] == [2, 2, 2, 3, 4, 4]
    for step, rows in enumerate(read, start=1):
        assert ordered_rows(settings.output, step_positions(settings.output, step)) == rows
