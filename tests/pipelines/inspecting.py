"""What tests of `corpusmill inspect` share: the command as it is typed, and a run with mixture, shards and model."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from corpusmill.dataproc.sequences.shards import shard_entries
from corpusmill.pipelines.cli.main import main
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.running import run_recipe
from corpusmill.training.order.sequence_order import SequenceOrder
from tests.pipelines.small_run import LENGTH, add_model, add_shards, make_run

Command = Callable[..., tuple[int, str, str]]


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `corpusmill inspect …`; gives (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["corpusmill", "inspect", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return (code if isinstance(code, int) else 0, *capsys.readouterr())

    return run


def lines_of(answer: tuple[int, str, str]) -> list[dict[str, Any]]:
    """JSON lines of a command that went well."""
    code, out, error = answer
    assert (code, error) == (0, "")
    assert out.isascii()
    return [json.loads(line) for line in out.splitlines()]


def make_whole_run(folder: Path) -> Path:
    """The small run with its shards and a model, whose first step read both sequences, and a mixture of two copies
    or three of each document."""
    run = make_run(folder)
    add_shards(run)
    model = add_model(run)
    order = SequenceOrder.of_entries(shard_entries(str(run / "shards")), LENGTH, seed=7)
    (model / "plan.json").write_text(order.to_json())
    lines = [{"step": step, "loss": 3.0, "sequences": 2 * step, "batch_sequences": 2} for step in (1, 2)]
    (model / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    texts = pq.read_table(run / "unique", columns=["text"])["text"].to_pylist()
    total = sum(len(text.encode()) for text in texts) * 5 // 2
    mixed = {"stage": "mixture", "datasets": [str(run / "unique")], "total": total}
    recipe = folder / "mixture.yaml"
    recipe.write_text(yaml.safe_dump({"name": "mixture", "output": str(run), "stages": {"mixed": mixed}}))
    assert run_recipe(load_recipe(str(recipe)), RunOptions(engine="local", workers=1)) == 0
    return run
