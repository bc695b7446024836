"""Where a document stands in token shards, and which steps of training read those sequences.

A shard names the documents of each sequence; a run's order is a function from positions to sequences, so the positions
that a set of sequences had are found by going through those that the run has read, a million at a time.

Cost: the segments of all shards (no tokens), and 0.2 us for each sequence that a run has read.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from corpusmill.dataproc import storage
from corpusmill.dataproc.sequences.shard_folder import is_held_back
from corpusmill.pipelines.inspect.sequences import METRICS, ORDER, Shards

AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Read:
    """A reading of a sequence: by which run, at which position of its order, in which step (None: in one that was
    given up, after a spike of the loss)."""

    run: str
    position: int
    step: int | None


@dataclass
class Use:
    """A segment of a document in a sequence, and when that was read.

    Attributes:
        sequence: its number in the shard set.
        path, row: the shard, and the sequence's row in it.
        start, length: tokens of the document.
        fim: rearranged to fill in the middle.
        held_back: kept for validation, so that no step reads it.
    """

    shards: str
    document: str
    sequence: int
    path: str
    row: int
    start: int
    length: int
    fim: bool
    held_back: bool
    reads: list[Read] = field(default_factory=list)


def uses_of(name: str, shards: Shards, document: str, most: int) -> tuple[list[Use], int]:
    """(the first `most` segments of a document in a shard set, how many more there are)."""
    uses: list[Use] = []
    more = 0
    for number, segment in shards.places_of(document):
        if len(uses) == most:
            more += 1
            continue
        path, row = shards.place_of(number)
        about = (
            segment["start"],
            segment["length"],
            segment["fim"],
            is_held_back(path.removeprefix(shards.where + "/")),
        )
        uses.append(Use(name, document, number, path, row, *about))
    return uses, more


def reads_of(name: str, run: str, sequences: Collection[int]) -> Mapping[int, list[Read]]:
    """The readings of sequences by a training run, by sequence; none for a run that wrote down no order."""
    from corpusmill.training.order.sequence_order import SequenceOrder

    reads: dict[int, list[Read]] = {}
    path = storage.join(run, ORDER)
    steps = list(_steps(run))
    if not storage.exists(path) or not steps or not sequences:
        return reads
    order = SequenceOrder.from_json(storage.read_bytes(path), path)
    starts, stops, numbers = (np.array(column, np.int64) for column in zip(*steps, strict=True))
    wanted = np.array(sorted(sequences), np.int64)
    for first in range(0, int(stops.max()), AT_ONCE):
        rows = order.rows(first, min(AT_ONCE, int(stops.max()) - first))
        for place in np.flatnonzero(np.isin(rows, wanted)).tolist():
            position = first + place
            at = np.flatnonzero((starts <= position) & (position < stops))
            step = int(numbers[at[-1]]) if len(at) else None
            reads.setdefault(int(rows[place]), []).append(Read(name, position, step))
    return reads


def _steps(run: str) -> Iterator[tuple[int, int, int]]:
    """(first position, position after the last, step) of each step that the metrics tell of."""
    path = storage.join(run, METRICS)
    if not storage.exists(path):
        return
    before = 0
    with storage.open_input(path) as file:
        for line in file:
            if not line.endswith(b"\n"):  # it is being written
                return
            step = json.loads(line)
            after, own = step.get("sequences"), step.get("batch_sequences")
            if after is None:
                return
            yield (before if own is None else after - own), after, step["step"]
            before = after
