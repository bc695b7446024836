"""Sums for `examples/grpo-addition.yaml`: texts that are mostly wrong, prompts, prompts held back, pairs.

    python examples/addition_texts.py addition-data

    texts.jsonl      sums as a careless writer has them: one in eight is right, the others are one or ten too much
    prompts.jsonl    {"prompt": "12+7=", "answer": "19"}, each sum once
    held-back.jsonl  the same of other sums, on which nothing is trained by rewards
    pairs.jsonl      {"prompt": …, "chosen": the right answer, "rejected": a wrong one}, of the same sums as prompts

A model of `texts.jsonl` has learnt how to add, and that one hardly ever does: it answers right one time in eight.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

LARGEST = 19
"""Of either number."""
TEXTS = 24_000
SLIPS = (0, 1, 1, 1, 1, 10, 10, 10)
"""What is added to the right answer in a text, each as often as it stands here."""
HELD_BACK = 8
"""One sum in so many."""


def main(folder: Path) -> None:
    """Writes the files."""
    random = Random(20260101)
    sums = [(a, b) for a in range(LARGEST + 1) for b in range(LARGEST + 1)]
    random.shuffle(sums)
    cut = len(sums) // HELD_BACK
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "texts.jsonl", texts(random))
    write(folder / "held-back.jsonl", map(prompt, sums[:cut]))
    write(folder / "prompts.jsonl", map(prompt, sums[cut:]))
    write(folder / "pairs.jsonl", (pair(random, *operands) for operands in sums[cut:] * 4))


def texts(random: Random) -> Iterator[dict[str, str]]:
    """Sums with their answers, right or wrong; an id each, so that equal ones stay."""
    for number in range(TEXTS):
        a, b = random.randint(0, LARGEST), random.randint(0, LARGEST)
        yield {"id": f"sum-{number}", "text": f"{a}+{b}={a + b + random.choice(SLIPS)}"}


def prompt(operands: tuple[int, int]) -> dict[str, str]:
    """A sum to be answered."""
    return {"prompt": f"{operands[0]}+{operands[1]}=", "answer": str(sum(operands))}


def pair(random: Random, a: int, b: int) -> dict[str, str]:
    """The right answer and a wrong one: what the texts have, or what no text has.

    A reward model that has seen slips alone is soon deceived: rewarded by it, a model finds nonsense that it never saw
    and scores high. So half of the wrong answers are empty, doubled, or any number.
    """
    right = str(a + b)
    odd = ["", right * 2, right + "=", str(random.randrange(100)), f"{random.randrange(100)}+{random.randrange(100)}"]
    slip = str(a + b + random.choice(SLIPS[1:]))
    wrong = random.choice(odd) if random.random() < 0.5 else slip
    return {"prompt": f"{a}+{b}=", "chosen": right, "rejected": wrong if wrong != right else slip}


def write(path: Path, rows: Iterator[dict[str, str]]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "addition-data"))
