"""The global order of sequences: a pure function from a position to a row of the shard set, for any plan.

Without a plan every epoch is one shuffle of all sequences. With one (`training/order/plan.py`), a position belongs to a
phase; the phase's quotas (`training/order/quotas.py`) say whose turn it is and how many turns that group has had; and a
group's own stream of sequences runs on across phases, so none of its sequences comes again before all have come. Each
time through a group is an epoch of its own and is shuffled anew, by a Feistel permutation keyed by (seed, "order",
group, epoch).

So a run's whole state is one integer, any rank finds its sequences by itself, and a step can be traced to its rows by
whoever has the plan: no index is stored, built or read. Quotas are counted in sequences of L places, and hold within
one sequence in every prefix of every phase.

Cost: 0.1 to 0.2 microseconds a position where many are asked for at once, 50 for a single one, wherever it lies; 4
bytes for each of at most 65,536 turns of a phase.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_key
from corpusmill.dataproc.sequences.shards import ShardEntry
from corpusmill.training.lazy import lazy
from corpusmill.training.order.layout import Layout
from corpusmill.training.order.permutation import permute_each
from corpusmill.training.order.plan import Phase, Plan, group_shares
from corpusmill.training.order.quotas import Quotas, quotas

VERSION = 1


@dataclass(frozen=True)
class GroupUse:
    """What a phase does with a group, or did in as many of its sequences as were asked about."""

    phase: int
    """From 1."""
    group: str
    rows: int
    """Sequences that the group has."""
    asked: float
    """Share of the phase's sequences by its mixture."""
    share: float
    """Share in its schedule: another one only where the mixture's common denominator is above 65,536."""
    sequences: int | None
    """Sequences of the group that the phase reads; None in a phase without an end."""
    tokens: int | None
    """The same in places: sequences times L."""
    epochs_begun: int | None
    """Times that the group has been begun by the end of the phase, since the start of the run."""
    repeated: int | None
    """Sequences read by then that had been read before."""
    unseen: int | None
    """Sequences of the group that have not been read by then."""


class SequenceOrder:
    """The endless (or planned) order of a shard set's rows.

    Args:
        layout: which rows belong to which group.
        sequence_length: L, places of a sequence.
        seed: chooses the shuffles.
        plan: phases and mixtures; None: all sequences, shuffled as one.

    Raises UserError when the plan does not fit the groups, or there is no sequence.
    """

    def __init__(self, layout: Layout, sequence_length: int, seed: int = 0, plan: Plan | None = None) -> None:
        if not len(layout.rows):
            raise UserError("there are no sequences", where="order", hint="pack more documents")
        self.layout = layout if plan else layout.joined()
        self.sequence_length, self.seed, self.plan = sequence_length, seed, plan
        sizes = self.layout.sizes
        self._names = self.layout.names
        self._sizes = np.array(list(sizes.values()), np.int64)
        self._phases = (plan or Plan((Phase(),))).phases
        self._ends = Plan(self._phases).borders(sequence_length)
        self._starts = [0, *self._ends][: len(self._phases)]
        self._shares = [list(group_shares(phase.mixture, sizes).values()) for phase in self._phases]
        self._quotas = [_schedule(tuple(shares)) for shares in self._shares]
        self._read_before = [np.zeros(len(sizes), np.int64)]
        """For each phase, what each group's stream has given by its start: int64 [G]."""
        for number, end in enumerate(self._ends[: len(self._phases) - 1]):
            read = self._quotas[number].counts(end - self._starts[number])
            self._read_before.append(self._read_before[-1] + read)

    @classmethod
    def of_entries(
        cls, entries: Iterable[ShardEntry], sequence_length: int, seed: int = 0, plan: Plan | None = None
    ) -> "SequenceOrder":
        """The order of the shards that `dataproc.sequences.shards.shard_entries` lists; none of them is opened."""
        return cls(Layout.of_entries(entries), sequence_length, seed, plan)

    @property
    def sequences(self) -> int | None:
        """How many positions there are; None when the plan has no end."""
        return None if self._phases[-1].endless else self._ends[-1]

    @lazy
    def fingerprint(self) -> str:
        """xxh3 of seed, plan, the groups with their rows, and L: equal for equal orders."""
        values = {**self._values(), "names": self.layout.names}
        state = xxhash.xxh3_64(json.dumps(values, sort_keys=True).encode())
        state.update(self.layout.group.astype("<i8").tobytes())
        state.update(self.layout.rows.astype("<i8").tobytes())
        return state.hexdigest()

    def rows(self, start: int, count: int) -> np.ndarray:
        """Row numbers (int64 [count]) at the positions from `start` on."""
        return self.at(np.arange(start, start + count, dtype=np.int64))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Row numbers at any positions, int64 [N]. Raises UserError for a position past the plan's end."""
        groups, streams = self.streams(positions)
        sizes = self._sizes[groups]
        epochs, places = np.divmod(streams, sizes)
        return self.layout.at(groups, permute_each(places, sizes, self._keys(groups, epochs)))

    def streams(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(number of the group, place in the group's own stream) at any positions, both int64 [N].

        A stream counts on through epochs and phases; groups are numbered in the order of `describe`.
        """
        if not len(positions):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if self.sequences is not None and (last := int(positions.max())) >= self.sequences:
            raise UserError(
                f"the plan ends after {self.sequences:,} sequences, and number {last + 1:,} is asked for",
                where="phases",
                hint="give the last phase more tokens, or leave its length open",
            )
        numbers = np.searchsorted(self._starts, positions, side="right") - 1
        groups, streams = np.empty(len(positions), np.int64), np.empty(len(positions), np.int64)
        for number in range(int(numbers.min()), int(numbers.max()) + 1):
            here = slice(None) if number == numbers.min() == numbers.max() else numbers == number
            groups[here], before = self._quotas[number].at(positions[here] - self._starts[number])
            streams[here] = before + self._read_before[number][groups[here]]
        return groups, streams

    def _keys(self, groups: np.ndarray, epochs: np.ndarray) -> np.ndarray:
        """The key of each position's permutation: uint64 [N]."""
        pairs, inverse = np.unique(epochs * len(self._names) + groups, return_inverse=True)
        keys = [_key(self.seed, self._names[pair % len(self._names)], pair // len(self._names)) for pair in pairs]
        return np.array(keys, np.uint64)[inverse]

    def describe(self, sequences: int | None = None) -> list[GroupUse]:
        """What every phase reads of every group, the ones left out included.

        Args:
            sequences: length of the run; None: all of the plan, with an endless last phase left open. Phases
                that a run does not reach are not described.
        """
        uses: list[GroupUse] = []
        length = self.sequences if sequences is None else sequences
        for number, shares in enumerate(self._shares):
            start = self._starts[number]
            ends = [end for end in (length, *self._ends[number : number + 1]) if end is not None]
            if ends and min(ends) <= start and number:
                break
            schedule = self._quotas[number]
            counts = schedule.counts(max(0, min(ends) - start)).tolist() if ends else None
            for place, group in enumerate(self._names):
                size = int(self._sizes[place])
                read = counts[place] if counts is not None else None
                total = int(self._read_before[number][place]) + read if read is not None else None
                uses.append(
                    GroupUse(
                        phase=number + 1,
                        group=group,
                        rows=size,
                        asked=float(shares[place]),
                        share=int(schedule.numerators[place]) / schedule.period,
                        sequences=read,
                        tokens=read * self.sequence_length if read is not None else None,
                        epochs_begun=-(-total // size) if total is not None else None,
                        repeated=max(0, total - size) if total is not None else None,
                        unseen=max(0, size - total) if total is not None else None,
                    )
                )
        return uses

    def _values(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "seed": self.seed,
            "sequence_length": self.sequence_length,
            "phases": self.plan.to_values() if self.plan else None,
        }

    def to_json(self) -> str:
        """Everything that makes the order, as a file's text: equal text for equal orders, a line for each field."""
        values = {**self._values(), "layout": self.layout.to_values(), "fingerprint": self.fingerprint}
        lines = (f'  "{name}": {json.dumps(values[name], sort_keys=True)}' for name in sorted(values))
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "plan.json") -> "SequenceOrder":
        """The order that gave this text; no shard is needed. Raises UserError for any other text."""
        try:
            values = json.loads(text)
            if values["version"] != VERSION:
                raise ValueError(f"version {values['version']} is not {VERSION}")
            plan = Plan.from_values(values["phases"]) if values["phases"] is not None else None
            order = cls(Layout.from_values(values["layout"]), values["sequence_length"], values["seed"], plan)
            if order.fingerprint != values["fingerprint"]:
                raise ValueError("its fingerprint is another")
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"not the order of a training run ({error})", where, "restore the file") from error
        return order


@lru_cache(maxsize=64)
def _schedule(shares: tuple[Fraction, ...]) -> Quotas:
    """Cached, because phases often have equal shares, as do the orders of many loaders in one process."""
    return quotas(shares)


@lru_cache(maxsize=4096)
def _key(seed: int, group: str, epoch: int) -> int:
    return random_key(seed, "order", f"{group} epoch {epoch}" if group else f"epoch {epoch}")
