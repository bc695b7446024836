"""A part of a tensor that is spread over ranks by rows, as a checkpoint sees it.

torch.distributed.checkpoint plans any object that has the methods below as it plans a DTensor. Unlike one, a piece
needs no mesh, and may be owned by one rank alone: what ZeRO-1 leaves to the owner of some experts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex, TensorProperties
from torch.distributed.checkpoint.planner import TensorWriteData, WriteItem, WriteItemType


@dataclass(frozen=True)
class Piece:
    """Rows of a tensor along its first axis.

    Attributes:
        values: the rows that are here, live.
        shape: of the whole.
        start: the first row.
    """

    values: Tensor
    shape: tuple[int, ...]
    start: int

    @property
    def dtype(self) -> torch.dtype:
        """Of its numbers."""
        return self.values.dtype

    def size(self) -> torch.Size:
        """Of the whole."""
        return torch.Size(self.shape)

    def _chunk(self) -> ChunkStorageMetadata:
        offsets = torch.Size((self.start, *(0 for _ in self.shape[1:])))
        return ChunkStorageMetadata(offsets, self.values.size())

    def __create_write_items__(self, name: str, piece: "Piece") -> list[WriteItem]:
        chunk = self._chunk()
        data = TensorWriteData(chunk, TensorProperties(dtype=self.dtype), self.size())
        return [WriteItem(MetadataIndex(name, chunk.offsets), WriteItemType.SHARD, tensor_data=data)]

    def __create_chunk_list__(self) -> list[ChunkStorageMetadata]:
        return [self._chunk()]

    def __get_tensor_shard__(self, index: MetadataIndex) -> Tensor:
        return self.values
