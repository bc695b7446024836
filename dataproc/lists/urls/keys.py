"""Sets of hashed hosts and addresses: what a list of millions of domains becomes.

A host's key is hashed from its last byte to its first, so that one walk over a host gives the keys of all names that it
lies below: of `com`, of `example.com`, of `www.example.com`. An address is hashed from first to last. A set is an open
hash table of these keys and holds no names: 8 bytes a place and 1.5 to 3 places an entry, 67 MB for five million
domains. Two names share a key with probability 2^-64; for a list of five million and a billion URLs, that is one URL
taken for another in three thousand such runs.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.hashing import mix

_SEED = 0xCBF29CE484222325
_STEP = 0x9E3779B97F4A7C15
_DOT, _OPEN = 0x2E, 0x5B


@kernel_step
def advance(state, byte):
    """The state of a hash after one more byte; a name begins with `SEED`."""
    return (state ^ np.uint64(byte)) * np.uint64(_STEP)


@kernel_step
def key_of(state):
    """The key of a state: never 0."""
    key = mix(state)
    return key if key != 0 else np.uint64(1)


SEED = np.uint64(_SEED)


@kernel_step
def is_address(data, start, stop):
    """Whether a host is a number and not a name: IPv6 in brackets, or a last label of digits alone (or 0x…)."""
    if start >= stop:
        return False
    if data[start] == _OPEN:
        return True
    place = stop - 1
    while place >= start and data[place] != _DOT:
        place -= 1
    first = place + 1
    if stop - first > 2 and data[first] == 48 and data[first + 1] == 120:
        first += 2
        for place in range(first, stop):  # noqa: SIM110 - numba compiles no generator expression
            if not (48 <= data[place] <= 57 or 97 <= data[place] <= 102):
                return False
        return True
    for place in range(first, stop):
        if not 48 <= data[place] <= 57:
            return False
    return first < stop


@kernel_step
def _host_key(data, start, stop):
    """(key of a host, key of the name that it lies directly below, or 0)."""
    state = np.uint64(_SEED)
    above = np.uint64(0)
    number = is_address(data, start, stop)
    for place in range(stop - 1, start - 1, -1):
        byte = data[np.uint64(place)]
        if byte == _DOT and not number:
            above = key_of(state)
        state = advance(state, byte)
    return key_of(state), above


@kernel
def host_keys(data, bounds, host_bytes):
    """(key of each host, key of the name that it lies directly below, 0 where it has one label or is a number)."""
    keys = np.zeros(host_bytes.size, np.uint64)
    above = np.zeros(host_bytes.size, np.uint64)
    for row in range(host_bytes.size):
        keys[row], above[row] = _host_key(data, bounds[row], bounds[row] + host_bytes[row])
    return keys, above


@kernel_step
def address_key(data, start, stop):
    """The key of a whole address."""
    state = np.uint64(_SEED)
    for place in range(start, stop):
        state = advance(state, data[place])
    return key_of(state)


@kernel
def address_keys(data, bounds):
    """The key of each whole address, uint64."""
    keys = np.zeros(bounds.size - 1, np.uint64)
    for row in range(keys.size):
        keys[row] = address_key(data, bounds[row], bounds[row + 1])
    return keys
