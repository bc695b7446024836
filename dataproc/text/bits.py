"""64 bytes at a time: which of them lie in a range, as the bits of one number, and what can be asked of such numbers.

A kernel that asks about each byte of a text branches at each byte. One that asks about 64 bytes at once gets 64 answers
in a few instructions (a vector comparison, and its signs gathered), and afterwards steps from one set bit to the next:
from word to word, from line to line, without looking at what lies between. A *bitmap* is an array of such numbers over
a document, one bit a byte, the first byte in the lowest bit of the first number.

The operations are LLVM's (vectors, ctpop, cttz, ctlz), so there is no assembly here, and any processor will do; on x86
they become some three instructions for 32 bytes.

Bitmaps end with a number more than the document needs, so that a stretch may be read across two of them.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from corpusmill.dataproc.kernels.compiling import kernel_step
from corpusmill.dataproc.kernels.loads import load_as

BLOCK = 64
"""Bytes asked about at once, and bits of a number."""

_ALL = 0xFFFFFFFFFFFFFFFF


@intrinsic
def bytes_between(typing_context: Any, data: Any, index: Any, first: Any, last: Any) -> Any:
    """Which of the 64 bytes from data[index] on lie in first..last, as a uint64; `index + 64 <= len(data)`."""
    signature = types.uint64(data, types.int64, types.uint8, types.uint8)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, index, first, last = arguments
        byte, vector = ir.IntType(8), ir.VectorType(ir.IntType(8), BLOCK)

        def repeated(value: Any) -> Any:
            undefined = ir.Constant(vector, ir.Undefined)
            one = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK)
            return builder.shuffle_vector(one, undefined, zeros)

        assert first.type == last.type == byte
        text = load_as(context, builder, signature.args[0], data, index, vector)
        above = builder.sub(text, repeated(first))
        inside = builder.icmp_unsigned("<=", above, repeated(builder.sub(last, first)))
        return builder.bitcast(inside, ir.IntType(BLOCK))

    return signature, generate


@intrinsic
def ones(typing_context: Any, bits: Any) -> Any:
    """How many bits of a uint64 are set, int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def lowest(typing_context: Any, bits: Any) -> Any:
    """The number of the lowest set bit of a uint64, int64; 64 for 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def highest(typing_context: Any, bits: Any) -> Any:
    """The number of the highest set bit of a uint64, int64; -1 for 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(ir.IntType(64), BLOCK - 1), zeros)

    return types.int64(types.uint64), generate


@kernel_step
def low_bits(count):
    """A uint64 whose lowest `count` bits are set, 0 <= count <= 64 (int64)."""
    return np.uint64(_ALL) >> np.uint64(BLOCK - count) if count > 0 else np.uint64(0)


@kernel_step
def stretch(bitmap, first, count):
    """The bits first … first + count - 1 of a bitmap as the lowest bits of a uint64, 1 <= count <= 64."""
    block, shift = np.uint64(first) >> np.uint64(6), np.uint64(first) & np.uint64(63)
    # shifted twice, since a shift by 64 does nothing
    bits = (bitmap[block] >> shift) | ((bitmap[block + np.uint64(1)] << np.uint64(1)) << (np.uint64(63) - shift))
    return bits & (np.uint64(_ALL) >> np.uint64(BLOCK - count))


@kernel_step
def ones_between(bitmap, first, stop):
    """How many of the bits first … stop - 1 are set."""
    count = np.int64(0)
    while first < stop:
        step = min(stop - first, np.int64(BLOCK))
        count += ones(stretch(bitmap, first, step))
        first += step
    return count


@kernel_step
def any_between(bitmap, first, stop):
    """Whether one of the bits first … stop - 1 is set."""
    while first < stop:
        step = min(stop - first, np.int64(BLOCK))
        if stretch(bitmap, first, step) != 0:
            return True
        first += step
    return False


@kernel_step
def next_one(bitmap, first, stop):
    """The first set bit from `first` on, or `stop`."""
    if first >= stop:
        return stop
    block = first >> 6
    bits = bitmap[np.uint64(block)] >> np.uint64(first & 63)
    if bits != 0:
        return min(first + lowest(bits), stop)
    block += 1
    while block << 6 < stop:
        bits = bitmap[np.uint64(block)]
        if bits != 0:
            return min((block << 6) + lowest(bits), stop)
        block += 1
    return stop


@kernel_step
def next_zero(bitmap, first, stop):
    """The first bit from `first` on that is not set, or `stop`."""
    while first < stop:
        block = first >> 6
        bits = ~bitmap[np.uint64(block)] >> np.uint64(first & 63)
        if bits != 0:
            return min(first + lowest(bits), stop)
        first = (block + 1) << 6
    return stop


@kernel_step
def last_zero(bitmap, first, stop):
    """The last bit among first … stop - 1 that is not set, or first - 1."""
    while stop > first:
        block = (stop - 1) >> 6
        bits = ~bitmap[np.uint64(block)] & low_bits(stop - (block << 6))
        if bits != 0:
            return max((block << 6) + highest(bits), first - 1)
        stop = block << 6
    return first - 1


@kernel_step
def list_ones(bits, base, out, count):
    """Writes base + the number of each set bit of a uint64 to out[count:]; returns `count` and those."""
    while bits != 0:
        out[np.uint64(count)] = base + lowest(bits)
        count += 1
        bits &= bits - np.uint64(1)
    return count
