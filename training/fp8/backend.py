"""What multiplies FP8: one interface, several back ends, chosen by name and never replaced behind one's back.

    reference   any device; every sum in a defined order, so the same bits everywhere; slow
    emulated    any device; one FP32 product of the decoded numbers: `reference` but for the rounding of FP32 sums
    triton      Hopper; our kernels, dense and grouped (`training/fp8/kernels/`)
    cublas      Hopper with CUDA 12.9 or later; torch's `scaled_mm`; experts one after the other
    deepgemm    Hopper; DeepSeek's library, where it is installed

A product takes the same three shapes everywhere. Rows are grouped for experts by `ends` [E] int32, where each expert's
rows end; each end is a multiple of 128 (`training/fp8/alignment.py`), so that no tile of 128 tokens has two experts.

    product           [M, K] tiles, [N, K] blocks          to [M, N] BF16    sums over K
    grouped           [M, K] tiles, [E, N, K] blocks       to [M, N] BF16    each row with its expert's matrix
    weight_gradient   [N, M] tiles, [K, M] tiles           to [N, K] FP32    sums over M, which are tokens
    grouped           the same                             to [E, N, K] FP32 each expert's tokens apart

Sums are FP32. Hopper's tensor cores keep some 14 bits of a sum, so partial sums over 128 products, which is where
scales apply anyway, are added up in FP32 registers ("promotion", section 3.3.2).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, get_args

import torch
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.training.fp8.quantize import Blocks, Tiles, dequantize, quantize_blocks, quantize_columns, quantize_rows
from corpusmill.training.settings import Fp8Backend

BackendName = Literal["reference", "emulated", "triton", "cublas", "deepgemm"]
HOPPER = (9, 0)


class Backend(ABC):
    """Quantises and multiplies. Shapes are those of the module's docstring."""

    name: str

    def rows(self, x: Tensor, power_of_two: bool) -> Tiles:
        """Tiles of 1 x 128 of x [R, C]."""
        return quantize_rows(x, power_of_two)

    def columns(self, x: Tensor, power_of_two: bool) -> Tiles:
        """Tiles of 128 x 1 of x [R, C], as tiles of its transpose [C, R]."""
        return quantize_columns(x, power_of_two)

    def rows_and_columns(self, x: Tensor, power_of_two: bool) -> tuple[Tiles, Tiles]:
        """Both, of which a back end may make one reading."""
        return self.rows(x, power_of_two), self.columns(x, power_of_two)

    def requantized_columns(self, tiles: Tiles, power_of_two: bool) -> Tiles:
        """Tiles of 1 x 128 of [R, C] as tiles of 128 x 1: decoded, and encoded by other scales."""
        return self.columns(dequantize(tiles), power_of_two)

    def swiglu_rows(self, gate: Tensor, up: Tensor, power_of_two: bool) -> Tiles:
        """Tiles of silu(gate) * up, whose product is rounded to BF16 first, as a tensor of its own would be."""
        return self.rows(torch.nn.functional.silu(gate) * up, power_of_two)

    def blocks(self, weight: Tensor, power_of_two: bool) -> Blocks:
        """Blocks of 128 x 128 of weights [..., R, C]."""
        return quantize_blocks(weight, power_of_two)

    @abstractmethod
    def product(self, a: Tiles, b: Blocks, ends: Tensor | None = None) -> Tensor:
        """a b^T, in BF16."""

    @abstractmethod
    def weight_gradient(self, a: Tiles, b: Tiles, ends: Tensor | None = None) -> Tensor:
        """a b^T, in FP32."""


def segments(ends: Tensor) -> Iterator[tuple[int, int, int]]:
    """(expert, begin, end) of each expert that has rows. Waits for the device."""
    begin = 0
    for expert, end in enumerate(ends.tolist()):
        if end > begin:
            yield expert, begin, end
        begin = end


def backend_for(name: Fp8Backend, device: torch.device) -> Backend:
    """The back end of this name; "auto" is `emulated` on a CPU, and on Hopper the first that can run of deepgemm,
    cublas and triton. Raises UserError for one that cannot run here."""
    if name != "auto":
        reason = _unfit(name, device)
        if reason is not None:
            raise UserError(reason, where="fp8_backend", hint="choose another, or omit the setting")
        return _make(name)
    if device.type == "cpu":
        return _make("emulated")
    reasons = {choice: _unfit(choice, device) for choice in ("deepgemm", "cublas", "triton")}
    for choice, reason in reasons.items():
        if reason is None:
            return _make(choice)
    listed = "; ".join(f"{choice}: {reason}" for choice, reason in reasons.items())
    raise UserError(
        f"no FP8 back end runs on this GPU ({listed})",
        where="fp8_backend",
        hint="train with precision bfloat16, or set fp8_backend to emulated, which is slow",
    )


def _make(name: str) -> Backend:
    match name:
        case "reference":
            from corpusmill.training.fp8.reference import Reference

            return Reference()
        case "emulated":
            from corpusmill.training.fp8.reference import Emulated

            return Emulated()
        case "triton":
            from corpusmill.training.fp8.kernels.backend import TritonBackend

            return TritonBackend()
        case "cublas":
            from corpusmill.training.fp8.cublas import Cublas

            return Cublas()
        case "deepgemm":
            from corpusmill.training.fp8.deepgemm import DeepGemm

            return DeepGemm()
    raise ValueError(f"{name} is none of {get_args(BackendName)}")


def _unfit(name: str, device: torch.device) -> str | None:
    """Why a back end cannot run on a device; None where it can."""
    if name in ("reference", "emulated"):
        return None
    if name == "triton":
        from corpusmill.training.fp8.kernels.launch import interpreted, triton_missing

        missing = triton_missing()
        if missing is not None:
            return missing
        if device.type == "cpu" and interpreted():
            return None
    if device.type != "cuda":
        return f"{name} needs a GPU"
    if torch.cuda.get_device_capability(device) != HOPPER:
        return f"{name} needs a Hopper GPU (compute capability 9.0)"
    if name == "cublas":
        version = torch.version.cuda or "0.0"
        major, minor = (int(part) for part in version.split(".")[:2])
        if (major, minor) < (12, 9):
            return f"cublas needs a torch built for CUDA 12.9 or later, and this one is for {version}"
    if name == "deepgemm":
        from corpusmill.training.fp8.deepgemm import deepgemm_missing

        return deepgemm_missing()
    return None
