"""The shingles of many documents in one array: in memory as long as they are few, else in a file that is mapped.

A component may have millions of members at 3 KB each, and greedy absorption goes from one to any other. What a task
holds must not grow with them: past `HELD_BYTES` the sets go into a file without a name beside the stage's work, which
the kernel reads through a map. Its pages are the page cache's, which the system takes back as it needs them, and the
file is gone when the task is. Documents lie in the order of their blocks, in which near ones were read, so most of
what a document is compared with is read in order.

Cost: one copy of the sets; beyond `HELD_BYTES` a copy on disk, and reads from there as far as memory does not hold it.
"""

import mmap
import tempfile
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

HELD_BYTES = 256 << 20
COPIED = 1 << 23
"""Hashes that are written together."""


class StoredSets(NamedTuple):
    """Where each of N documents' sets lies in `hashes`: int64 of shape (N,) each, and uint64."""

    starts: np.ndarray
    stops: np.ndarray
    hashes: np.ndarray


def store_sets(lists: Iterable[pa.LargeListArray], folder: str, held_bytes: int = HELD_BYTES) -> StoredSets:
    """The sets of several arrays, one after the other.

    Args:
        lists: arrays of rising uint64, without nulls; views of files will do.
        folder: of this machine, for the file.
        held_bytes: what may lie in memory.
    """
    lists = list(lists)
    starts, stops, pieces, total = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)], 0
    for sets in lists:
        offsets = sets.offsets.to_numpy()
        first, last = (int(offsets[0]), int(offsets[-1])) if len(sets) else (0, 0)
        starts.append(offsets[:-1] + (total - first))
        stops.append(offsets[1:] + (total - first))
        pieces.append(sets.values.to_numpy()[first:last])
        total += last - first
    held = total * 8 <= held_bytes
    return StoredSets(
        np.concatenate(starts), np.concatenate(stops), np.concatenate(pieces) if held else _mapped(pieces, folder)
    )


def _mapped(pieces: list[np.ndarray], folder: str) -> np.ndarray:
    """The pieces one after the other in a file without a name, mapped."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece in pieces:
            for start in range(0, len(piece), COPIED):
                file.write(np.ascontiguousarray(piece[start : start + COPIED]).data)
        file.flush()
        return np.frombuffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), np.uint64)
