"""The loss spikes of a training run, from its `spikes.jsonl`.

The file is the trainer's (`training/watching/spikes.py`); it can be read without torch, and while the run is
still going.
"""

import json
from dataclasses import dataclass

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError

SPIKES = "spikes.jsonl"


@dataclass(frozen=True)
class SpikeStory:
    """What a run recorded about a spike.

    Attributes:
        number: from 1, in the order in which they came.
        step: of training, which was not taken then.
        loss, norm: nats per token, and of the gradients; None where they were not finite.
        why: why it is a spike.
        done: "stopped", "skipped" or "rolled back".
        back_to: the step that was rolled back to.
        first, end: positions of the step's sequences in the order of training.
        skipped_from: first position that was left out, up to `end`.
        rows: (number in the shard set, nats per token) of the step's worst sequences, worst first.
        rows_left_out: how many sequences more the step had.
    """

    number: int
    step: int
    loss: float | None
    norm: float | None
    why: str
    done: str
    back_to: int | None
    first: int
    end: int
    skipped_from: int
    rows: list[tuple[int, float | None]]
    rows_left_out: int


def read_spike(run: str, number: int) -> SpikeStory:
    """A spike of a training run. Raises UserError where there is none of this number."""
    path = storage.join(run, SPIKES)
    if not storage.exists(path):
        raise UserError("no spike was recorded here", where=run, hint="ask for a step with --step")
    with storage.open_input(path) as file:
        lines = [line for line in file if line.endswith(b"\n")]  # the last one may be being written
    if not 1 <= number <= len(lines):
        raise UserError(f"no spike {number}", where=path, hint=f"spikes are 1 to {len(lines)}" if lines else "")
    spike = json.loads(lines[number - 1])
    try:
        same = ("step", "loss", "norm", "why", "done", "back_to", "first", "end", "skipped_from")
        rows = [(sequence["row"], sequence["nats"]) for sequence in spike["sequences"]]
        values = {name: spike[name] for name in same}
        return SpikeStory(number=number, **values, rows=rows, rows_left_out=spike["sequences_left_out"])
    except (KeyError, TypeError) as error:
        raise UserError(f"line {number} does not describe a spike", where=path, hint="use --sequence") from error
