"""Operations on bitmaps against lists of booleans."""

import numba
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.text import bits as kernels


@numba.njit
def ask(data, bitmap, first, stop, low, high, out):
    """Every operation once, into `out`."""
    out[0] = kernels.ones_between(bitmap, first, stop)
    out[1] = kernels.any_between(bitmap, first, stop)
    out[2] = kernels.next_one(bitmap, first, stop)
    out[3] = kernels.next_zero(bitmap, first, stop)
    out[4] = kernels.last_zero(bitmap, first, stop)
    mask = kernels.bytes_between(data, np.int64(0), np.uint8(low), np.uint8(high))
    out[5] = kernels.ones(mask)
    out[6] = kernels.lowest(mask)
    out[7] = kernels.highest(mask)
    out[8] = kernels.list_ones(mask, np.int64(0), out[9:], np.int64(0))
    return kernels.low_bits(stop % 65), mask


@settings(max_examples=200, deadline=None)
@given(
    st.binary(min_size=64, max_size=64),
    st.lists(st.sampled_from([0, 2**64 - 1, 1, 2**63, 0x8001_0000_0000_0180]), min_size=4, max_size=4),
    st.integers(0, 255),
    st.integers(0, 255),
    st.data(),
)
def test_as_lists_of_booleans_say(data, numbers, one, other, draw):
    low, high = min(one, other), max(one, other)
    stop = draw.draw(st.integers(0, 192))
    first = draw.draw(st.integers(0, stop))
    bitmap = np.array(numbers, np.uint64)
    flags = [bool(numbers[place // 64] >> place % 64 & 1) for place in range(256)]
    chosen = [place for place, byte in enumerate(data) if low <= byte <= high]
    out = np.zeros(9 + 64, np.int64)
    low_bits, mask = ask(np.frombuffer(data, np.uint8), bitmap, first, stop, low, high, out)

    within = range(first, stop)
    set_bits = [place for place in within if flags[place]]
    free = [place for place in within if not flags[place]]
    assert out[0] == len(set_bits)
    assert out[1] == bool(set_bits)
    assert out[2] == (set_bits[0] if set_bits else stop)
    assert out[3] == (free[0] if free else stop)
    assert out[4] == (free[-1] if free else first - 1)
    assert mask == sum(1 << place for place in chosen)
    assert out[5] == out[8] == len(chosen)
    assert out[6] == (chosen[0] if chosen else 64)
    assert out[7] == (chosen[-1] if chosen else -1)
    assert out[9 : 9 + len(chosen)].tolist() == chosen
    assert low_bits == (1 << stop % 65) - 1
