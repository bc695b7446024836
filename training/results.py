"""What a finished run leaves: weights, their description, and a summary.

    <output>/model.safetensors    final weights in FP32, router biases among them
    <output>/average.safetensors  the moving average of the weights, where the run kept one
    <output>/config.json          dimensions, and of which shards
    <output>/summary.json         steps, tokens, losses, and what to compare them with

All of it follows from the last checkpoint and the metrics, so it can be rewritten at any time. Memory: the largest
tensor in FP32; no rank ever has the whole model.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from corpusmill.dataproc.storage import commit_bytes, commit_file
from corpusmill.training.checkpoint.checkpoints import AVERAGE_FILE, MODEL_FILE, json_bytes
from corpusmill.training.checkpoint.plan import CheckpointTensors
from corpusmill.training.checkpoint.tensor_files import Planned, write_into
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.config import as_dictionary, flops_per_token, parameters
from corpusmill.training.run import Run
from corpusmill.training.watching.evaluation import unigram_counts, unigram_loss
from corpusmill.training.watching.metrics import METRICS_FILE, last_lines
from corpusmill.training.watching.throughput import MFU_CONVENTION

_UNIGRAM_SEQUENCES = 65_536
_FINAL_STEPS = 10


def write_results(run: Run, validation: ShardSet | None, output: Path) -> dict[str, Any]:
    """Writes all of it (rank 0); returns the summary."""
    newest = run.checkpoints.latest()
    assert newest is not None, "the last step wrote a checkpoint"
    files = {MODEL_FILE: "model."} | ({AVERAGE_FILE: "average."} if run.average else {})
    for name, prefix in files.items():
        with commit_file(str(output / name)) as file:
            tensors = CheckpointTensors(newest, prefix)
            planned = [Planned(tensor, tensors.dtypes[tensor], tensors.shapes[tensor]) for tensor in sorted(tensors)]
            write_into(file, planned, tensors.__getitem__)
    described = {"model": as_dictionary(run.config), "shards": run.shards.header.to_values()}
    commit_bytes(str(output / "config.json"), json_bytes(described))
    summary = _summary(run, validation, output)
    commit_bytes(str(output / "summary.json"), json_bytes(summary))
    return summary


def _summary(run: Run, validation: ShardSet | None, output: Path) -> dict[str, Any]:
    settings, config = run.settings, run.config
    final = last_lines(output / METRICS_FILE, _FINAL_STEPS)
    measured = final[-1]
    summary = {
        "steps": run.steps_done,
        "tokens": run.tokens,
        "sequences": run.loader.sequences_consumed,
        "epochs": run.loader.sequences_consumed / len(run.shards),
        "mixture": _mixture(run) if settings.plan is not None else None,
        "train_loss": sum(line["loss"] for line in final) / len(final),
        "train_loss_steps": len(final),
        "validation_loss": measured.get("validation_loss"),
        "validation_bits_per_byte": measured.get("validation_bits_per_byte"),
        "validation_by_source": measured.get("validation_by_source"),
        "average_validation_loss": measured.get("average_validation_loss"),
        "unigram_loss": None,
        "parameters": asdict(parameters(config)),
        "gigaflops_per_token": flops_per_token(config, run.length, mtp=config.mtp_depth > 0) / 1e9,
        "mfu_convention": MFU_CONVENTION,
        "preset": settings.preset,
        "seed": settings.seed,
    }
    if validation is not None:
        counts = unigram_counts(run.loader, _UNIGRAM_SEQUENCES, config.vocab_size)
        summary["unigram_loss"] = unigram_loss(counts, validation, settings.evaluation_sequences)
    return summary


def _mixture(run: Run) -> list[dict[str, Any]]:
    """What the run has read of each group, by phase."""
    return [asdict(use) for use in run.loader.sequence_order.describe(run.loader.sequences_consumed)]
