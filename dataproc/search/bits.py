"""Numbers in a byte array, as kernels write and read them: little-endian words, and runs of bits, highest bit first.

A word of bits is put together from single bytes, so that it may begin anywhere. Readers name the last byte that they
may touch: a record whose checksum is right and whose content is not (somebody made it so) gives wrong numbers and no
read outside of it.
"""

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_step

WORD_BITS = 25
"""Bits that `peek_bits` is sure to have, wherever it begins."""


@kernel_step
def put_number(data, place, value, width):
    """Writes `width` bytes of a number; returns the place after it."""
    for byte in range(width):
        data[place + byte] = np.uint8((value >> (8 * byte)) & 0xFF)
    return place + width


@kernel_step
def get_u16(data, place):
    return np.int64(data[place]) | (np.int64(data[place + 1]) << 8)


@kernel_step
def get_u32(data, place):
    return get_u16(data, place) | (get_u16(data, place + 2) << 16)


@kernel_step
def put_bits(data, bit, value, width):
    """Writes `width` (at most 32) bits at a bit's place into zero bytes; returns the place after them."""
    while width > 0:
        room = 8 - (bit & 7)
        taken = min(room, width)
        piece = (value >> (width - taken)) & ((1 << taken) - 1)
        data[bit >> 3] |= np.uint8(piece << (room - taken))
        bit += taken
        width -= taken
    return bit


@kernel_step
def peek_bits(data, bit, last):
    """The 25 bits from a bit's place on, as the top of a number of 32; of bytes from `last - 3` at most."""
    place = min(bit >> 3, last - 3)
    word = (
        (np.int64(data[place]) << 24)
        | (np.int64(data[place + 1]) << 16)
        | (np.int64(data[place + 2]) << 8)
        | np.int64(data[place + 3])
    )
    return (word << (bit & 7)) & 0xFFFFFFFF


@kernel_step
def get_bits(data, bit, width, last):
    """A number of `width` (at most 32) bits."""
    high = width // 2
    value = peek_bits(data, bit, last) >> (32 - high) if high else np.int64(0)
    return (value << (width - high)) | (peek_bits(data, bit + high, last) >> (32 - width + high))
