"""Saves tensors to a checkpoint and fills them from it, in any layout over ranks.

A tensor has one name in the whole run. Some are held by all ranks alike (a router's bias), some whole by one rank (what
ZeRO-1 leaves to an owner), some in pieces by all (DTensors, as FSDP2 has them). The planner of torch.distributed.
checkpoint handles all three: one rank writes what several hold, and a reader gets the parts of the written pieces that
its own piece covers, so a checkpoint of any layout fills any other.

Writing takes a snapshot first, a copy on the CPU, so that the run may continue meanwhile. Ranks exchange their plans by
torch's object collectives, in a process group of their own; none of that reaches a file. Reading needs no
exchange: each rank sees all files and takes what it holds.

Cost: a snapshot takes as much CPU memory as the rank's tensors, and the time of one copy.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as distributed_checkpoint
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import (
    DefaultLoadPlanner,
    DefaultSavePlanner,
    create_default_local_save_plan,
)
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex
from torch.distributed.checkpoint.planner import SavePlan
from torch.distributed.tensor import DTensor

from corpusmill.dataproc.errors import UserError
from corpusmill.training.checkpoint.pieces import Piece
from corpusmill.training.checkpoint.storage import RankFilesReader, RankFilesWriter

_FLAT: dict[str, Any] = {"flatten_state_dict": False, "flatten_sharded_tensors": False}
_MEND = "use the settings that it was made with"


class Snapshot(DefaultSavePlanner):
    """The values of tensors at this moment, planned as the tensors themselves would be.

    Tensors may be on any device and strided, or DTensors, of which this rank's piece is kept.
    """

    @torch.no_grad()
    def __init__(self, tensors: Mapping[str, Tensor | Piece]) -> None:
        super().__init__(**_FLAT)
        self.plan = create_default_local_save_plan(dict(tensors), False)
        self._values: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            local = _local(tensor)
            self._values[name] = torch.empty(local.shape, dtype=local.dtype).copy_(local)

    def create_local_plan(self) -> SavePlan:
        return self.plan

    def lookup_object(self, index: MetadataIndex) -> Tensor:
        return self._values[index.fqn]


def _local(tensor: Tensor | Piece) -> Tensor:
    """What is on this rank."""
    if isinstance(tensor, Piece):
        return tensor.values
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def write(snapshot: Snapshot, writer: RankFilesWriter, group: dist.ProcessGroup | None) -> None:
    """Writes the snapshots of all ranks of a group as one checkpoint; of this process alone where there is none.

    Returns on all ranks once it is committed. What one rank raises is raised on all.
    """
    if group is None:
        snapshot.set_up_planner({}, is_coordinator=True)
        plans, metadata = snapshot.create_global_plan([writer.prepare_local_plan(snapshot.create_local_plan())])
        (plan,) = writer.prepare_global_plan(plans)
        writer.finish(metadata, [writer.write_data(snapshot.finish_plan(plan), snapshot).wait()])
        return
    try:
        distributed_checkpoint.save({}, storage_writer=writer, planner=snapshot, process_group=group)
    except CheckpointException as failure:
        raised = [failure.failures[rank][0] for rank in sorted(failure.failures)]
        raise next((error for error in raised if isinstance(error, UserError)), raised[0]) from failure


class _Fill(DefaultLoadPlanner):
    """Fills what it is given as it is; torch's own first replaces whatever is no tensor, pieces among it, by None."""

    def set_up_planner(self, state_dict: Any, metadata: Metadata | None = None, is_coordinator: bool = False) -> None:
        self.original_state_dict = self.state_dict = state_dict
        self.metadata, self.is_coordinator = metadata, is_coordinator

    def lookup_tensor(self, index: MetadataIndex) -> Tensor:
        value = self.state_dict[index.fqn]
        return value.values if isinstance(value, Piece) else super().lookup_tensor(index)


def read_into(folder: Path, tensors: Mapping[str, Tensor | Piece], metadata: Metadata | None = None) -> None:
    """Fills tensors in place from a checkpoint of any layout.

    Of DTensors this rank's piece is filled. Raises UserError, before anything is changed, when one of them is not in
    the checkpoint or has another shape or type there, and when a file is missing or cut short. `metadata`: of this
    checkpoint, where it was read before.
    """
    reader, planner = RankFilesReader(folder), _Fill(**_FLAT)
    metadata = reader.read_metadata() if metadata is None else metadata
    for name, tensor in tensors.items():
        _require_fit(metadata, name, tensor, folder)
    planner.set_up_planner(dict(tensors), metadata, is_coordinator=True)
    reader.set_up_storage_reader(metadata, is_coordinator=True)
    plans = planner.create_global_plan([reader.prepare_local_plan(planner.create_local_plan())])
    (plan,) = reader.prepare_global_plan(plans)
    reader.read_data(planner.finish_plan(plan), planner).wait()


def _require_fit(metadata: Metadata, name: str, tensor: Tensor | Piece, folder: Path) -> None:
    saved: Any = metadata.state_dict_metadata.get(name)
    if saved is None:
        raise UserError(f"this checkpoint belongs to another model: it has no '{name}'", str(folder), _MEND)
    if saved.size != tensor.size():
        shapes = f"'{name}' is {list(saved.size)} there and {list(tensor.size())} here"
        raise UserError(f"this checkpoint belongs to another model: {shapes}", str(folder), _MEND)
    if saved.properties.dtype != tensor.dtype:
        types = f"'{name}' is {saved.properties.dtype} there and {tensor.dtype} here"
        raise UserError(f"this checkpoint has another precision: {types}", str(folder), _MEND)


class CheckpointTensors(Mapping[str, Tensor]):
    """Tensors of a checkpoint whose names begin with `prefix`, by the rest of their names.

    Each is read, whole and on the CPU, when it is taken, so a model may be larger than memory. Raises UserError for a
    checkpoint that is damaged.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder, self._prefix = folder, prefix
        self._metadata = RankFilesReader(folder).read_metadata()
        saved: dict[str, Any] = {
            name.removeprefix(prefix): saved
            for name, saved in self._metadata.state_dict_metadata.items()
            if name.startswith(prefix)
        }
        self.shapes = {name: tuple(tensor.size) for name, tensor in saved.items()}
        """Known without taking a tensor, as are types."""
        self.dtypes: dict[str, torch.dtype] = {name: tensor.properties.dtype for name, tensor in saved.items()}

    def __getitem__(self, name: str) -> Tensor:
        tensor = torch.empty(self.shapes[name], dtype=self.dtypes[name])
        read_into(self._folder, {self._prefix + name: tensor}, self._metadata)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)
