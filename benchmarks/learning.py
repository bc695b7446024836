"""Holds a training run against n-gram models of the very tokens that it read: at which step does it pass them?

    python benchmarks/learning.py /tmp/road/shards --output /tmp/learning

Trains the preset `laptop` from its first step on and measures it on held-back sequences as it goes. Beside it stand a
bigram and a trigram model (`benchmarks/ngrams.py`: interpolated modified Kneser-Ney), measured on the same predictions,
in bits for each byte of their text. Two of each:

    whole     counted over all tokens of the whole run: a fixed line, and the harder one, since it has read what the
              run has yet to read. A step "passes" when it is below this line and no later one is above
    so far    counted over the tokens that the run has read up to that step

Bar: below the whole run's bigram within 300 steps. When the trigram is passed is told, not judged.

Models and run see the same sequences with the same borders: context runs over documents that share a sequence, as in
V3's pre-training. Writes `learning.csv` line by line and `learning.svg` at the end; a run that was broken off shows
itself by fewer lines. Nothing is resumed.

Shards to try it on:

    corpusmill tokenizer train documents --output tokenizer --vocab-size 8192 --special compact
    corpusmill pack documents --tokenizer tokenizer --output shards --sequence-length 512 --validation-share 0.01
"""

import argparse
import csv
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from math import log
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # before torch is imported; see pipelines/stages/train/work/training.py

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ngrams import Events, KneserNey, events_of

from corpusmill.training.loader.shard_loader import held_back
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.config import parameters
from corpusmill.training.run import Run, reproducible
from corpusmill.training.settings import settings_for
from corpusmill.training.watching.evaluation import evaluate, measured_rows

BAR_STEPS = 300


@dataclass(frozen=True)
class Point:
    """Bits a byte of held-back text after a step."""

    step: int
    tokens: int
    seconds: float
    model: float
    bigram_so_far: float
    trigram_so_far: float
    bigram_whole: float
    trigram_whole: float


def bytes_of_tokens(shards: str) -> np.ndarray:
    """Bytes of text that each id stands for, int64 [V]; special tokens stand for none."""
    table = pq.read_table(Path(shards) / "_vocabulary.parquet")
    return pc.if_else(table["special"], 0, pc.binary_length(table["bytes"])).to_numpy().astype(np.int64)


def events_in(shards: ShardSet, rows: np.ndarray, start: int) -> Events:
    batch = shards.read(rows)
    return events_of(batch.tokens.numpy(), batch.valid.numpy(), start)


class Yardsticks:
    """Bits a byte of n-gram models, on fixed held-back predictions."""

    def __init__(self, events: Events, token_bytes: np.ndarray, vocab_size: int) -> None:
        self._events, self._vocab_size = events, vocab_size
        self._bits = log(2) * token_bytes[events.token].sum()

    def measure(self, read: Events) -> tuple[float, float]:
        """(bigram, trigram) of models that have counted `read`."""
        model = KneserNey(read, self._vocab_size)
        return self._bits_of(model.bigram(self._events)), self._bits_of(model.trigram(self._events))

    def _bits_of(self, probabilities: np.ndarray) -> float:
        return float(-np.log(probabilities).sum() / self._bits)


def measure(arguments: argparse.Namespace) -> Iterable[Point]:
    """Trains, and yields a point each time that the run was measured."""
    asked = ("batch_sequences", "micro_batch", "learning_rate", "bias_speed", "precision")
    chosen = {name: value for name in asked if (value := getattr(arguments, name)) is not None}
    settings = settings_for(
        "laptop",
        arguments.shards,
        arguments.output,
        steps=arguments.steps,
        threads=arguments.threads,
        seed=arguments.seed,
        **chosen,
    )
    with reproducible(arguments.threads):
        run = Run(settings)
        validation = held_back(arguments.shards)
        if validation is None:
            raise SystemExit(f"{arguments.shards} has no held-back sequences; pack with --validation-share 0.01")
        rows = measured_rows(validation, arguments.evaluation_sequences)
        spelled = bytes_of_tokens(arguments.shards)
        start = run.config.vocab_size
        yardsticks = Yardsticks(events_in(validation, rows, start), spelled, start)

        def read_by(steps: int) -> Events:
            return events_in(run.shards, run.loader.order(0, steps * settings.batch_sequences), start)

        whole = yardsticks.measure(read_by(settings.steps))
        count = parameters(run.config)
        print(f"{(count.total + count.mtp_total) / 1e6:.1f} M parameters, {settings}")
        print(f"whole run: bigram {whole[0]:.4f}, trigram {whole[1]:.4f} bits a byte", flush=True)
        seconds = 0.0
        while run.steps_done < settings.steps:
            began = time.perf_counter()
            run.step()
            seconds += time.perf_counter() - began
            if run.steps_done % arguments.every and run.steps_done < settings.steps:
                continue
            evaluation = evaluate(run.model, validation, len(rows), settings.micro_batch, token_bytes=spelled)
            assert evaluation.bits_per_byte is not None
            so_far = yardsticks.measure(read_by(run.steps_done))
            yield Point(run.steps_done, run.tokens, seconds, evaluation.bits_per_byte, *so_far, *whole)


def passed(points: list[Point], yardstick: str) -> int | None:
    """The first measured step from which on the run stays below a yardstick; None if it doesn't."""
    step = None
    for point in reversed(points):
        if point.model >= getattr(point, yardstick):
            break
        step = point.step
    return step


def draw(points: list[Point], path: Path) -> None:
    """The curve as SVG."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "learning", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.4), layout="constrained")
    steps = [point.step for point in points]
    styles = {
        "model": ("laptop", "-", "C0"),
        "bigram_whole": ("bigram of the whole run", "-", "C1"),
        "bigram_so_far": ("bigram of the tokens so far", ":", "C1"),
        "trigram_whole": ("trigram of the whole run", "-", "C2"),
        "trigram_so_far": ("trigram of the tokens so far", ":", "C2"),
    }
    for name, (label, line, colour) in styles.items():
        axes.plot(steps, [getattr(point, name) for point in points], line, color=colour, label=label)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("bits a byte, held back")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", help="a folder of token shards with held-back ones")
    parser.add_argument("--output", required=True, help="folder for learning.csv and learning.svg")
    parser.add_argument("--steps", type=int, default=BAR_STEPS)
    parser.add_argument("--batch-sequences", type=int, help="as the preset's recipe, like the next four")
    parser.add_argument("--micro-batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--bias-speed", type=float)
    parser.add_argument("--precision", choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=20, help="steps between measurements")
    parser.add_argument("--evaluation-sequences", type=int, default=64)
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    points: list[Point] = []
    with (output / "learning.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Point)])
        writer.writeheader()
        for point in measure(arguments):
            points.append(point)
            writer.writerow({name: round(value, 5) for name, value in asdict(point).items()})
            file.flush()
            print(
                f"step {point.step:>4}: {point.model:.4f} bits a byte; so far: bigram {point.bigram_so_far:.4f}, "
                f"trigram {point.trigram_so_far:.4f}; {point.seconds / point.step:.2f} s a step",
                flush=True,
            )
    draw(points, output / "learning.svg")
    for name in ("bigram", "trigram"):
        print(f"{name} of the whole run passed at step: {passed(points, f'{name}_whole')}")
        print(f"{name} of the tokens so far passed at step: {passed(points, f'{name}_so_far')}")
    step = passed(points, "bigram_whole")
    print("bar met" if step is not None and step <= BAR_STEPS else "BAR MISSED")


if __name__ == "__main__":
    main()
