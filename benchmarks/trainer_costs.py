"""Measures what a run pays beside its steps: checkpoints, the moving average, recomputation.

    python benchmarks/trainer_costs.py --threads 1

All on the preset `laptop` (16.4 M parameters) with random tokens, medians of a few rounds:

    checkpoint    197 MB of weights and moments: how long `save` holds the run up, how long until it is on disk, a load
    average       how long `update` holds the run up, and how long its thread works
    recompute     forward and backward with and without it, in turns; bytes that a forward pass leaves for the backward

There is no peer beside them: a step of transformers has none of these (`benchmarks/train_step.py` has the step).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from corpusmill.training.average import MovingAverage
from corpusmill.training.checkpoint.checkpoints import Checkpoints
from corpusmill.training.model.activations import Numerics, activations
from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.transformer import Transformer, build_model, initialise
from corpusmill.training.parallel.ranks import ALONE
from corpusmill.training.parallel.zero1 import Zero1

ROUNDS = 7


def median_seconds(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Of some rounds, after one that is not counted."""
    action()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def a_model(recompute: bool = False) -> Transformer:
    model = build_model(preset("laptop"), recompute=recompute)
    initialise(model, 0)
    return model


def checkpoint_seconds(folder: Path) -> tuple[float, float, float, int]:
    """Seconds that `save` holds the run up, that it takes in all, and of a load; and bytes on disk."""
    tensors = Zero1(a_model(), ALONE).tensors()
    checkpoints = Checkpoints(folder, keep=1)
    blocked, whole = [], []
    for step in range(ROUNDS):
        began = time.perf_counter()
        checkpoints.save(tensors, {"step": step})
        blocked.append(time.perf_counter() - began)
        checkpoints.wait()
        whole.append(time.perf_counter() - began)
    newest = checkpoints.latest()
    assert newest is not None
    load = median_seconds(lambda: checkpoints.load(newest, tensors))
    size = sum(path.stat().st_size for path in newest.iterdir())
    return statistics.median(blocked), statistics.median(whole), load, size


def average_seconds() -> tuple[float, float]:
    """Seconds that `update` holds the run up, and until it is worked in."""
    average = MovingAverage(Zero1(a_model(), ALONE).masters(), 0.99)
    blocked, whole = [], []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        average.update()
        blocked.append(time.perf_counter() - began)
        average.wait()
        whole.append(time.perf_counter() - began)
    return statistics.median(blocked[1:]), statistics.median(whole[1:])


def pass_seconds(sequences: int, length: int, precision: str) -> tuple[float, float]:
    """Seconds of forward and backward, kept and recomputed, each the median of rounds taken in turns."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(8, 8192, (sequences, length), generator=generator)
    valid = torch.ones_like(tokens, dtype=torch.bool)
    runs = [Zero1(a_model(recompute), ALONE, precision) for recompute in (False, True)]
    taken: list[list[float]] = [[], []]
    for _ in range(ROUNDS + 1):
        for weights, seconds in zip(runs, taken, strict=True):
            began = time.perf_counter()
            losses(weights.model, tokens, valid).total(tokens.numel(), sequences, 0.3, 1e-4).backward()
            seconds.append(time.perf_counter() - began)
            weights.zero_gradients()
    kept, again = (statistics.median(seconds[1:]) for seconds in taken)
    return kept, again


def kept_megabytes(sequences: int, length: int, precision: str, recompute: bool) -> float:
    """What a forward pass leaves: forms that tests/training/model/test_activations.py holds equal to the bytes."""
    numerics = Numerics(element_bytes=4 if precision == "float32" else 2, fused_norms=False)
    parts = activations(preset("laptop"), sequences, length, numerics).values()
    return sum(part.bytes(recompute) for part in parts) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        blocked, whole, load, size = checkpoint_seconds(Path(folder) / "checkpoints")
    print(f"{arguments.threads} threads")
    print(f"checkpoint of {size / 1e6:.0f} MB: held up {blocked:.3f} s, on disk {whole:.3f} s, load {load:.3f} s")
    blocked, whole = average_seconds()
    print(f"average: held up {blocked * 1e3:.1f} ms, worked in {whole * 1e3:.1f} ms")
    shape = arguments.sequences, arguments.length
    for precision in ("float32", "bfloat16"):
        kept, again = pass_seconds(*shape, precision)
        megabytes = [kept_megabytes(*shape, precision, recompute) for recompute in (False, True)]
        print(
            f"recompute, {precision}, {shape[0]} x {shape[1]}: {kept:.3f} s kept, {again:.3f} s recomputed "
            f"({again / kept - 1:+.1%}); {megabytes[0]:.0f} and {megabytes[1]:.0f} MB"
        )


if __name__ == "__main__":
    main()
