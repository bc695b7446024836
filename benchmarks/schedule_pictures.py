"""Draws the schedules of docs/simulating.md: a step of each, at the size of its paper's figure.

    python benchmarks/schedule_pictures.py --output docs/schedules

A forward pass takes as long as gradients for inputs and as those for weights; an overlapped pair as all three.
Equal bytes each time; under a second.
"""

import argparse
from pathlib import Path

from corpusmill.training.simulate.events import StageTimes, run
from corpusmill.training.simulate.picture import draw
from corpusmill.training.simulate.schedules import SCHEDULES

SIZES = {"1f1b": (4, 8), "zb1p": (4, 8), "zbv": (4, 8), "dualpipe": (8, 20), "dualpipev": (4, 10)}
UNIT = StageTimes(forward=1, backward=2, input=1, weight=1, paired_forward=1, paired_backward=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="folder for the pictures")
    folder = Path(parser.parse_args().output)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (ranks, micro_batches) in SIZES.items():
        schedule = SCHEDULES[name]
        stages = ranks * schedule.stages_a_rank
        timeline = run(schedule.programs(ranks, micro_batches), [UNIT] * stages)
        title = f"{schedule.title}: {ranks} ranks, {micro_batches} micro-batches, bubble {timeline.mean_bubble:g} F"
        (folder / f"{name}.svg").write_text(draw(timeline, title, micro_batches, stages, schedule.copies))
        print(f"{folder / name}.svg: {timeline.seconds:g} F, of which {timeline.mean_bubble:g} idle")


if __name__ == "__main__":
    main()
