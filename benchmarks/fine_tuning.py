"""What fine-tuning teaches, step by step: held-back loss of answers, and questions answered to the letter.

    python examples/sft_data.py sft-data
    corpusmill run examples/sft-sums.yaml --allow-quarantine
    python benchmarks/fine_tuning.py sft-output --output /tmp/sft

Asks the base model and every checkpoint of the fine-tuned one for all 400 sums of two numbers below 20, each in one of
the four wordings, greedily, and counts the answers that are the sum. Losses are those that the run measured. The base
model is asked twice: by the template, of which it has never seen a token, and as its pages have it (`a + b =`). Writes
`sft.csv` and `sft.svg`. Several output folders (of recipes with other seeds) give a line each.
"""

import argparse
import csv
import json
from pathlib import Path

from corpusmill.pipelines import kernels

ASKED = ("What is {a} plus {b}?", "Add {a} and {b}.", "{a} + {b}?", "How much are {a} and {b} together?")
BELOW = 20


def questions() -> list[tuple[str, str, str]]:
    """(in words, as a page has it, answer) of every sum."""
    pairs = [(a, b) for a in range(BELOW) for b in range(BELOW)]
    return [
        (ASKED[number % len(ASKED)].format(a=a, b=b), f"{a} + {b} =", str(a + b)) for number, (a, b) in enumerate(pairs)
    ]


def answered(folder: Path, tokenizer: Path, *, chat: bool) -> float:
    """Share of the questions that are answered to the letter."""
    from corpusmill.pipelines.generation import TextGenerator, conversation

    writer = TextGenerator(folder, tokenizer, threads=2)
    asked = questions()
    prompts = [conversation(words) if chat else page for words, page, _ in asked]
    texts = writer.generate(prompts, most_tokens=6, batch=100)
    said = [text.text.strip().split("\n")[0] for text in texts]
    return sum(text == answer for text, (_, _, answer) in zip(said, asked, strict=True)) / len(asked)


def points(output: Path) -> list[dict[str, object]]:
    """A row for the base model and each checkpoint of a run of the recipe."""
    tokenizer, seed = output / "tokenizer", json.loads((output / "tuned/_manifest.json").read_text())["seed"]
    lines = [json.loads(line) for line in (output / "tuned/metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line.get("validation_loss") for line in lines}
    page = answered(output / "base", tokenizer, chat=False)
    rows: list[dict[str, object]] = [
        {
            "seed": seed,
            "step": 0,
            "held_back_loss": None,
            "as_a_page": page,
            "answered": answered(output / "base", tokenizer, chat=True),
        }
    ]
    for folder in sorted((output / "tuned/checkpoints").glob("step-*")):
        step = int(folder.name.removeprefix("step-"))
        share = answered(folder, tokenizer, chat=True)
        rows.append({"seed": seed, "step": step, "held_back_loss": losses[step], "as_a_page": None, "answered": share})
        print(rows[-1], flush=True)
    return rows


def draw(rows: list[dict[str, object]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "sft", "font.size": 9})
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3))
    for seed in sorted({row["seed"] for row in rows}):
        mine = [row for row in rows if row["seed"] == seed]
        measured = [row for row in mine if row["held_back_loss"] is not None]
        left.plot([row["step"] for row in measured], [row["held_back_loss"] for row in measured], label=f"seed {seed}")
        right.plot([row["step"] for row in mine], [100 * float(row["answered"]) for row in mine], label=f"seed {seed}")
    left.set(xlabel="step", ylabel="nats a learned token", title="held-back conversations")
    right.set(xlabel="step", ylabel="%", ylim=(0, 101), title="sums answered to the letter")
    right.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("outputs", nargs="+", type=Path, help="output folders of examples/sft-sums.yaml")
    parser.add_argument("--output", type=Path, required=True, help="folder for sft.csv and sft.svg")
    arguments = parser.parse_args()
    kernels.configure()
    rows = [row for output in arguments.outputs for row in points(output)]
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "sft.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, arguments.output / "sft.svg")


if __name__ == "__main__":
    main()
