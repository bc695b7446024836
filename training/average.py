"""A moving average of the weights, kept in CPU memory and updated alongside training (section 3.2.3).

    average = decay * average + (1 - decay) * weights        after each step, in FP32

The average tells early how the model will do once its learning rate has decayed. It costs the device nothing: after a
step weights are copied into a snapshot in CPU memory, and a thread does the arithmetic while the next step runs. The
training waits only if the next snapshot is due before the last one has been averaged in.

The report names no decay. A decay d averages over about the last 1 / (1 - d) steps, so it belongs to the length of a
run: 0.999 for some ten thousand steps, 0.99 for a thousand. The average starts as a copy of the first weights, whose
share after t steps is still d^t, so it means little before about 1 / (1 - d) steps. (Dividing by 1 - d^t, as
Adam does, would need the average to start from zeros, and to be divided wherever it is read.)

Each rank averages the masters that it owns: whole parameters under ZeRO-1, its slices under FSDP2. The thread works
in NumPy, one number after the other, so bits depend neither on how late it is nor on how many threads torch has. Router
biases are not parameters and are not averaged; the model with averaged weights has the trained ones.

Cost: 8 bytes a parameter in the owner's CPU memory, average and snapshot. On one core a million
parameters hold the training up for 0.2 to 1 ms (the copy), and keep the thread busy for 2 ms.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from corpusmill.training.parallel.weights import Weights

_CHUNK = 1 << 16
"""Numbers that go through all three operations before the next: two such arrays fit in a core's cache."""


class MovingAverage:
    """The average of some weights. To be used from one thread.

    Args:
        masters: FP32 weights by name, live; their present values are the first average. Of DTensors each rank's part is
            averaged there.
        decay: d, at least 0 and below 1.
    """

    def __init__(self, masters: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self._masters = {name: _part(master) for name, master in masters.items()}
        self._average = {
            name: master.detach().to(device="cpu", dtype=torch.float32, copy=True).contiguous()
            for name, master in masters.items()
        }
        self._snapshot = {
            name: torch.empty(master.shape, dtype=torch.float32, pin_memory=master.is_cuda)
            for name, master in self._masters.items()
        }
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="average")
        self._pending: Future[None] | None = None
        self._lent = False

    @torch.no_grad()
    def update(self) -> None:
        """Takes the masters as they are now into the average. Returns as soon as they may be changed again."""
        assert not self._lent, "while the average is applied, there is nothing new to average"
        self.wait()
        copied = self._copy(self._masters, self._snapshot)
        self._pending = self._thread.submit(self._advance, copied)

    def wait(self) -> None:
        """Returns once all updates have been averaged in; raises what one of them raised."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def tensors(self) -> dict[str, Tensor]:
        """The average, up to date, as `average.<name>`: live, to be saved, or filled in place with what was saved.

        DTensors where the masters are, with parts in CPU memory.
        """
        self.wait()
        return {f"average.{name}": tensor for name, tensor in self._average.items()}

    @contextmanager
    def applied(self, weights: Weights) -> Iterator[None]:
        """Within it the model computes with the average; after it with the trained weights again, bit for bit.

        All ranks must enter and leave it, because new weights are sent to each other.

        Args:
            weights: those whose masters are averaged here.
        """
        self.wait()
        self._copy(self._masters, self._snapshot, blocking=True)
        self._lent = True
        try:
            self._copy({name: _part(average) for name, average in self._average.items()}, self._masters, blocking=True)
            weights.follow()
            yield
        finally:
            self._copy(self._snapshot, self._masters, blocking=True)
            self._lent = False
            weights.follow()

    @staticmethod
    @torch.no_grad()
    def _copy(
        source: Mapping[str, Tensor], target: Mapping[str, Tensor], blocking: bool = False
    ) -> torch.cuda.Event | None:
        """Copies by name. Copies from a GPU that don't block are done when the event that is returned has passed."""
        on_gpu = any(tensor.is_cuda for tensor in source.values())
        for name, tensor in source.items():
            target[name].copy_(tensor, non_blocking=not blocking)
        if blocking or not on_gpu:
            return None
        event = torch.cuda.Event()
        event.record()
        return event

    def _advance(self, copied: torch.cuda.Event | None) -> None:
        """Averages a snapshot in, overwriting it."""
        if copied is not None:
            copied.synchronize()
        kept, taken = np.float32(self.decay), np.float32(1.0 - self.decay)
        for name, snapshot in self._snapshot.items():
            averages, weights = _part(self._average[name]).view(-1).numpy(), snapshot.view(-1).numpy()
            for start in range(0, len(weights), _CHUNK):
                average, weight = averages[start : start + _CHUNK], weights[start : start + _CHUNK]
                average *= kept
                weight *= taken
                average += weight


def _part(tensor: Tensor) -> Tensor:
    """The part of a tensor that is on this rank: all of it, or a DTensor's local part. The same memory."""
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
