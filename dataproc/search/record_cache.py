"""The records of a segment that are in memory: read by range, checked, kept until the memory for them is full.

A full cache is emptied and filled anew, which takes no bookkeeping in compiled code, and no memory that grows with the
text. Memory: `cache_bytes`, touched only as far as it fills.
"""

import numpy as np
import xxhash

from corpusmill.dataproc.search.records import LARGEST
from corpusmill.dataproc.search.segment_file import Directory, RangeReader, damaged
from corpusmill.dataproc.search.steps import TABLE_BYTES, prepare

CACHE_BYTES = 48 << 20
"""Three quarters of the records of 128 MiB of text: more than a passage of 500 words touches there."""


class RecordCache:
    """Records in one array, as kernels take them: `starts[record]` is -1 for one that is not there."""

    def __init__(self, reader: RangeReader, directory: Directory, cache_bytes: int = CACHE_BYTES) -> None:
        self._reader = reader
        sizes = directory.arrays["record_sizes"].astype(np.int64)
        self._places = [0, *np.cumsum(sizes).tolist()]
        self._sigma = len(directory.alphabet)
        self._checksums = directory.arrays["record_checksums"].tolist()
        whole = self._places[-1] + TABLE_BYTES * len(sizes)
        self.data = np.empty(max(min(cache_bytes, whole), 2 * LARGEST), np.uint8)
        self._view = self.data.data
        self.starts = np.full(len(sizes), -1, np.int64)
        self.stops = np.zeros(len(sizes), np.int64)
        self._filled = 0
        self.reads = 0

    def load(self, record: int) -> None:
        """Brings a record into memory. Raises UserError for a damaged one."""
        place = self._places[record]
        size = self._places[record + 1] - place
        if self._filled + size + TABLE_BYTES > len(self.data):
            self.starts[:] = -1
            self._filled = 0
        stop = self._filled + size
        content = self._view[self._filled : stop]
        self._reader.read_into(place, content)
        if xxhash.xxh3_64_intdigest(content) != self._checksums[record]:
            raise damaged(self._reader.path, f"the checksum of record {record} is wrong")
        if not prepare(self.data, self._filled, stop, self._sigma):
            raise damaged(self._reader.path, f"record {record} does not exist")
        self.starts[record], self.stops[record] = self._filled, stop
        self._filled = stop + TABLE_BYTES
        self.reads += 1
