"""Token shards to training batches: memory-mapped, in a seeded global order, and resumable from one integer.

`ShardLoader` walks the global order (`training/order/sequence_order.py`) over the sequences of a folder
(`training/loader/shard_set.py`) and counts those that all ranks together have consumed. That count is its whole state:
position p of the order is the same sequence for any number of ranks, so a run may be resumed on another number of
machines and see exactly what it would have seen. It hands them out in two ways: `take` gives a rank its share of a
global batch of any size, which may grow from step to step; iteration gives micro-batches of one size without end.

It is a dataset of torch's, too. Under `DataLoader(loader, batch_size=None, num_workers=n)` worker k of n makes the
batches k, k + n, k + 2n, … of this rank, and the DataLoader takes them in turn: the batches and their order are the
same for any n, 0 included. What is counted in a worker stays there, so every batch says itself how many sequences were
consumed by its end (`state_after`), which resumes exactly with any number of workers; torchdata's StatefulDataLoader
resumes exactly by `state_dict` with as many workers as before.

Cost: the batch, 8 bytes a token, and one pass over its tokens; the order is computed 4,096 sequences at a time in the
iteration, and a micro-batch at a time in `take`, which costs 0.02 ms more.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shard_folder import held_back_folder
from corpusmill.dataproc.sequences.shards import list_shards
from corpusmill.training.loader.batch import Batch
from corpusmill.training.loader.prefetch import Prefetcher
from corpusmill.training.loader.shard_cache import ShardCache
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.order.plan import Plan
from corpusmill.training.order.sequence_order import SequenceOrder

_ORDER_AHEAD = 4096
"""Positions of the order that are computed at a time: one by one they would cost more than reading the sequences."""


def held_back(folder: str | Path, cache: ShardCache | None = None) -> ShardSet | None:
    """The sequences of held-back documents that lie beside the shards, in `_validation/`; None where there are none."""
    inner = held_back_folder(str(folder))
    return ShardSet(inner, cache) if list_shards(inner) else None


class _Worker(NamedTuple):
    """One of a DataLoader's worker processes."""

    number: int
    workers: int


class _Feed:
    """The batches of one rank's iteration: a function of the sequences that all ranks have consumed before.

    A step is a batch for every rank; worker k of n makes every n-th of them, beginning k steps further on.
    """

    def __init__(
        self,
        shards: ShardSet,
        order: SequenceOrder,
        micro_batch: int,
        rank: int,
        world_size: int,
        pin: bool,
        worker: _Worker | None,
    ) -> None:
        self._shards, self.order, self._pin = shards, order, pin
        self.count, self.step = micro_batch, world_size * micro_batch
        number, workers = worker or (0, 1)
        self._ahead, self.stride = number * self.step, workers * self.step
        self._first = self._ahead + rank * micro_batch
        self._known_from, self._known = 0, np.empty((0, micro_batch), np.int64)

    def batch(self, consumed: int) -> Batch | None:
        """None when the plan has too few sequences left for every rank."""
        place, between = divmod(consumed - self._known_from, self.stride)
        if between or not 0 <= place < len(self._known):
            self._compute(consumed)
            place = 0
        if not len(self._known):
            return None
        batch = self._shards.read(self._known[place], self._pin)
        batch.sequences_consumed = consumed + self._ahead + self.step
        return batch

    def read(self, first: int, end: int) -> Batch:
        """The sequences at these positions of the global order."""
        return self._shards.read(self.order.rows(first, end - first), self._pin)

    def _compute(self, consumed: int) -> None:
        steps = max(1, _ORDER_AHEAD // self.count)
        if self.order.sequences is not None:
            left = (self.order.sequences - consumed - self._ahead - self.step) // self.stride + 1
            steps = max(0, min(steps, left))
        starts = consumed + self._first + np.arange(steps, dtype=np.int64) * self.stride
        positions = (starts[:, None] + np.arange(self.count)).reshape(-1)
        self._known_from, self._known = consumed, self.order.at(positions).reshape(steps, self.count)


def share_of(rank: int, world_size: int, sequences: int) -> tuple[int, int]:
    """(first, end) of a rank's part of so many sequences: contiguous, the first ranks having one more where they don't
    divide evenly."""
    share, more = divmod(sequences, world_size)
    first = rank * share + min(rank, more)
    return first, first + share + (rank < more)


class _Share:
    """One rank's batches of global batches of one size, numbered from the first one's: a function of the number."""

    def __init__(self, feed: _Feed, rank: int, world_size: int, sequences: int, consumed: int) -> None:
        self._feed, self.sequences, self._consumed = feed, sequences, consumed
        self._first, self._end = share_of(rank, world_size, sequences)
        self.count = -(-(self._end - self._first) // feed.count)
        """Batches of each global batch; the last may be smaller than the others."""

    def batch(self, number: int) -> Batch | None:
        """None when the plan has too few sequences left for the whole global batch."""
        step, within = divmod(number, self.count)
        whole = self._consumed + step * self.sequences
        first = whole + self._first + within * self._feed.count
        planned = self._feed.order.sequences
        if planned is not None and whole + self.sequences > planned:
            return None
        batch = self._feed.read(first, min(first + self._feed.count, whole + self._end))
        batch.sequences_consumed = whole + self.sequences
        return batch


class ShardLoader(IterableDataset[Batch]):
    """Micro-batches in a seeded global order, endless unless the plan has an end.

    `take` consumes one global batch. Each step of the iteration hands the next `world_size * micro_batch` sequences of
    the global order to the ranks, `micro_batch` to each in the order of ranks. Epochs are shuffled differently and
    follow each other without a gap. At the end of a plan, a remainder too small for all ranks is left out.

    A loop that is left in the middle is gone on with by the next loop, and one that came to the plan's end is begun
    again where it began. A loop over a DataLoader with workers leaves the loader where it was, since the workers have
    copies of it: after such a loop was left, `load_state(state_after(batch))`, with the last batch that was used, moves
    it on. The DataLoader gets `batch_size=None`: it would collect batches of one worker after the other.

    Args:
        folder: shards, or a `ShardSet` that is already open.
        micro_batch: sequences in a batch: exactly so many in the iteration, at most so many in `take`.
        rank: which rank this is, below `world_size`.
        world_size: data-parallel ranks.
        seed: chooses the order.
        plan: mixture and phases; None: all sequences, shuffled as one.
        prefetch: batches that a background thread makes ahead; 0: each is made when it is asked for. For `take` the
            next call is assumed to ask for as many sequences as the last; if it does not, they are made again. No
            effect in a DataLoader's workers, which are ahead by themselves.
        pin: tokens in page-locked memory, from which copies to a GPU run beside its work; no effect without CUDA and in
            workers, whose DataLoader has `pin_memory`.

    Raises UserError when the plan doesn't fit the shards, and once there are fewer sequences than the ranks take at a
    time.
    """

    def __init__(
        self,
        folder: str | Path | ShardSet,
        micro_batch: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        plan: Plan | None = None,
        *,
        prefetch: int = 0,
        pin: bool = False,
    ) -> None:
        self.shards = folder if isinstance(folder, ShardSet) else ShardSet(folder)
        self.micro_batch, self.rank, self.world_size, self.seed = micro_batch, rank, world_size, seed
        self.sequence_order = SequenceOrder.of_entries(self.shards.entries, self.shards.sequence_length, seed, plan)
        """What gives a row for every position."""
        self._worker: _Worker | None = None
        self._feed = self._feed_of(pin and torch.cuda.is_available())
        self._prefetch = prefetch
        self._ahead: Prefetcher[Batch] | None = None
        self._share: _Share | None = None
        """What is made ahead for `take`; None: nothing is, or it is for the iteration."""
        self._consumed, self._began = 0, 0
        self._ended = False
        """Whether the last loop came to the plan's end."""

    def _feed_of(self, pin: bool) -> _Feed:
        return _Feed(self.shards, self.sequence_order, self.micro_batch, self.rank, self.world_size, pin, self._worker)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_ahead": None, "_share": None}

    @property
    def sequences_consumed(self) -> int:
        """Sequences that all ranks together have been handed; set it to resume."""
        return self._consumed

    @sequences_consumed.setter
    def sequences_consumed(self, consumed: int) -> None:
        self.close()
        self._consumed = self._began = consumed
        self._ended = False

    def state(self) -> dict[str, Any]:
        """What `load_state` needs: the sequences consumed, and a fingerprint of the order that they are counted in."""
        return {"sequences_consumed": self._consumed, "plan": self.sequence_order.fingerprint}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resumes from a state, of any number of ranks. Raises UserError when it was counted in another order."""
        here = self.sequence_order.fingerprint
        if state["plan"] != here:
            raise UserError(
                f"the state is of the order {state['plan']}, and this loader has {here}",
                where=self.shards.folder,
                hint="use the same shards, seed and plan as before",
            )
        self.sequences_consumed = state["sequences_consumed"]

    def state_after(self, batch: Batch) -> dict[str, Any]:
        """The state once a batch of this loader's order was used, wherever it was made: what to keep in a checkpoint
        of a loop over a DataLoader with workers, which are ahead of it. Raises ValueError for a batch of no order."""
        if batch.sequences_consumed is None:
            raise ValueError("this batch was read by its rows, and is of no order")
        return self.state() | {"sequences_consumed": batch.sequences_consumed}

    def state_dict(self) -> dict[str, Any]:
        """`state`, where a loop that comes to its end begins again, and in a worker which one it is: what torchdata's
        StatefulDataLoader and torch.distributed.checkpoint ask for."""
        return self.state() | {"began": self._began} | (self._worker._asdict() if self._worker else {})

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Resumes from what `state_dict` or `state` gave.

        Raises UserError when it was counted in another order, or by another one of a DataLoader's workers.
        """
        if "workers" in state_dict and self._worker != (state_dict["number"], state_dict["workers"]):
            here = "worker {} of {}".format(*self._worker) if self._worker else "no worker"
            raise UserError(
                f"the state is of worker {state_dict['number']} of {state_dict['workers']}, and this is {here}",
                where=self.shards.folder,
                hint="give the DataLoader as many workers as before, or keep ShardLoader.state_after(batch) instead",
            )
        self.load_state(state_dict)
        self._began = state_dict.get("began", self._consumed)

    def order(self, start: int, count: int) -> np.ndarray:
        """Row numbers (int64 [count]) at the positions from `start` on of the global order."""
        return self.sequence_order.rows(start, count)

    def __iter__(self) -> "ShardLoader":
        info = get_worker_info()
        if info is not None:
            self._enter(_Worker(info.id, info.num_workers))
        if self._ended:
            self.sequences_consumed = self._began
        return self

    def _enter(self, worker: _Worker) -> None:
        """In a DataLoader's worker: a share of the batches, from where the loader was when the worker got its copy."""
        if worker == self._worker:
            self.sequences_consumed = self._began  # another loop with the same, persistent worker
            return
        if self._ahead is not None:
            self._ahead.abandon()
        self._ahead = self._share = None
        self._prefetch, self._worker = 0, worker
        self.shards = copy.copy(self.shards)
        self._feed = self._feed_of(pin=False)

    def __next__(self) -> Batch:
        self._require(self._feed.step)
        if self._share is not None:
            self.close()
        if not self._prefetch:
            batch = self._feed.batch(self._consumed)
        else:
            if self._ahead is None:
                self._ahead = Prefetcher(self._feed.batch, self._consumed, self._feed.stride, self._prefetch)
            batch = self._next_ahead(self._ahead)
        if batch is None:
            self.close()
            self._ended = True
            raise StopIteration
        self._consumed += self._feed.stride
        return batch

    def take(self, sequences: int) -> list[Batch]:
        """This rank's share of the next global batch; all ranks have to ask for as many.

        Args:
            sequences: of the batch, over all ranks, 1 or more.

        Returns:
            The share in order, in batches of `micro_batch` sequences of which the last may be smaller; none for a rank
            that has no share, where there are more ranks than sequences.

        Raises UserError, on all ranks, when the shards have fewer sequences, or the plan has fewer left.
        """
        if sequences < 1:
            raise ValueError(f"a batch of {sequences} sequences")
        self._require(sequences)
        planned = self.sequence_order.sequences
        if planned is not None and self._consumed + sequences > planned:
            raise UserError(
                f"the plan has {max(0, planned - self._consumed):,} sequences left, and a batch is of {sequences:,}",
                where=self.shards.folder,
                hint="give the last phase more tokens, or leave its length open",
            )
        if self._share is None or self._share.sequences != sequences:
            self.close()
            share = _Share(self._feed, self.rank, self.world_size, sequences, self._consumed)
            if self._prefetch and share.count:
                self._share, self._ahead = share, Prefetcher(share.batch, 0, 1, self._prefetch)
        else:
            share = self._share
        ahead = self._ahead
        batches = [share.batch(number) if ahead is None else self._next_ahead(ahead) for number in range(share.count)]
        self._consumed += sequences
        return [batch for batch in batches if batch is not None]

    def _require(self, sequences: int) -> None:
        if len(self.shards) < sequences:
            raise UserError(
                f"{len(self.shards)} sequences are fewer than a batch of {sequences}",
                where=self.shards.folder,
                hint="pack more text, or train with a smaller batch",
            )

    def _next_ahead(self, ahead: Prefetcher[Batch]) -> Batch | None:
        try:
            return ahead.next()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the background thread, if there is one; the loader may still be used, and starts another."""
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = self._share = None
