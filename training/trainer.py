"""The training loop: shards to weights, in one process, exact to the bit in repetition and in resumption.

    <output>/plan.json          the order of sequences: which rows of the shards a step read (`training/order.py`)
    <output>/metrics.jsonl      one line a step, deterministic
    <output>/checkpoints/       what a killed run goes on from
    <output>/model.safetensors  final weights, config.json, summary.json
    <state>/timing.jsonl        seconds a step; differs from run to run, so it lies elsewhere

Nothing random happens after the weights are drawn, and data order follows from one integer, so a run's whole state is
model, optimiser and three counters. Running again in the same output folder goes on from its last checkpoint; a
finished run only writes its results again. With the same number of threads on the same machine, 20 steps equal 10, a
kill, and 10 more, bit for bit.

A step reads its whole batch first (8 bytes a token), because losses are divided by the batch's token count; then each
micro-batch runs forward and backward. Memory: 16 bytes a parameter (weights, gradients, two moments; FP32) and one
micro-batch's activations.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dataproc.errors import UserError
from dataproc.storage import commit_bytes, commit_file
from training.attention import document_mask
from training.batch import Batch
from training.checkpoint import MODEL_FILE, json_bytes, latest_checkpoint, load_checkpoint, read_state, save_checkpoint
from training.config import ModelConfig, as_dictionary, flops_per_token, parameters, preset
from training.data import ShardLoader, held_back
from training.evaluation import evaluate, unigram_counts, unigram_loss
from training.loss import losses
from training.metrics import METRICS_FILE, MetricsLog, read_metrics
from training.model import build_model, initialise
from training.moe import update_biases
from training.optimizer import clip_gradients, make_optimizer, set_learning_rate
from training.schedule import Schedule, schedule
from training.settings import TrainSettings
from training.shard_set import ShardSet

_FREE_TO_CHANGE = {
    "shards",
    "output",
    "threads",
    "checkpoint_every",
    "keep_checkpoints",
    "evaluate_every",
    "evaluation_sequences",
}
_TOLD_BY_THE_PLAN = {"mixture", "phases"}
_UNIGRAM_SEQUENCES = 65_536
PLAN_FILE = "plan.json"
_FINAL_STEPS = 10


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Torch with this many threads and deterministic algorithms only; puts back what was set before."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Filling every new tensor with NaN finds reads of unset memory; here it would only cost time.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        memory.fill_uninitialized_memory = filled


def model_config(settings: TrainSettings, shards: ShardSet) -> ModelConfig:
    """The preset with its overrides, and the rows that the shards' tokenizer needs."""
    rows = shards.header.model_rows
    config = preset(settings.preset, {"vocab_size": rows, **settings.model})
    if config.vocab_size < rows:
        raise UserError(
            f"the model has {config.vocab_size} vocabulary rows, the shards' tokenizer needs {rows}",
            where=settings.shards,
            mend="leave vocab_size out",
        )
    if shards.sequence_length < config.mtp_depth + 2:
        raise UserError("sequences are too short to predict in", where=settings.shards, mend="pack longer ones")
    return config


class Run:
    """A run in memory: model, optimiser, loader and counters, moved on by `step`.

    Resumes from the newest checkpoint of the output folder where there is one. Raises UserError when that was made
    with other settings or other shards.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.shards = ShardSet(settings.shards)
        if len(self.shards) < settings.batch_sequences:
            raise UserError(
                f"{len(self.shards)} sequences are fewer than a batch of {settings.batch_sequences}",
                where=settings.shards,
                mend="pack more text, or train with a smaller batch",
            )
        if settings.plan is not None:
            wanted = settings.steps * settings.batch_sequences
            settings.plan.check(self.shards.groups, self.shards.sequence_length, wanted)
        self.config = model_config(settings, self.shards)
        self.loader = ShardLoader(self.shards, settings.micro_batch, seed=settings.seed, plan=settings.plan)
        self.model = build_model(self.config)
        self.optimizer = make_optimizer(self.model, settings.weight_decay)
        planned = settings.steps * settings.batch_sequences * self.shards.sequence_length
        self.schedule = Schedule(
            settings.learning_rate,
            settings.final_learning_rate,
            settings.warmup_steps,
            constant_tokens=settings.constant_fraction * planned,
            decayed_tokens=planned,
            mtp_weight=settings.mtp_weight,
            late_mtp_weight=settings.late_mtp_weight,
            bias_speed=settings.bias_speed,
        )
        self.steps_done, self.tokens = 0, 0
        self.checkpoints = Path(settings.output) / "checkpoints"
        newest = latest_checkpoint(self.checkpoints)
        if newest is None:
            initialise(self.model, settings.seed)
        else:
            self._resume(newest)

    def _identity(self) -> dict[str, Any]:
        """What decides the numbers of a run: settings, dimensions, the plan, and which shards."""
        apart = _FREE_TO_CHANGE | _TOLD_BY_THE_PLAN
        told = {key: value for key, value in asdict(self.settings).items() if key not in apart}
        told["model"] = as_dictionary(self.config)
        told["plan"] = self.settings.plan.to_values() if self.settings.plan else None
        return {**told, "sequences": len(self.shards), "shards": asdict(self.shards.header)}

    def _resume(self, checkpoint: Path) -> None:
        before, now = read_state(checkpoint)["run"], self._identity()
        changed = sorted(key for key in now if before.get(key) != now[key])
        if changed:
            listed = ", ".join(f"{key} was {before.get(key)} and is {now[key]}" for key in changed)
            raise UserError(
                f"the run in this folder has other settings: {listed}",
                where=str(checkpoint),
                mend="train into another folder, or use the same settings",
            )
        state = load_checkpoint(checkpoint, self.model, self.optimizer)
        self.steps_done, self.tokens = state["step"], state["tokens"]
        self.loader.load_state(state["loader"])

    def save(self) -> None:
        """Writes a checkpoint."""
        state = {
            "step": self.steps_done,
            "tokens": self.tokens,
            "loader": self.loader.state(),
            "run": self._identity(),
        }
        save_checkpoint(self.checkpoints, self.model, self.optimizer, state, self.settings.keep_checkpoints)

    def step(self) -> dict[str, Any]:
        """One optimiser step; returns its metrics."""
        settings = self.settings
        positions = self.loader.sequences_consumed * self.shards.sequence_length
        now = schedule(self.schedule, positions, self.steps_done)
        batches = [next(self.loader) for _ in range(settings.batch_sequences // settings.micro_batch)]
        self.model.train()
        sums = self._accumulate(batches, now.mtp_weight)
        norm = clip_gradients(self.model, settings.clip).item()
        self.steps_done += 1
        if not isfinite(norm):
            raise UserError(
                f"loss or gradients are no longer finite at step {self.steps_done}",
                where=settings.output,
                mend="train with a lower learning rate",
            )
        set_learning_rate(self.optimizer, now.learning_rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        violations = update_biases(self.model, now.bias_speed)
        self.tokens += sum(int(batch.valid.sum()) for batch in batches)
        return {
            "step": self.steps_done,
            "tokens": self.tokens,
            "sequences": self.loader.sequences_consumed,
            **sums,
            "gradient_norm": norm,
            "learning_rate": now.learning_rate,
            "expert_max_violation": max(violations, default=0.0),
            "expert_violations": violations,
        }

    def _accumulate(self, batches: list[Batch], mtp_weight: float) -> dict[str, float]:
        """Forward and backward of all micro-batches; the losses of the batch."""
        settings = self.settings
        targets = max(1, sum(int(batch.valid[:, 1:].sum()) for batch in batches))
        main = mtp = balance = 0.0
        for batch in batches:
            mask = document_mask(batch.segments) if settings.document_mask else None
            found = losses(self.model, batch.tokens, batch.valid, mask)
            found.total(targets, settings.batch_sequences, mtp_weight, settings.balance_alpha).backward()
            main += found.main.item()
            mtp += found.mtp.item()
            balance += found.balance.item()
        return {
            "loss": main / targets,
            "mtp_loss": mtp / targets,
            "balance_loss": settings.balance_alpha * balance / settings.batch_sequences,
        }


def train(
    settings: TrainSettings,
    state_folder: str | Path,
    on_step: Callable[[dict[str, Any]], None] | None = None,
    token_bytes: np.ndarray | None = None,
) -> dict[str, Any]:
    """Trains to the end, from the last checkpoint where there is one.

    Args:
        settings: the run.
        state_folder: where `timing.jsonl` goes.
        on_step: called after each step with its metrics, `steps`, `seconds` and `tokens_per_second`; where held-back
            sequences were measured, also `validation_loss`.
        token_bytes: bytes of each token id's text (int [V]); gives the validation loss in bits per byte, too.

    Returns:
        What `summary.json` holds.
    """
    output = Path(settings.output)
    with reproducible(settings.threads):
        run = Run(settings)
        commit_bytes(str(output / PLAN_FILE), run.loader.sequence_order.to_json().encode())
        validation = held_back(settings.shards)
        log = MetricsLog(output, Path(state_folder), run.steps_done)
        try:
            while run.steps_done < settings.steps:
                _advance(run, validation, log, on_step, token_bytes)
        finally:
            log.close()
        return _finish(run, validation, output)


def _advance(
    run: Run,
    validation: ShardSet | None,
    log: MetricsLog,
    on_step: Callable[[dict[str, Any]], None] | None,
    token_bytes: np.ndarray | None,
) -> None:
    """One step, with the measurement, the log lines and the checkpoint that fall due after it."""
    settings, before = run.settings, run.tokens
    started = time.perf_counter()
    metrics = run.step()
    seconds = time.perf_counter() - started
    last = run.steps_done == settings.steps
    if validation is not None and (last or run.steps_done % settings.evaluate_every == 0):
        found = evaluate(
            run.model,
            validation,
            settings.evaluation_sequences,
            settings.micro_batch,
            settings.document_mask,
            token_bytes,
        )
        metrics["validation_loss"] = found.loss
        if found.bits_per_byte is not None:
            metrics["validation_bits_per_byte"] = found.bits_per_byte
    timing = {"step": run.steps_done, "seconds": seconds, "tokens_per_second": (run.tokens - before) / seconds}
    log.write(metrics, timing)
    if last or run.steps_done % settings.checkpoint_every == 0:
        log.sync()
        run.save()
    if on_step is not None:
        on_step({**metrics, **timing, "steps": settings.steps})


def _finish(run: Run, validation: ShardSet | None, output: Path) -> dict[str, Any]:
    """Writes weights, config and summary of a finished run; all of them follow from its last checkpoint and metrics."""
    settings, config = run.settings, run.config
    final = read_metrics(output / METRICS_FILE)[-_FINAL_STEPS:]
    counted = parameters(config)
    summary = {
        "steps": run.steps_done,
        "tokens": run.tokens,
        "sequences": run.loader.sequences_consumed,
        "epochs": run.loader.sequences_consumed / len(run.shards),
        "mixture": _mixture(run) if settings.plan is not None else None,
        "train_loss": sum(line["loss"] for line in final) / len(final),
        "train_loss_steps": len(final),
        "validation_loss": final[-1].get("validation_loss"),
        "validation_bits_per_byte": final[-1].get("validation_bits_per_byte"),
        "unigram_loss": None,
        "parameters": asdict(counted),
        "gigaflops_per_token": flops_per_token(config, run.shards.sequence_length, mtp=config.mtp_depth > 0) / 1e9,
        "preset": settings.preset,
        "seed": settings.seed,
    }
    if validation is not None:
        counts = unigram_counts(run.loader, _UNIGRAM_SEQUENCES, config.vocab_size)
        summary["unigram_loss"] = unigram_loss(counts, validation, settings.evaluation_sequences)
    newest = latest_checkpoint(run.checkpoints)
    assert newest is not None, "the last step wrote a checkpoint"
    with commit_file(str(output / MODEL_FILE)) as file:
        file.write((newest / MODEL_FILE).read_bytes())
    described = {"model": as_dictionary(config), "shards": asdict(run.shards.header)}
    commit_bytes(str(output / "config.json"), json_bytes(described))
    commit_bytes(str(output / "summary.json"), json_bytes(summary))
    return summary


def _mixture(run: Run) -> list[dict[str, Any]]:
    """What the run has read of each group, by phase."""
    return [asdict(use) for use in run.loader.sequence_order.describe(run.loader.sequences_consumed)]
