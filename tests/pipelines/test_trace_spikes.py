"""`corpusmill inspect trace --spike N`, as it is typed: from what the trainer noted down to documents."""

import json
import sys
from collections.abc import Callable
from math import nan
from pathlib import Path

import pytest

from corpusmill.dataproc import storage
from corpusmill.dataproc.sequences.shards import shard_entries
from corpusmill.pipelines.cli.main import main
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.order.sequence_order import SequenceOrder
from corpusmill.training.watching.spikes import ROLLED_BACK, SKIPPED, STOPPED, SpikeLog, spike_of
from tests.pipelines.small_run import LENGTH, add_shards, write_manifest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Shards of two sequences, and the folder of a run over them in which three steps were spikes."""
    folder = tmp_path / "run"
    (folder / "unique").mkdir(parents=True)
    write_manifest(folder / "unique", "dedup", inputs={}, settings={}, counts={}, parts=[], files=[], facts={})
    shards, model = add_shards(folder), folder / "model"
    model.mkdir()
    order = SequenceOrder.of_entries(shard_entries(str(shards)), LENGTH, seed=7)
    (model / "plan.json").write_text(order.to_json())
    digest = storage.digest_file(str(shards / "_manifest.json"))
    inputs = {"shards": {"manifest": digest}}
    write_manifest(
        model, "train", inputs=inputs, settings={"shards": "shards"}, counts={}, parts=[], files=[], facts={}
    )
    log, rows = SpikeLog(model, 0), order.rows(6, 2).tolist()
    spikes = [
        {"losses": [(rows[1], 9.5), (rows[0], 2.25)], "loss": 6.0, "done": SKIPPED},
        {"losses": [(rows[0], nan), (rows[1], 2.0)], "loss": nan, "done": ROLLED_BACK, "back_to": (1, 2)},
        {"losses": [(rows[0], 3.0)], "loss": 3.0, "done": STOPPED},
    ]
    for spike in spikes:
        log.write(
            spike_of(ShardSet(shards), step=4, norm=1.0, why="the loss is odd", positions=range(6, 8), **spike)  # type: ignore[arg-type]
        )
    return folder


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `corpusmill inspect trace …`; gives (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["corpusmill", "inspect", "trace", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return (code if isinstance(code, int) else 0, *capsys.readouterr())

    return call


def test_the_worst_sequence_of_a_spike_leads_to_its_documents(run: Path, trace: Command) -> None:
    code, out, error = trace(run, "--spike", 1, "--json")
    assert (code, error) == (0, "")
    result = json.loads(out)
    order = SequenceOrder.from_json((run / "model/plan.json").read_text())
    rows = order.rows(6, 2).tolist()
    assert (result["step"], result["positions"]) == (4, [6, 8])
    assert [sequence["number"] for sequence in result["sequences"]] == rows[::-1]
    assert [sequence["position"] for sequence in result["sequences"]] == [7, 6]
    assert [sequence["nats"] for sequence in result["sequences"]] == [9.5, 2.25]
    assert (result["spike"]["done"], result["spike"]["loss"]) == ("skipped", 6.0)
    names = [[segment["document"] for segment in sequence["segments"]] for sequence in result["sequences"]]
    assert sorted(names) == [["good-2"], ["good-3", "good-4"]]
    assert set(result["documents"]) == {"good-2", "good-3", "good-4"}
    only = json.loads(trace(run / "model", "--spike", 1, "-n", 1, "--json")[1])
    assert only["sequences"] == result["sequences"][:1]


def test_it_is_told_what_was_done(run: Path, trace: Command) -> None:
    skipped, back, stopped = (trace(run, "--spike", number)[1] for number in (1, 2, 3))
    assert "spike 1, at step 4: the loss is odd" in skipped
    assert "the step was skipped: positions 6 to 7 were left out" in skipped
    assert "step 4 read 2 sequences, positions 6 to 7\n" in skipped
    assert "row 1, 9.500 nats per token" in skipped or "row 0, 9.500 nats per token" in skipped
    assert "the run was rolled back to step 1: positions 2 to 7 were left out" in back
    assert back.count("nats per token") == 1, "no number where it was not finite"
    assert "the run was stopped\n" in stopped and "left out" not in stopped
    assert "positions 6 to 7, the worst 1 of them here" in stopped


def test_a_spike_that_was_not_is_one_line(run: Path, trace: Command) -> None:
    code, out, error = trace(run, "--spike", 4)
    assert (code, out) == (2, "") and "spikes.jsonl: no spike 4; spikes are 1 to 3" in error
    code, out, error = trace(run, "--spike", 1, "--step", 1)
    assert (code, out) == (2, "") and "only one thing can be traced at a time" in error
    with (run / "model/spikes.jsonl").open("a") as file:
        file.write('{"step": 5}\n{"st')
    assert "no spike 5; spikes are 1 to 4" in trace(run, "--spike", 5)[2]
    assert "line 4 does not describe a spike" in trace(run, "--spike", 4)[2]
    (run / "model/spikes.jsonl").unlink()
    assert "no spike was recorded here; ask for a step with --step" in trace(run, "--spike", 1)[2]
