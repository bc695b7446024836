"""Trains in FP8 and in BF16 on the same data, and compares the losses as the report does (appendix B.1).

    python benchmarks/fp8_curves.py run SHARDS --output /tmp/curves --preset quickstart --steps 1000 --seeds 0 1 2
    python benchmarks/fp8_curves.py draw /tmp/curves --name fp8 --into docs

`run` trains each seed twice, one after the other, in processes of their own with one thread; what was trained already
is not trained again, and what was broken off goes on from its checkpoint. Both runs of a seed have the same weights to
start from, the same sequences in the same order, and BF16 moments: they differ in products alone. `--variant blocks`
adds a third, FP8 with gradients in blocks of 128 x 128, which diverged in the report (appendix B.2); `--variant fp32`
another, products in FP32: how far two runs of this kind drift apart where neither has more error than BF16.

`draw` smooths the losses (an exponential moving average that keeps 0.9 of itself each step, corrected for its start),
takes the relative difference to BF16 of the same seed and step, and writes `NAME.csv` and `NAME.svg`. Bar: below 0.25 %
at the end of every run.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

BAR = 0.0025
KEPT = 0.9
VARIANTS = {
    "bf16": {"precision": "bfloat16", "moments": "bfloat16"},
    "fp8": {"precision": "fp8"},
    "blocks": {"precision": "fp8", "fp8_gradient_groups": "blocks"},
    "fp32": {"precision": "float32", "moments": "bfloat16"},
}


def train_one(shards: str, output: Path, preset: str, steps: int, seed: int, variant: str, batch: int | None) -> None:
    """One run, in this process."""
    from corpusmill.training.settings import settings_for
    from corpusmill.training.trainer import train

    chosen = {"steps": steps, "seed": seed, "threads": 1, "device": "cpu", **VARIANTS[variant]}
    if batch is not None:
        chosen |= {"batch_sequences": batch, "micro_batch": batch}
    settings = settings_for(preset, shards, str(output), evaluate_every=steps, checkpoint_every=50, **chosen)
    train(settings, output / "state")


def smoothed(losses: list[float]) -> list[float]:
    """The moving average of losses, after each."""
    average, weight, result = 0.0, 0.0, []
    for loss in losses:
        average, weight = KEPT * average + (1 - KEPT) * loss, KEPT * weight + (1 - KEPT)
        result.append(average / weight)
    return result


def read_losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def run(arguments: argparse.Namespace) -> None:
    """Trains all that is asked for, one process after the other."""
    variants = ["bf16", "fp8", *arguments.variant]
    for seed in arguments.seeds:
        for variant in variants:
            folder = Path(arguments.output, arguments.preset, f"{variant}-{seed}")
            folder.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, __file__, "one", arguments.shards, "--output", str(folder)]
            command += ["--preset", arguments.preset, "--steps", str(arguments.steps), "--seeds", str(seed)]
            command += ["--variant", variant]
            command += [] if arguments.batch is None else ["--batch", str(arguments.batch)]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def compared(folder: Path) -> dict[str, dict[str, list[float]]]:
    """{"quickstart fp8 seed 0": {"bf16": smoothed, "other": smoothed, "difference": relative}, …} of all pairs."""
    result = {}
    for other in sorted(folder.glob("*/*-*")):
        variant, seed = other.name.rsplit("-", 1)
        base = other.parent / f"bf16-{seed}"
        if variant == "bf16" or not (base / "metrics.jsonl").exists() or not (other / "metrics.jsonl").exists():
            continue
        pairs = [smoothed(read_losses(run)) for run in (base, other)]
        steps = min(map(len, pairs))
        first, second = (losses[:steps] for losses in pairs)
        difference = [b / a - 1 for a, b in zip(first, second, strict=True)]
        result[f"{other.parent.name} {variant} seed {seed}"] = {
            "bf16": first,
            "other": second,
            "difference": difference,
        }
    return result


def draw(arguments: argparse.Namespace) -> None:
    """Writes the points and the picture, and prints what the bar is about."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "corpusmill"
    from matplotlib import pyplot as plt

    curves = compared(Path(arguments.output))
    every = arguments.every
    with Path(arguments.into, f"{arguments.name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", "step", "bf16", "other", "relative_difference"])
        for name, curve in curves.items():
            for step in range(every, len(curve["bf16"]) + 1, every):
                numbers = [curve[key][step - 1] for key in ("bf16", "other", "difference")]
                writer.writerow([name, step, *(f"{number:.6f}" for number in numbers)])
    figure, axes = plt.subplots(2, 1, figsize=(7, 6), sharex=True, layout="constrained")
    for name, curve in curves.items():
        points = list(range(every, len(curve["bf16"]) + 1, every))
        (line,) = axes[0].plot(points, [curve["other"][step - 1] for step in points], label=name, linewidth=1)
        axes[0].plot(points, [curve["bf16"][step - 1] for step in points], color=line.get_color(), ls=":", linewidth=1)
        axes[1].plot(points, [100 * curve["difference"][step - 1] for step in points], linewidth=1)
    axes[0].set_ylabel("loss, nats a token (BF16 dotted)")
    axes[0].legend(fontsize="small")
    axes[1].axhspan(-100 * BAR, 100 * BAR, color="0.9")
    axes[1].set_ylabel("FP8 over BF16, %")
    axes[1].set_xlabel("step")
    axes[1].set_ylim(-1, 1)
    figure.savefig(Path(arguments.into, f"{arguments.name}.svg"), metadata={"Date": None})
    for name, curve in curves.items():
        last = curve["difference"][-1]
        met = "met" if abs(last) < BAR else "MISSED"
        steps = len(curve["difference"])
        print(f"{name}: after {steps} steps {curve['other'][-1]:.4f} nats, {100 * last:+.3f} % ({met})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "one"):
        command = commands.add_parser(name)
        command.add_argument("shards")
        command.add_argument("--output", required=True)
        command.add_argument("--preset", default="quickstart")
        command.add_argument("--steps", type=int, default=1000)
        command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
        command.add_argument("--batch", type=int, help="sequences a step; the preset's if left out")
        command.add_argument("--variant", nargs="*", default=[], choices=tuple(VARIANTS))
    command = commands.add_parser("draw")
    command.add_argument("output")
    command.add_argument("--name", default="fp8")
    command.add_argument("--into", default="docs")
    command.add_argument("--every", type=int, default=10, help="steps between points")
    arguments = parser.parse_args()
    if arguments.command == "draw":
        draw(arguments)
    elif arguments.command == "run":
        run(arguments)
    else:
        (seed,), (variant,) = arguments.seeds, arguments.variant
        folder = Path(arguments.output)
        train_one(arguments.shards, folder, arguments.preset, arguments.steps, seed, variant, arguments.batch)


if __name__ == "__main__":
    main()
