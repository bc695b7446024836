"""safetensors files read and written a tensor at a time, so that a model may be larger than memory.

A safetensors file is the length of its header (8 bytes, little-endian), the header as JSON (for each name type, shape
and place) and the tensors' bytes one after the other. The library maps such a file into memory, so only what is used is
read, and one expert of a stack costs one expert. Its writer wants all tensors of a file at once; the one here takes
them in turn, and the library reads the result like its own.

Cost: reading and writing at the disk's speed; memory for one tensor.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from corpusmill.dataproc.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Number formats that models are written in, by their usual names."""

MAPPED_BYTES = 64 << 20

CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The format's names of number formats."""
_ALIGNMENT = 8


class Writable(Protocol):
    """A file, or what counts and digests on the way to one."""

    def write(self, data: Any, /) -> Any:
        """Writes bytes."""


class TensorFiles(Mapping[str, Tensor]):
    """The tensors of some safetensors files by name. A tensor that is taken is a view of its file until it is copied.

    A file is mapped anew after every `MAPPED_BYTES` taken from it: what was read through one mapping counts as this
    process's memory until the mapping is gone, and a machine that limits memory would kill the process for it.

    Raises UserError for a file that is missing or damaged, and for a name that is in two files.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._places: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        """Known without taking a tensor, as are the format's names of types."""
        self.codes: dict[str, str] = {}
        self._mapped: tuple[str, Any] = ("", None)
        self._taken = 0
        for path in files:
            try:
                with safe_open(str(path), framework="pt") as file:
                    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
                    shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
                    codes = {name: part.get_dtype() for name, part in slices.items()}
            except FileNotFoundError as error:
                raise UserError("no such file", where=str(path), hint="copy the whole folder") from error
            except SafetensorError as error:
                raise UserError(
                    f"incomplete or damaged safetensors file ({error})", where=str(path), hint="copy it again"
                ) from error
            if twice := [name for name in shapes if name in self._places]:
                raise UserError(f"the tensor '{twice[0]}' is also in another file", where=str(path))
            self._places.update(dict.fromkeys(shapes, str(path)))
            self.shapes.update(shapes)
            self.codes.update(codes)

    def __getitem__(self, name: str) -> Tensor:
        path = self._places[name]
        if self._mapped[0] != path or self._taken > MAPPED_BYTES:
            self._mapped = (path, safe_open(path, framework="pt"))
            self._taken = 0
        tensor = self._mapped[1].get_tensor(name)
        self._taken += tensor.nbytes
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@dataclass(frozen=True)
class Planned:
    """A tensor to be written: its name, type and shape."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def write_tensors(path: Path, planned: Sequence[Planned], read: Callable[[str], Tensor]) -> None:
    """Writes one safetensors file, which is not synced; for the other arguments see `write_into`."""
    with path.open("wb") as file:
        write_into(file, planned, read, {"format": "pt"})


def write_into(
    file: Writable, planned: Sequence[Planned], read: Callable[[str], Tensor], about: Mapping[str, str] | None = None
) -> None:
    """Writes what a safetensors file consists of.

    Args:
        file: open for writing.
        planned: what is in it. Wider types come first in the file, so that every tensor lies aligned.
        read: gives the tensor of a name, of the planned type and shape; called once for each, in the file's order.
        about: the file's metadata.
    """
    ordered = sorted(planned, key=lambda member: -member.dtype.itemsize)
    header: dict[str, object] = {"__metadata__": about} if about else {}
    end = 0
    for member in ordered:
        header[member.name] = {
            "dtype": CODES[member.dtype],
            "shape": list(member.shape),
            "data_offsets": [end, end + member.size],
        }
        end += member.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for member in ordered:
        tensor = read(member.name)
        assert tensor.dtype == member.dtype and tensor.shape == member.shape, member.name
        file.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
