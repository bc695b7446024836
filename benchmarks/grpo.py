"""GRPO on sums, whole, for several seeds: `examples/grpo-addition.yaml` from its texts to a model that adds.

    python benchmarks/grpo.py /tmp/grpo-addition --seeds 1 2 3
    python benchmarks/grpo.py /tmp/grpo-addition --seeds 1 2 3 --model grpo-addition-output/model

Each seed draws its own weights, order of data and completions; with `--model` all begin with that run, and draw their
own prompts and completions. Bar: under 20 % of sums right before, over 80 % after,
on sums that no reward was given for, drawn at temperature 1. Writes `grpo.json` (what each run measured, and its CPU
seconds) and `grpo.svg` to the folder. What a seed measured is kept in `seed-N.json` and not measured again; a run that
was broken off is resumed. Seeds may be run side by side, by several calls with the same folder.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import yaml

matplotlib.use("svg")
import matplotlib.pyplot as plt

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
BEFORE, AFTER = 0.2, 0.8


def main() -> None:
    """Runs the seeds, and says whether all of them reach the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recipe", type=Path, default=EXAMPLES / "grpo-addition.yaml")
    parser.add_argument("--stage", default="rewarded", help="the GRPO stage of the recipe")
    parser.add_argument("--model", type=Path, help="begin with this run instead of training one for each seed")
    parser.add_argument("--steps", type=int, help="of GRPO, where they should not be the recipe's")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if not (arguments.output / "addition-data").exists():
        texts = [sys.executable, EXAMPLES / "addition_texts.py", "addition-data"]
        subprocess.run(texts, cwd=arguments.output, check=True)
    runs = [one_seed(arguments, seed) for seed in arguments.seeds]
    (arguments.output / "grpo.json").write_text(json.dumps(runs, indent=1) + "\n")
    draw(arguments.output / "grpo.svg", runs)
    for run in runs:
        first, last = run["held_back"][0], run["held_back"][-1]
        reached = first["reward"] < BEFORE and last["reward"] > AFTER
        print(
            f"seed {run['seed']}: held-back sums right {first['reward']:.1%} to {last['reward']:.1%} drawn, "
            f"{first['greedy']:.1%} to {last['greedy']:.1%} likeliest; {'bar reached' if reached else 'BAR MISSED'}; "
            f"{run['cpu_seconds']:.0f} s of CPU"
        )


def one_seed(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Runs the recipe with a seed in a process of its own; what it measured, which is kept beside the run."""
    kept = arguments.output / f"seed-{seed}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    folder = arguments.output / f"seed-{seed}"
    command = [sys.executable, "-m", "corpusmill", *command_of(arguments, folder.resolve(), seed), "--workers", "1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(map(str, command)), cwd=arguments.output, check=True, stdout=subprocess.DEVNULL, env=os.environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [json.loads(line) for line in (folder / arguments.stage / "metrics.jsonl").read_text().splitlines()]
    held_back = [
        {"step": line["step"], "reward": line["held_back_reward"], "greedy": line["held_back_greedy_reward"]}
        for line in lines
        if "held_back_reward" in line
    ]
    measured = {
        "seed": seed,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "held_back": held_back,
        "rewards": [line["reward"] for line in lines[1:]],
        "kl_divergence": lines[-1]["kl_divergence"],
        "sampling_difference_most": max(line["sampling_difference_most"] for line in lines[1:]),
        "mtp_loss": [lines[1]["mtp_loss"], lines[-1]["mtp_loss"]],
    }
    kept.write_text(json.dumps(measured) + "\n")
    return measured


def command_of(arguments: argparse.Namespace, folder: Path, seed: int) -> list[str | Path]:
    """The whole recipe with a seed, or its GRPO alone on a model that is there; both leave folders in `folder`."""
    if arguments.model is None:
        settings = [f"seed={seed}", *(f"{stage}.threads={arguments.threads}" for stage in ("model", arguments.stage))]
        settings += [f"{arguments.stage}.steps={arguments.steps}"] if arguments.steps else []
        changes = [part for setting in settings for part in ("--set", setting)]
        return ["run", arguments.recipe.resolve(), "--output", folder, *changes]
    settings = yaml.safe_load(arguments.recipe.read_text())["stages"][arguments.stage]
    settings |= {"threads": arguments.threads, "seed": seed, "output": folder / arguments.stage}
    settings |= {"steps": arguments.steps} if arguments.steps else {}
    flags: list[str | Path] = []
    for name, value in settings.items():
        if name not in ("stage", "run"):
            text = ",".join(value) if isinstance(value, list) else str(value)
            flags += [f"--{name.replace('_', '-')}", text]
    return ["train", "grpo", arguments.model.resolve(), *flags]


def draw(path: Path, runs: list[dict[str, Any]]) -> None:
    """Shares of held-back sums that are right, over the steps, a colour for each seed."""
    plt.rcParams.update({"svg.hashsalt": "grpo", "svg.fonttype": "none", "font.size": 9})
    figure, axes = plt.subplots(figsize=(7, 3.2))
    for number, run in enumerate(runs):
        steps = [point["step"] for point in run["held_back"]]
        colour = f"C{number}"
        axes.plot(
            steps, [point["reward"] for point in run["held_back"]], color=colour, label=f"seed {run['seed']}, drawn"
        )
        axes.plot(
            steps, [point["greedy"] for point in run["held_back"]], color=colour, linestyle=":", label="likeliest"
        )
    for bar in (BEFORE, AFTER):
        axes.axhline(bar, color="0.6", linewidth=0.8)
    axes.set_ylim(0, 1)
    axes.set_xlabel("step")
    axes.set_ylabel("held-back sums that are right")
    axes.legend(ncols=len(runs), fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
