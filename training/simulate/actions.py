"""What a rank of a pipeline does, in order: the words that all schedules are written in.

A chunk is one micro-batch's pass through one stage. A backward pass may be split in two, as zero-bubble schedules do
(Qi et al. 2023, arXiv 2401.10241): gradients for the input, which the stage before waits for, and gradients for the
weights, which nobody waits for. `PAIR` is DualPipe's overlapped forward and backward pass of two chunks. Stages are
numbered along the model and micro-batches through both directions, so what must be done before what is one rule for all
schedules (`training/simulate/events.py`).
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What one action computes."""

    FORWARD = "F"
    BACKWARD = "B"
    """The whole backward pass of a chunk."""
    INPUT = "I"
    """Gradients for the chunk's input; those for its weights come later."""
    WEIGHT = "W"
    """The gradients for weights that an `INPUT` put off."""
    PAIR = "FB"
    """A forward and a whole backward pass at once."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One micro-batch in one stage."""

    stage: int
    micro_batch: int


@dataclass(frozen=True, slots=True)
class Action:
    """One entry of a rank's program."""

    kind: Kind
    forward: Chunk | None = None
    """What goes forward: of `FORWARD` and `PAIR`."""
    backward: Chunk | None = None
    """What goes backward: of all other kinds, and of `PAIR`."""


Program = list[Action]
"""What one rank does, in order."""


class Recorder:
    """Writes a rank's program down; keeps the gradients for weights that were put off, oldest first."""

    def __init__(self) -> None:
        self.program: Program = []
        self._put_off: list[Chunk] = []

    def forward(self, chunk: Chunk) -> None:
        """A forward pass by itself."""
        self.program.append(Action(Kind.FORWARD, forward=chunk))

    def backward(self, chunk: Chunk) -> None:
        """A whole backward pass by itself."""
        self.program.append(Action(Kind.BACKWARD, backward=chunk))

    def input(self, chunk: Chunk) -> None:
        """Gradients for the input alone; those for weights are put off."""
        self.program.append(Action(Kind.INPUT, backward=chunk))
        self._put_off.append(chunk)

    def weight(self) -> None:
        """The oldest gradients for weights that were put off."""
        self.program.append(Action(Kind.WEIGHT, backward=self._put_off.pop(0)))

    def pair(self, forward: Chunk, backward: Chunk) -> None:
        """A forward and a backward pass that overlap."""
        self.program.append(Action(Kind.PAIR, forward=forward, backward=backward))

    def all_weights(self) -> None:
        """Everything that is still put off."""
        while self._put_off:
            self.weight()
