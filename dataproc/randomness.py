"""The one source of randomness: a pure function of (seed, purpose, name), never of a process, a time or an order.

A draw belongs to a document or a sequence. Its key is xxh3 over the seed, the purpose ("fim", "boundary",
"validation", …) and the name of the thing drawn for; further draws for the same thing come from a counter, by
SplitMix64's finaliser (Steele, Lea and Flood 2014), which is cheap enough to be called per token in a kernel. So any
worker, in any order and under any engine, draws the same numbers for the same document.
"""

import numba
import numpy as np
import pyarrow as pa
import xxhash

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def random_key(seed: int, purpose: str, name: str) -> int:
    """A 64-bit key for one named thing: xxh3_64 of "seed NUL purpose NUL name"."""
    return xxhash.xxh3_64_intdigest(f"{seed}\0{purpose}\0{name}".encode("utf-8", "surrogatepass"))


def random_keys(seed: int, purpose: str, names: pa.Array) -> np.ndarray:
    """Keys of many things at once: uint64 of shape (N,). Equals `random_key` item by item."""
    prefix, digest = f"{seed}\0{purpose}\0".encode(), xxhash.xxh3_64_intdigest
    spelled = names.cast(pa.large_binary()).to_pylist()
    # Ids are short: 0.25 us each, nearly all of it the calls
    return np.fromiter((digest(prefix + name) for name in spelled), np.uint64, len(spelled))


@numba.njit(cache=True, nogil=True, inline="always")
def random_bits(key: np.uint64, counter: np.uint64) -> np.uint64:
    """64 random bits: SplitMix64's output number `counter` of the stream that `key` starts."""
    z = np.uint64(key) + (np.uint64(counter) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True, nogil=True, inline="always")
def random_uniform(key: np.uint64, counter: np.uint64) -> float:
    """A float64 in [0, 1): the top 53 bits of `random_bits`."""
    return np.float64(random_bits(key, counter) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


def uniforms(keys: np.ndarray, counter: int = 0) -> np.ndarray:
    """float64 of shape (N,) in [0, 1): draw number `counter` of each key, equal to `random_uniform`."""
    with np.errstate(over="ignore"):
        z = keys.astype(np.uint64) + np.uint64(counter + 1) * _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * (1.0 / 9007199254740992.0)
