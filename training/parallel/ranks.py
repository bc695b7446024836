"""Which process of a run this is, and what all of them agree on.

A run on several devices is one process a device, its *rank*, started by torchrun, Ray Train or a cluster's scheduler,
all of which say in environment variables who a process is and where rank 0 listens. This is the one place that knows
how they are laid out (`training/layout.py`): a mesh of data, expert and pipeline axes, on which each part of
the code asks for the ranks that it has to do with. Beyond gradients, weights, tokens and activations they exchange
little, and do so through the methods below, so that code which runs alone needs no case of its own: alone they return
at once, and there is no process group.

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
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from corpusmill.dataproc.errors import UserError
from corpusmill.training.layout import Layout, Place

_SET_BY_LAUNCHERS = ("RANK", "MASTER_ADDR", "MASTER_PORT")

_GROUPS: dict[str, dist.ProcessGroup] = {}
"""Of the mesh that this process is on, by axis. Here and not in `Ranks`, since groups have to be let go of when the
process group is closed (see `_close`), whoever still has a `Ranks`."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run. All ranks must call the methods, in the same order."""

    rank: int
    """Number of this process, from 0."""
    world_size: int
    """How many there are."""
    device: torch.device
    """Where this process computes."""
    layout: Layout = field(default_factory=Layout)
    """Ranks on each axis: all on the data axis until `laid_out` was called."""

    def laid_out(self, layout: Layout) -> "Ranks":
        """The same ranks on a mesh; all of them must call it, and one mesh is in use at a time."""
        if layout.world_size != self.world_size:
            raise ValueError(f"{layout} does not fit {self.world_size} ranks")
        if not layout.only_data:
            shape = (layout.pipeline, layout.data, layout.node, layout.local)
            axes = ("pipeline", "data", "node", "local")
            mesh = init_device_mesh(self.device.type, shape, mesh_dim_names=axes)
            _GROUPS.update({axis: mesh.get_group(axis) for axis in axes})
            _GROUPS["expert"] = mesh["node", "local"]._flatten("expert").get_group()
            _GROUPS["batch"] = mesh["data", "node", "local"]._flatten("batch").get_group()
        return replace(self, layout=layout)

    def group(self, axis: str | None) -> dist.ProcessGroup | None:
        """The process group of an axis; None, which torch takes for the group of all, where that is the same."""
        return None if axis is None or self.layout.only_data else _GROUPS[axis]

    @property
    def place(self) -> Place:
        """Where this rank is on each axis."""
        return self.layout.place(self.rank)

    @property
    def batch_rank(self) -> int:
        """Which part of a batch is this rank's; all ranks of a pipeline have the same."""
        return self.place.data * self.layout.expert + self.place.expert

    def size(self, axis: str) -> int:
        """Ranks on an axis: "data", "expert", "pipeline", "batch" (data times expert), "node" or "local"."""
        return int(getattr(self.layout, axis))

    def number(self, axis: str) -> int:
        """This rank's number on an axis."""
        return self.batch_rank if axis == "batch" else int(getattr(self.place, axis))

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which alone writes and reports what all ranks have in common."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other rank."""
        return self.world_size == 1

    def sum_(self, tensor: Tensor, axis: str | None = None) -> Tensor:
        """Replaces a tensor by its sum over all ranks, or those of an axis, and returns it. Bits are equal on them."""
        if (self.world_size if axis is None else self.size(axis)) > 1:
            moved = tensor.to(self.device).contiguous()
            dist.all_reduce(moved, group=self.group(axis))
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
        yield _joined(place)
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
    ranks = _joined(place)
    try:
        yield ranks
        ranks.barrier()  # no rank closes its connections while another still waits for an answer
    finally:
        _close()


def _joined(device: torch.device) -> Ranks:
    """This process in the open group."""
    world_size = dist.get_world_size()
    return Ranks(dist.get_rank(), world_size, device, Layout(data=world_size))


def _close() -> None:
    """Closes the process group, and lets go of what else would keep its threads until the interpreter ends, where they
    abort the process now and then: meshes in DTensor's caches (FSDP2), and in cycles."""
    _GROUPS.clear()
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
