"""Locality-sensitive hashing: a key for each band of a signature, so that candidates meet in a shuffle.

How signatures are cut, and what that finds, `banding.py` says.

Cost: band keys take about 1 ns a slot. One key of 64 bits a band goes to disk, with the number of the band mixed in, so
all bands share one shuffle. Two different bands have the same key with probability 2^-64.
"""

import numpy as np

from corpusmill.dataproc.dedup.minhash import EMPTY
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.dataproc.kernels.hashing import mix

NO_KEY = np.uint64(0xFFFFFFFFFFFFFFFF)
"""The key of a document without words: no bucket. No band's key has this value."""

_STEP = np.uint64(0x9E3779B97F4A7C15)


@kernel
def _hash_bands(signatures, rows, keys):
    """Fills `keys`, uint64 of shape (N, bands)."""
    for document in range(keys.shape[0]):
        signature = signatures[document]
        empty = True
        for slot in range(signature.shape[0]):
            empty &= signature[slot] == EMPTY
        for band in range(keys.shape[1]):
            key = np.uint64(band + 1) * _STEP
            for slot in range(band * rows, (band + 1) * rows):
                key = (key ^ np.uint64(signature[slot])) * _STEP
            key = mix(key)
            keys[document, band] = NO_KEY if empty else (np.uint64(0) if key == NO_KEY else key)


def band_keys(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """The key of each band of each signature: uint64 of shape (N, bands), `NO_KEY` where a document has no words.

    Args:
        signatures: uint32 of shape (N, K), C order, with K >= bands * rows.
    """
    if bands * rows > signatures.shape[1]:
        raise ValueError(f"{bands} bands of {rows} rows need more than {signatures.shape[1]} slots")
    keys = np.empty((len(signatures), bands), np.uint64)
    _hash_bands(read_only(signatures, np.uint32), np.int64(rows), keys)
    return keys


def key_rows(keys: np.ndarray, addresses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows (key, address) for the shuffle, each uint64 of shape (M,); documents without words have none.

    Args:
        keys: uint64 of shape (N, bands), from `band_keys`.
        addresses: uint64 of shape (N,).
    """
    present = keys != NO_KEY
    rows = np.nonzero(present)[0]
    return keys[present], addresses[rows]
