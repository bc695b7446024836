"""The training loop: shards to weights, in one process or many, reproducible and resumable bit for bit.

    <output>/plan.json          the order of sequences: which rows each step read (`training/order/sequence_order.py`)
    <output>/metrics.jsonl      one line a step, deterministic
    <output>/spikes.jsonl       loss spikes, and what was done about each (`training/watching/spikes.py`)
    <output>/checkpoints/       what a killed run resumes from (`training/checkpoint/checkpoints.py`)
    <output>/…                  what a finished run leaves (`training/results.py`)
    <state>/timing.jsonl        seconds a step; differs from run to run, so it lies elsewhere
    <state>/exchange.json       with expert ranks: the size of chunks that was chosen and why, and what rank 0 sent

Running again in the same output folder resumes from its last checkpoint; a finished run only rewrites its results.
On the same machine with as many threads and ranks, 20 steps equal 10, a kill, and 10 more, bit for bit.
Every rank runs this loop; only rank 0 writes what they have in common.

Memory, in FP32 on one rank: 16 bytes a parameter (weights, gradients, two moments), one micro-batch's activations, and
while a checkpoint is written, its snapshot, 12 bytes a parameter. `training/model/memory.py` covers other layouts.
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.stopping import begin_grace, end_grace
from corpusmill.dataproc.storage import commit_bytes
from corpusmill.training.loader.shard_cache import usual_cache
from corpusmill.training.loader.shard_loader import held_back
from corpusmill.training.parallel.ranks import ALONE, Ranks
from corpusmill.training.results import write_results
from corpusmill.training.run import Run, reproducible
from corpusmill.training.settings import TrainSettings
from corpusmill.training.watching.evaluation import Evaluation, evaluate
from corpusmill.training.watching.metrics import MetricsLog
from corpusmill.training.watching.throughput import Throughput, memory_bytes

PLAN_FILE = "plan.json"
EXCHANGE_FILE = "exchange.json"


def train(
    settings: TrainSettings,
    state_folder: str | Path,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    token_bytes: np.ndarray | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Trains to the end, from the last checkpoint where there is one. All ranks call it alike.

    Args:
        settings: the run.
        state_folder: where `timing.jsonl` goes.
        on_step: called on rank 0 after each step with its metrics and times, and `steps`, how many there will be.
        token_bytes: bytes of each token id's text (int [V]), for the validation loss in bits per byte as well.
        ranks: this process among those of the run.

    Returns:
        What `summary.json` holds; nothing on ranks other than 0.
    """
    with reproducible(settings.threads, settings.seed, ranks.rank):
        loop = _Loop(settings, Path(state_folder), token_bytes, ranks)
        try:
            with _asked_by_signal(loop.run):
                while loop.run.steps_done < settings.steps:
                    line = loop.advance()
                    if on_step is not None and ranks.leads:
                        on_step(line)
        finally:
            loop.close()
        return loop.finish()


@contextmanager
def _asked_by_signal(run: Run) -> Iterator[None]:
    """SIGTERM, by which schedulers announce that a machine is taken away, lets the run save and stop after its step, if
    that takes no longer than it may (`dataproc/stopping.py`); a second signal does not wait.

    In a thread other than the main one signals cannot be caught, and nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if run.asked_to_stop:
            raise KeyboardInterrupt
        run.asked_to_stop = True
        begin_grace()

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        end_grace()
        signal.signal(signal.SIGTERM, before)


class _Loop:
    """A run with what goes on around its steps: measurements, logs and checkpoints."""

    def __init__(
        self, settings: TrainSettings, state_folder: Path, token_bytes: np.ndarray | None, ranks: Ranks
    ) -> None:
        self.settings, self.token_bytes = settings, token_bytes
        self.output, self.state_folder = Path(settings.output), state_folder
        self.run = Run(settings, ranks)
        self.ranks = ranks = self.run.ranks
        self.validation = held_back(settings.shards, usual_cache(settings.shards))
        self.throughput = Throughput(
            self.run.config, self.run.length, ranks.device, settings.peak_teraflops, ranks.world_size
        )
        self.log: MetricsLog | None = None
        if ranks.leads:
            commit_bytes(str(self.output / PLAN_FILE), self.run.loader.sequence_order.to_json().encode())
            self.log = MetricsLog(self.output, state_folder, self.run.steps_done, tensorboard=settings.tensorboard)

    def advance(self) -> dict[str, Any]:
        """One step, with the measurement, the log lines and the checkpoint that fall due after it."""
        run, settings = self.run, self.settings
        before = run.steps_done
        started = time.perf_counter()
        metrics = run.step()
        seconds = time.perf_counter() - started
        if self.log is not None and run.steps_done != before + 1:
            self.log.cut_back(run.steps_done - 1)  # the run went back to a checkpoint
        last = run.steps_done == settings.steps
        if run.measures_after(run.steps_done):
            metrics |= self._measure()
            spent = {"evaluation_seconds": time.perf_counter() - started - seconds}
        else:
            del metrics["expert_loads"]  # too much for every line
            spent = {}
        timing = {
            "step": run.steps_done,
            "seconds": seconds,
            **self.throughput.of(run.tokens_of_step, seconds),
            **spent,
            "memory_bytes": memory_bytes(self.ranks.device),
        }
        if self.log is not None:
            self.log.write(metrics, timing)
        stopping = run.stopping and not last
        if last or stopping or run.steps_done % settings.checkpoint_every == 0:
            if self.log is not None:
                self.log.sync()
            run.save()
        if stopping:
            run.checkpoints.wait()
            what = f"stopped by SIGTERM after step {run.steps_done}, which is saved"
            raise UserError(what, where=settings.output, hint="run again to go on from there")
        return {**metrics, **timing, "steps": settings.steps}

    def _measure(self) -> dict[str, Any]:
        """Losses on held-back sequences, of the weights and, if asked for, of their moving average."""
        if self.validation is None:
            return {}
        measured = _named(self._evaluate(), "")
        if self.settings.evaluate_average:
            assert self.run.average is not None
            with self.run.average.applied(self.run.weights):
                measured |= _named(self._evaluate(), "average_")
        return measured

    def _evaluate(self) -> Evaluation:
        assert self.validation is not None
        return evaluate(
            self.run.model,
            self.validation,
            self.settings.evaluation_sequences,
            self.settings.micro_batch,
            self.settings.document_mask,
            self.token_bytes,
            self.ranks,
        )

    def close(self) -> None:
        """Ends what runs beside the loop, even after an error: a checkpoint that was begun is finished."""
        if self.log is not None:
            self.log.close()
            if record := self.run.placement.record():
                (self.state_folder / EXCHANGE_FILE).write_text(json.dumps(record, indent=2) + "\n")
        self.run.checkpoints.wait()

    def finish(self) -> dict[str, Any]:
        """The results; all ranks wait until they are written."""
        summary = write_results(self.run, self.validation, self.output) if self.ranks.leads else {}
        self.ranks.barrier()
        return summary


def _named(evaluation: Evaluation, prefix: str) -> dict[str, Any]:
    """An evaluation as fields of a metrics line."""
    named: dict[str, Any] = {f"{prefix}validation_loss": evaluation.loss}
    if evaluation.bits_per_byte is not None:
        named[f"{prefix}validation_bits_per_byte"] = evaluation.bits_per_byte
        named[f"{prefix}validation_by_source"] = evaluation.by_source
    return named
