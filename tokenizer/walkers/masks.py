"""Sixty-four bytes at a time: which of them are letters, digits, marks, white space, as the bits of machine words.

Looking at one byte after another costs a branch or two for each, and words end where no processor can foretell. With
the classes of 64 bytes as bits of six words, a pattern's cuts are a row of shifts and ands, and only their number
is a surprise: text is cut at 1 GB/s, six times as fast. The comparisons are written as LLVM's generic vectors, so any
processor has them: with AVX-512 one instruction each, with AVX2 two, without either some more.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WIDTH = 64


class Masks(NamedTuple):
    """Classes of ASCII characters as uint64, bit k for byte k.

    Attributes:
        letters, numbers: A to Z and a to z, 0 to 9.
        marks: punctuation and symbols, all the printable rest.
        spaces, tabs: U+0020; tab, line tabulation, form feed.
        breaks: carriage return and line feed.
    """

    letters: np.uint64
    numbers: np.uint64
    marks: np.uint64
    spaces: np.uint64
    tabs: np.uint64
    breaks: np.uint64


@intrinsic
def class_masks(typing_context: Any, data: Any, index: Any) -> Any:
    """The classes of `data[index : index + 64]`, which must lie in the array, as six uint64 in the order of `Masks`."""
    signature = types.UniTuple(types.uint64, 6)(data, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, word = ir.VectorType(ir.IntType(8), WIDTH), ir.IntType(64)

        def every(byte: int) -> Any:
            return ir.Constant(vector, [byte] * WIDTH)

        def within(values: Any, first: int, number: int) -> Any:
            shifted = builder.sub(values, every(first)) if first else values
            return builder.bitcast(builder.icmp_unsigned("<", shifted, every(number)), word)

        def equal(values: Any, byte: int) -> Any:
            return builder.bitcast(builder.icmp_unsigned("==", values, every(byte)), word)

        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        values = builder.load(builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer()))
        values.align = 1
        letters = within(builder.or_(values, every(0x20)), ord("a"), 26)
        numbers = within(values, ord("0"), 10)
        marks = builder.and_(within(values, 33, 94), builder.not_(builder.or_(letters, numbers)))
        breaks = builder.or_(equal(values, 10), equal(values, 13))
        tabs = builder.and_(within(values, 9, 5), builder.not_(breaks))
        masks = [letters, numbers, marks, equal(values, 32), tabs, breaks]
        return context.make_tuple(builder, signature.return_type, masks)

    return signature, generate


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """How many zero bits a uint64 that is not zero has below its lowest one, int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate


@intrinsic
def leading_zeros(typing_context: Any, word: Any) -> Any:
    """How many zero bits a uint64 that is not zero has above its highest one, int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate
