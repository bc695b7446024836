"""Loads of several bytes at once from any address of a uint8 array, for kernels."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def load_as(context: Any, builder: Any, data_type: Any, data: Any, index: Any, loaded: Any) -> Any:
    """Code that loads a value of LLVM's type `loaded` from the bytes at data[index], whatever the address."""
    array = context.make_array(data_type)(context, builder, data)
    address = builder.gep(array.data, [index])
    value = builder.load(builder.bitcast(address, loaded.as_pointer()))
    value.align = 1
    return value


@intrinsic
def load64(typing_context: Any, data: Any, index: Any) -> Any:
    """Eight bytes of a uint8 array as a little-endian uint64; index int64, `index + 8 <= len(data)`."""
    signature = types.uint64(data, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data, index = arguments
        return load_as(context, builder, signature.args[0], data, index, ir.IntType(64))

    return signature, generate
