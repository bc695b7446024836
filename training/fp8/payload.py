"""What travels between ranks when tokens go to experts: E4M3 with power-of-two scales, in bytes (section 3.3.3).

V3 sends activations to the experts, and their gradients back through the experts' last product, in FP8; what comes back
from the experts (the combine), both ways, stays BF16. Scales are powers of two there, and that has a use: E4M3 times a
power of two is a BF16 number exactly, and encoding it again gives the same value exactly. So a product that quantises
its own input computes the same whether its rows came from another rank or from this one, and an exchange needs to know
nothing of products.

A row is its codes and, for each 128 of them, one byte with the scale's exponent as FP32 has it (E8M0; 255 is NaN):
7,224 bytes at V3's width where BF16 takes 14,336. All is uint8, since gloo knows no float8.
"""

import torch
from torch import Tensor

from corpusmill.training.fp8.quantize import TILE, Tiles, dequantize, quantize_rows


def payload_width(width: int) -> int:
    """Bytes of a row of so many numbers."""
    return width + -(-width // TILE)


def to_payload(rows: Tensor) -> Tensor:
    """Rows [N, D], BF16 or FP32, to bytes: uint8 [N, payload_width(D)]."""
    tiles = quantize_rows(rows, power_of_two=True)
    exponents = (tiles.scales.view(torch.int32) >> 23).bitwise_and_(0xFF).to(torch.uint8)
    return torch.cat([tiles.codes.view(torch.uint8), exponents], -1)


def tiles_of_payload(payload: Tensor, width: int) -> Tiles:
    """The tiles of rows that had `width` numbers, as they were sent."""
    codes, exponents = payload.split([width, payload.shape[-1] - width], -1)
    scales = (exponents.to(torch.int32) << 23).view(torch.float32).masked_fill(exponents == 0xFF, torch.nan)
    return Tiles(codes.contiguous().view(torch.float8_e4m3fn), scales)


def from_payload(payload: Tensor, width: int) -> Tensor:
    """The same as BF16 numbers [N, width], exactly."""
    return dequantize(tiles_of_payload(payload, width)).bfloat16()
