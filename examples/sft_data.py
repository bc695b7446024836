"""Data for `examples/sft-sums.yaml`: text to pre-train on, and conversations about it. The same on every run.

    python examples/sft_data.py sft-data
    corpusmill run examples/sft-sums.yaml

`text.jsonl` has pages of sums of two numbers below 20, as a schoolbook has them. `conversations.jsonl` asks for such
sums in words, in OpenAI's shape, some with a system message and some with a second question; two conversations in a
hundred are broken, so that there is something to quarantine.
"""

import json
import random
import sys
from pathlib import Path

PAGES, CONVERSATIONS, BELOW = 1_500, 12_000, 20
ASKED = ("What is {a} plus {b}?", "Add {a} and {b}.", "{a} + {b}?", "How much are {a} and {b} together?")
SYSTEM = "You answer with a number."


def main(folder: Path) -> None:
    draw = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "text.jsonl").open("w") as file:
        for number in range(PAGES):
            lines = [f"{a} + {b} = {a + b}" for a, b in (pair(draw) for _ in range(60))]
            file.write(json.dumps({"id": f"page-{number}", "text": "\n".join(lines)}) + "\n")
    with (folder / "conversations.jsonl").open("w") as file:
        for number in range(CONVERSATIONS):
            talk = messages(draw)
            if number % 100 == 7:
                del talk[-1]  # nobody answers
            if number % 100 == 57:
                talk[0]["role"] = "wizard"
            file.write(json.dumps({"id": f"talk-{number}", "messages": talk}) + "\n")
    print(f"{folder}: {PAGES:,} pages, {CONVERSATIONS:,} conversations")


def pair(draw: random.Random) -> tuple[int, int]:
    return draw.randrange(BELOW), draw.randrange(BELOW)


def messages(draw: random.Random) -> list[dict[str, str]]:
    """A conversation of one or two questions."""
    made = [{"role": "system", "content": SYSTEM}] if draw.random() < 0.3 else []
    for _ in range(draw.choice((1, 1, 2))):
        a, b = pair(draw)
        made.append({"role": "user", "content": draw.choice(ASKED).format(a=a, b=b)})
        made.append({"role": "assistant", "content": str(a + b)})
    return made


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "sft-data"))
