"""Keys of byte strings for hash tables: 128 bits that hold a short string whole, and digest a long one.

Most pretokens are at most 16 bytes. Their key is the string itself (with its length), so comparing keys compares
strings, and a probe never leaves the table. A longer string's key is two independent 64-bit digests; a table that must
be exact compares the bytes as well. Every load stays inside the buffer: Arrow's buffers end where their data end.

The hash is part of what counts tables are partitioned by, so it may not change between versions.
"""

from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel_step
from corpusmill.dataproc.kernels.loads import load64

Integer: TypeAlias = Any
"""An int64 inside kernels, where Python's and numpy's integers mix freely, unlike in type checkers."""

SHORT = 16
"""Longest string, in bytes, whose key is the string itself."""


@intrinsic
def prefetch(typing_context: Any, slots: Any, index: Any) -> Any:
    """Asks for row `index` of a C-contiguous array, a vector or a matrix, to be brought into the processor's cache.

    Changes nothing.
    """
    signature = types.void(slots, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = arguments[1]
        if signature.args[0].ndim == 2:
            place = builder.mul(place, builder.extract_value(array.shape, 1))
        address = builder.gep(array.data, [place])
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, number, number, number]), "llvm.prefetch.p0"
        )
        to_read, keep, as_data = number(0), number(3), number(1)
        builder.call(function, [builder.bitcast(address, pointer), to_read, keep, as_data])
        return context.get_dummy_value()

    return signature, generate


@kernel_step
def load_partial(data: np.ndarray, start: int, length: int) -> np.uint64:
    """The 1 to 8 bytes `data[start : start + length]` as the low bytes of a uint64."""
    if start + 8 <= data.shape[0]:
        return load64(data, start) & (~np.uint64(0) >> np.uint64(64 - 8 * length))
    word = np.uint64(0)
    for place in range(length):
        word |= np.uint64(data[start + place]) << np.uint64(8 * place)
    return word


@kernel_step
def key_of(data: np.ndarray, start: int, length: int) -> tuple[np.uint64, np.uint64]:
    """The key of `data[start : start + length]`, two uint64. Equal keys and lengths up to 16 mean equal strings."""
    if length <= 8:
        return load_partial(data, start, length), np.uint64(0)
    if length <= SHORT:  # the two loads overlap: together with the length they still hold every byte
        return load64(data, start), load64(data, start + length - 8)
    low = np.uint64(length) * np.uint64(0x9E3779B97F4A7C15)
    high = np.uint64(length) ^ np.uint64(0xC2B2AE3D27D4EB4F)
    place = start
    last = start + length - 8
    while True:
        word = load64(data, place)
        low = (low ^ word) * np.uint64(0x9E3779B97F4A7C15)
        low ^= low >> np.uint64(29)
        high = (high + word) * np.uint64(0xC2B2AE3D27D4EB4F)
        high ^= high >> np.uint64(31)
        if place == last:
            return low, high
        place = min(place + 8, last)


BYTES_KEPT = [[(1 << 8 * min(length, 8)) - 1, (1 << 8 * max(length - 8, 0)) - 1] for length in range(SHORT + 1)]


@kernel_step
def masked_key(data: np.ndarray, start: int, length: int, masks: np.ndarray) -> tuple[np.uint64, np.uint64]:
    """Another key, which has the same properties and hardly a branch: a short string's bytes, zeros behind them.

    `masks` is `KEY_MASKS`.
    """
    if length <= SHORT and start + SHORT <= data.shape[0]:
        return load64(data, start) & masks[length, 0], load64(data, start + 8) & masks[length, 1]
    if length > SHORT:
        return key_of(data, start, length)
    low = load_partial(data, start, min(length, 8))
    return low, load_partial(data, start + 8, length - 8) if length > 8 else np.uint64(0)


@kernel_step
def hash_of(low: np.uint64, high: np.uint64, length: int) -> np.uint64:
    """64 well-mixed bits of a key and its length, which counts as 255 when it is more."""
    mixed = low ^ (high * np.uint64(0xC2B2AE3D27D4EB4F)) ^ np.uint64(min(length, 255))
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(32))


@kernel_step
def same_bytes(left: np.ndarray, left_start: int, right: np.ndarray, right_start: int, length: int) -> bool:
    """Whether two stretches of bytes are equal."""
    for place in range(length):  # noqa: SIM110 - kernels have no generators
        if left[left_start + place] != right[right_start + place]:
            return False
    return True


KEY_MASKS = read_only(np.array(BYTES_KEPT, np.uint64))
"""(17, 2): what `masked_key` keeps of two words of text at a string of so many bytes."""
