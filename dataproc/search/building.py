"""A segment from its documents: the suffix array by divsufsort, then records as they come, straight into the file.

Memory: 5 bytes a byte of text (the text, and four for its suffix) while it is sorted and encoded, and the names of the
documents; twice the text for a moment before, while batches are joined. The transform itself is never in memory: a
record is gathered, encoded and written.

Cost: 6 MB of text a CPU second (AMD EPYC), of which sorting takes two thirds (docs/search.md).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
import zstandard

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError, require_extra
from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel_in_place
from corpusmill.dataproc.search.records import LARGEST, RECORD, encode_record, sample_rows
from corpusmill.dataproc.search.segment_file import (
    CONTEXT_EVERY,
    LARGEST_TEXT,
    PAGE_DOCUMENTS,
    PAGE_ROWS,
    SEPARATOR,
    Directory,
    sample_width,
)

ZSTD_LEVEL = 9
COUNTED_BYTES = 1 << 22


@kernel_in_place
def _join(data, offsets, joined):
    """Copies texts one behind the other, a separator after each."""
    place = 0
    for document in range(len(offsets) - 1):
        for byte in range(offsets[document], offsets[document + 1]):
            joined[place] = data[byte]
            place += 1
        joined[place] = SEPARATOR
        place += 1


@dataclass(frozen=True)
class Names:
    """Documents of a segment, N of them: where each begins (int64 of shape (N,)), its id and its source."""

    starts: np.ndarray
    ids: pa.Array
    sources: pa.Array


class SegmentText:
    """Documents on their way into a segment: batches are added until there is enough text."""

    def __init__(self) -> None:
        self._texts: list[np.ndarray] = []
        self._starts: list[np.ndarray] = []
        self._ids: list[pa.Array] = []
        self._sources: list[pa.Array] = []
        self.bytes = 0
        self.documents = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds documents: columns `id`, `text` and `source`."""
        if not batch.num_rows:
            return
        offsets, data = text_buffers(batch.column("text"))
        lengths = np.diff(offsets) + 1
        joined = np.empty(int(lengths.sum()), np.uint8)
        _join(data, offsets, joined)
        self._texts.append(joined)
        self._starts.append(self.bytes + np.cumsum(lengths) - lengths)
        self._ids.append(batch.column("id").cast(pa.large_string()))
        self._sources.append(batch.column("source").cast(pa.large_string()))
        self.bytes += len(joined)
        self.documents += batch.num_rows

    def taken(self) -> tuple[np.ndarray, Names]:
        """The text, joined, and the names; nothing is left here."""
        names = Names(np.concatenate(self._starts), pa.concat_arrays(self._ids), pa.concat_arrays(self._sources))
        text = np.concatenate(self._texts)
        self.__init__()  # type: ignore[misc]
        return text, names


def write_segment(path: str, text: np.ndarray, names: Names, locate_every: int) -> dict[str, Any]:
    """Writes a segment; gives its entry for a manifest, without the path.

    Args:
        text: uint8, documents with a separator after each.
        locate_every: of how many text positions one is kept, a power of two; with fewer, an occurrence is located
            faster, and the index is larger.

    Raises:
        UserError: pydivsufsort is not installed, there is too much text, or a document holds the separator.
    """
    if len(text) > LARGEST_TEXT:
        raise UserError(f"a document of {len(text):,} bytes is too large for a search index", where=path)
    if int(np.count_nonzero(text == SEPARATOR)) != len(names.starts):
        raise UserError("a document is not UTF-8: it holds the byte 0xFF", where=path, hint="ingest it again")
    suffixes = _sorted_suffixes(text)
    rows = np.zeros(len(text) // CONTEXT_EVERY + 1, np.uint32)
    sample_rows(suffixes, CONTEXT_EVERY.bit_length() - 1, rows)
    primary = int(rows[0])
    counts = np.zeros(256, np.int64)
    for first in range(0, len(text), COUNTED_BYTES):
        counts += np.bincount(text[first : first + COUNTED_BYTES], minlength=256)
    alphabet = np.flatnonzero(counts)
    with storage.commit_file(path) as file:
        records = _write_records(file, text, suffixes, primary, alphabet, locate_every)
        row_checksums = []
        for first in range(0, len(rows), PAGE_ROWS):
            page = rows[first : first + PAGE_ROWS].astype("<u4").tobytes()
            row_checksums.append(xxhash.xxh3_64_intdigest(page))
            file.write(page)
        arrays = records | _write_names(file, names) | {"row_checksums": np.array(row_checksums, np.uint64)}
        directory = Directory(
            text_bytes=len(text),
            documents=len(names.starts),
            primary=primary,
            locate_every=locate_every,
            alphabet=bytes(alphabet.tolist()),
            arrays=arrays | {"symbol_counts": counts[alphabet]},
        )
        file.write(directory.packed())
    return {"rows": len(names.starts), "bytes": file.bytes, "digest": file.digest, "text_bytes": len(text)}


def _sorted_suffixes(text: np.ndarray) -> np.ndarray:
    """The suffix array, int32."""
    try:
        from pydivsufsort import divsufsort
    except ImportError as error:
        raise require_extra("pydivsufsort", "search") from error
    return read_only(divsufsort(text), np.int32)


def _write_records(
    file: Any, text: np.ndarray, suffixes: np.ndarray, primary: int, alphabet: np.ndarray, every: int
) -> dict[str, np.ndarray]:
    """Writes all records, the last of which may be empty; gives their sizes and checksums."""
    places = np.zeros(256, np.int64)
    places[alphabet] = np.arange(len(alphabet))
    before = np.zeros(len(alphabet), np.int64)
    out = np.zeros(LARGEST, np.uint8)
    width, rice = sample_width(len(text), every), every.bit_length() - 1
    sizes, checksums = [], []
    text = read_only(text)
    for first in range(0, len(text) + 1, RECORD):
        size = min(RECORD, len(text) - first)
        length = encode_record(text, suffixes, primary, first, size, places, before, rice, width, out)
        record = out[:length].tobytes()
        out[:length] = 0
        sizes.append(length)
        checksums.append(xxhash.xxh3_64_intdigest(record))
        file.write(record)
    return {"record_sizes": np.array(sizes), "record_checksums": np.array(checksums, np.uint64)}


def _write_names(file: Any, names: Names) -> dict[str, np.ndarray]:
    """Writes the pages of names; gives their sizes, checksums and first starts."""
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    sizes, checksums = [], []
    for first in range(0, len(names.starts), PAGE_DOCUMENTS):
        starts = names.starts[first : first + PAGE_DOCUMENTS]
        strings = [_packed_strings(column.slice(first, len(starts))) for column in (names.ids, names.sources)]
        page = compressor.compress(starts.astype("<u4").tobytes() + b"".join(strings))
        sizes.append(len(page))
        checksums.append(xxhash.xxh3_64_intdigest(page))
        file.write(page)
    return {
        "name_sizes": np.array(sizes),
        "name_checksums": np.array(checksums, np.uint64),
        "name_starts": names.starts[::PAGE_DOCUMENTS],
    }


def _packed_strings(strings: pa.Array) -> bytes:
    """u32 lengths, then the bytes of all."""
    offsets, data = text_buffers(strings)
    return np.diff(offsets).astype("<u4").tobytes() + data[offsets[0] : offsets[-1]].tobytes()
