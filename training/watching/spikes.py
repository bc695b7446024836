"""Loss spikes: when a step is one, what is done about it, and which documents it had read.

A spike is a step whose loss or gradient norm is not finite, or whose loss lies further above those of the last steps
than their scatter: above mean plus so many standard deviations of the last `window` losses that were trained on. The
deviation is taken to be at least 1 % of the mean, because on a flat curve noise would count as a spike. Nothing is
judged until the window is full. Gradient norms only have to be finite, since they are clipped. V3 reports that
it never had to go back for a spike (section 1), PaLM about 20 of them (arXiv 2204.02311, section 5.1). OLMo-core's
optimisers also compare a loss with 6 deviations of the last 128.

What is done, always before the optimiser has seen the step's gradients:

    stop       the run ends, but only at a loss or norm that is not finite
    skip       the step's gradients are dropped; its sequences count as read, and the step is taken with the next ones
    rollback   the run goes back to its last checkpoint and on with the sequences after the spike: all that were read
               since the checkpoint are left out. That is PaLM's way, which went back about 100 steps, left out 200 to
               500 batches, and did not see the spike again; the same batches did no harm to other weights

Neither is tried for ever. Sequences are shuffled, so ten bad steps in a row are due to the weights, not the data; and
what three attempts from one checkpoint could not pass is due to that checkpoint. Then the run ends with an error.

Every spike leaves a line in `spikes.jsonl` that names the sequences of its step, worst first, with their documents, and
the positions that were left out; `corpusmill inspect trace RUN --spike N` goes from there to the raw files. All of it
follows from losses that are the same on all ranks, and from the data: a resumed run finds the same spikes again.

Cost: nothing measurable, except for one forward pass over the step's sequences when it is a spike.
"""

import json
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum, isfinite, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commit_bytes
from corpusmill.training.loader.batch import Batch, empty_batch
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.loss import IGNORED
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.parallel.ranks import ALONE, Ranks
from corpusmill.training.watching.evaluation import batch_nats, measuring

SPIKES_FILE = "spikes.jsonl"
STOPPED, SKIPPED, ROLLED_BACK = "stopped", "skipped", "rolled back"
"""What is done about a spike."""
LEAST_DEVIATION = 0.01
"""Smallest standard deviation, as a part of the mean."""
MOST_SKIPS = 10
"""Steps skipped in a row."""
MOST_ROLLBACKS = 3
"""Times that a run goes back to one checkpoint."""
NAMED_SEQUENCES = 16
"""Sequences of a step that its record names."""
NAMED_SEGMENTS = 16
"""Segments of each sequence that it names."""


class SpikeWatch:
    """Judges losses by those before them, and counts skips and rollbacks.

    Args:
        policy: "stop", "skip" or "rollback".
        window: how many losses a loss is compared with, 2 or more.
        deviations: how many standard deviations above their mean one is a spike.
    """

    def __init__(self, policy: str, window: int, deviations: float) -> None:
        self.policy, self.deviations = policy, deviations
        self._losses: deque[float] = deque(maxlen=window)
        self._skips = 0
        self._checkpoint, self._rollbacks = -1, 0
        """The step of the checkpoint last gone back to, and how often."""

    def judge(self, loss: float, norm: float) -> str | None:
        """Why a step is a spike; None if it is none.

        Args:
            loss: nats per token of the whole batch, over all ranks.
            norm: of its gradients, before clipping.
        """
        for name, value in (("loss", loss), ("gradient norm", norm)):
            if not isfinite(value):
                return f"the {name} is not finite"
        losses = self._losses
        if self.policy == "stop" or len(losses) != losses.maxlen:
            return None
        mean = fsum(losses) / len(losses)
        deviation = sqrt(fsum((value - mean) ** 2 for value in losses) / len(losses))
        highest = mean + self.deviations * max(deviation, LEAST_DEVIATION * abs(mean))
        if loss <= highest:
            return None
        return f"the loss of {loss:.4g} is above {highest:.4g}; the mean of the last {len(losses)} is {mean:.4g}"

    def accept(self, loss: float) -> None:
        """Records a loss that is not a spike and is trained on."""
        self._losses.append(loss)
        self._skips = 0

    def answer(self, checkpoint: int | None = None) -> str:
        """What is to be done about the spike that was just judged: one of STOPPED, SKIPPED and ROLLED_BACK.

        Args:
            checkpoint: step of the checkpoint that a rollback would go back to; None: there is none.
        """
        if self.policy == "skip" and self._skips < MOST_SKIPS:
            self._skips += 1
            return SKIPPED
        if self.policy == "rollback" and checkpoint is not None:
            tried = self._rollbacks if checkpoint == self._checkpoint else 0
            if tried < MOST_ROLLBACKS:
                self._checkpoint, self._rollbacks = checkpoint, tried + 1
                return ROLLED_BACK
        return STOPPED

    def error(self, why: str, step: int, where: str) -> UserError:
        """What to raise once `answer` was STOPPED.

        Args:
            why: as `judge` says.
            step: the step that was not taken.
            where: the folder of the run.
        """
        if self.policy == "skip":
            tried = f", nor were {MOST_SKIPS} steps before it"
            hint = "see spikes.jsonl; train with a lower learning rate, or roll back instead"
        elif self.policy == "rollback":
            tried = f", after going back {self._rollbacks} times to step {self._checkpoint}" if self._rollbacks else ""
            hint = "see spikes.jsonl; train with a lower learning rate, or go on from an older checkpoint"
        else:
            tried, hint = "", "train with a lower learning rate, or let spikes be skipped or rolled back"
        return UserError(f"step {step} was not taken{tried}: {why}", where=where, hint=hint)

    def state(self) -> dict[str, Any]:
        """All that it remembers after an accepted step, as JSON values, which hold a float exactly."""
        return {"losses": list(self._losses), "checkpoint": self._checkpoint, "rollbacks": self._rollbacks}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state, to resume a run or to roll it back; attempts that it does not know of still count."""
        self._losses.clear()
        self._losses.extend(state["losses"])
        self._skips = 0
        if state["checkpoint"] > self._checkpoint:
            self._checkpoint, self._rollbacks = state["checkpoint"], state["rollbacks"]


def sequence_losses(
    model: Transformer, batches: Sequence[Batch], masked: bool, ranks: Ranks = ALONE
) -> list[tuple[int, float]]:
    """(row of the shard set, nats per token) of every sequence of a step, over all ranks, worst first.

    Losses that are not finite come first of all. All ranks call it, each with its share, and get the same.

    Args:
        model: left in the mode that it was in; its routers count nothing.
        batches: this rank's micro-batches; perhaps none.
        masked: whether documents of one sequence are hidden from each other.
        ranks: this process among those of the run.
    """
    # Micro-batches and sequences of each part of the batch.
    counts = torch.zeros((ranks.size("batch"), 2), dtype=torch.int64)
    counts[ranks.batch_rank] = torch.tensor([len(batches), sum(len(batch.rows) for batch in batches)])
    ranks.sum_(counts, "batch")
    sequences = counts[:, 1].tolist()
    row_losses = torch.zeros((sum(sequences), 2), dtype=torch.float64)
    at = sum(sequences[: ranks.batch_rank])
    with measuring(model):
        for number in range(int(counts[:, 0].max())):
            # A forward pass may involve all ranks, so all make equally many.
            batch = batches[number] if number < len(batches) else empty_batch(2)
            size = len(batch.rows)
            if measured := batch_nats(model, batch, masked, ranks.device):
                nats, targets = measured
                means = nats.sum(1, dtype=np.float64) / np.maximum((targets != IGNORED).sum(1), 1)
                row_losses[at : at + size, 0] = torch.from_numpy(batch.rows)
                row_losses[at : at + size, 1] = torch.from_numpy(means[:size])
            at += size
    ranks.sum_(row_losses)
    pairs = [(int(row), float(nats)) for row, nats in row_losses.tolist()]
    return sorted(pairs, key=lambda pair: (isfinite(pair[1]), -pair[1] if isfinite(pair[1]) else 0.0, pair[0]))


@dataclass(frozen=True)
class Spike:
    """A line of `spikes.jsonl`. A number that is not finite is None."""

    step: int
    """The step that was not taken; it is taken later, so several spikes may have one step."""
    loss: float | None
    """Nats a token."""
    norm: float | None
    """Of the gradients, before clipping."""
    why: str
    """Why it is a spike."""
    done: str
    """STOPPED, SKIPPED or ROLLED_BACK."""
    back_to: int | None
    """The step that was rolled back to."""
    first: int
    """First position of the step's sequences in the order of training."""
    end: int
    """One past their last position."""
    skipped_from: int
    """First position left out, up to `end`: after a rollback, whatever the run had read since the checkpoint."""
    sequences: list[dict[str, Any]]
    """The step's worst sequences, worst first: `row` in the shard set, `nats` a token, `segments` with `document` and
    `source`, and how many more segments there are, `segments_left_out`."""
    sequences_left_out: int
    """How many more there were."""


def spike_of(
    shards: ShardSet,
    losses: Sequence[tuple[int, float]],
    *,
    step: int,
    loss: float,
    norm: float,
    why: str,
    done: str,
    positions: range,
    back_to: tuple[int, int] | None = None,
) -> Spike:
    """A spike with the documents of its worst sequences.

    Args:
        shards: what the run reads.
        losses: from `sequence_losses`.
        step, loss, norm, why, done: as in `Spike`.
        positions: of the step's sequences in the order of training.
        back_to: (step, sequences consumed) of the checkpoint, where the run was rolled back.
    """
    named = losses[:NAMED_SEQUENCES]
    rows = np.array([row for row, _ in named], np.int64)
    origins = zip(named, shards.segment_documents(rows), shards.segment_sources(rows), strict=True)
    sequences = []
    for (row, nats), documents, sources in origins:
        segments = [
            {"document": document, "source": source} for document, source in zip(documents, sources, strict=True)
        ]
        sequences.append(
            {
                "row": row,
                "nats": _finite(nats),
                "segments": segments[:NAMED_SEGMENTS],
                "segments_left_out": max(0, len(segments) - NAMED_SEGMENTS),
            }
        )
    return Spike(
        step=step,
        loss=_finite(loss),
        norm=_finite(norm),
        why=why,
        done=done,
        back_to=back_to[0] if back_to else None,
        first=positions.start,
        end=positions.stop,
        skipped_from=back_to[1] if back_to else positions.start,
        sequences=sequences,
        sequences_left_out=len(losses) - len(named),
    )


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


class SpikeLog:
    """Appends to `spikes.jsonl`, which is there from the first spike on.

    A run that is resumed finds the spikes after its checkpoint again, so their lines are cut off first. Steps come more
    than once where a run was rolled back; what orders them is the position in the training data, which only rises.
    """

    def __init__(self, output: Path, consumed: int) -> None:
        """`consumed`: sequences that the run had read by the checkpoint that it resumes from; 0: from the start."""
        self._path = output / SPIKES_FILE
        if self._path.exists():
            kept = []
            for line in self._path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n") or json.loads(line)["end"] > consumed:
                    break
                kept.append(line)
            commit_bytes(str(self._path), b"".join(kept))

    def write(self, spike: Spike) -> None:
        """Adds a line, and forces it to disk: what comes after it may be the end of the run."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write((json.dumps(asdict(spike), allow_nan=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())


def read_spikes(output: Path) -> list[Spike]:
    """The spikes of a run, in the order in which they came."""
    path = output / SPIKES_FILE
    return [Spike(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
