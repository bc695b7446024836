"""Which process of a run this is, and what all of them agree on.

A run on several devices is one process a device, its *rank*, started by torchrun, Ray Train or a cluster's scheduler,
all of which say in environment variables who a process is and where rank 0 listens. Ranks hold equal models and train
on different sequences. Beyond gradients and weights they exchange little, and do so through the methods below, so that
code which runs alone needs no case of its own: alone they return at once, and there is no process group.

CPU tensors travel by gloo, GPU tensors by NCCL. Where a launcher opened a group with one backend only, a tensor that
lives elsewhere goes through the rank's device.
"""

import gc
import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from corpusmill.dataproc.errors import UserError

_SET_BY_LAUNCHERS = ("RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run. All ranks must call the methods, in the same order."""

    rank: int
    """Number of this process, from 0."""
    world_size: int
    """How many there are."""
    device: torch.device
    """Where this process computes."""

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which alone writes and reports what all ranks have in common."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other rank."""
        return self.world_size == 1

    def sum_(self, tensor: Tensor) -> Tensor:
        """Replaces a tensor by its sum over all ranks, and returns it. Bits are equal on all ranks."""
        if not self.alone:
            moved = tensor.to(self.device).contiguous()
            dist.all_reduce(moved)
            if moved is not tensor:
                tensor.copy_(moved)
        return tensor

    def barrier(self) -> None:
        """Returns once all ranks have reached it."""
        self.sum_(torch.zeros(1, device=self.device)).item()

    def same(self, value: Any) -> Any:
        """What rank 0 gave as `value`, which JSON can hold; what the others gave does not matter."""
        if self.alone:
            return value
        sent = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(self.device)
        length = torch.tensor([len(sent)], device=self.device)
        dist.broadcast(length, 0)
        received = sent if self.leads else torch.empty(int(length), dtype=torch.uint8, device=self.device)
        dist.broadcast(received, 0)
        return json.loads(bytes(received.tolist()))


ALONE = Ranks(0, 1, torch.device("cpu"))
"""A run in one process, on the CPU."""


@contextmanager
def join_ranks(device: str = "auto") -> Iterator[Ranks]:
    """This process's place among the ranks that a launcher started; alone where none did.

    A process group that is open already is used and left open; one that is opened here is closed at the end.

    Args:
        device: "cpu", "cuda", or "auto": CUDA where there is one. With several GPUs a rank takes that of its
            LOCAL_RANK.

    Raises:
        UserError: a launcher's variables are incomplete, or the device is missing.
    """
    place = _device(device)
    if dist.is_available() and dist.is_initialized():
        yield Ranks(dist.get_rank(), dist.get_world_size(), place)
        return
    if _number("WORLD_SIZE", 1) == 1:
        yield Ranks(0, 1, place)
        return
    missing = [name for name in _SET_BY_LAUNCHERS if name not in os.environ]
    if missing:
        raise UserError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(missing)} is not set",
            where="environment",
            hint="start the ranks with torchrun, or unset WORLD_SIZE to train in one process",
        )
    # Its functions have the open group as a default argument: imported later, as torch's optimisers do, it would keep
    # that group alive (see `_close`).
    importlib.import_module("torch.distributed.nn.functional")
    if place.type == "cuda":
        torch.cuda.set_device(place)
        dist.init_process_group("cpu:gloo,cuda:nccl", device_id=place)
    else:
        dist.init_process_group("gloo")
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), place)
    try:
        yield ranks
        ranks.barrier()  # no rank closes its connections while another still waits for an answer
    finally:
        _close()


def _close() -> None:
    """Closes the process group, and lets go of what else would keep its threads until the interpreter ends, where they
    abort the process now and then: meshes in DTensor's caches (FSDP2), and in cycles."""
    dist.destroy_process_group()
    if "torch.distributed.tensor" in sys.modules:
        importlib.import_module("torch.distributed.tensor.debug")._clear_sharding_prop_cache()
    gc.collect()


def _number(name: str, default: int) -> int:
    """An environment variable that holds a number, 0 or more."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise UserError(f"{name} is '{value}'", where="environment", hint="start the ranks with torchrun")
    return int(value)


def _device(wanted: str) -> torch.device:
    """The device of this process."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("torch found no CUDA device", where="device", hint="train with device 'cpu' or 'auto'")
    number, known = _number("LOCAL_RANK", 0), torch.cuda.device_count()
    if number >= known:
        raise UserError(
            f"LOCAL_RANK is {number}, but there are {known} CUDA devices",
            where="environment",
            hint="start at most one rank per device",
        )
    return torch.device("cuda", number)
