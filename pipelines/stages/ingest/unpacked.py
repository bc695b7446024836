"""How much larger compressed JSON lines are than their files, by the beginnings of a few of them; for estimates."""

import zlib
from collections.abc import Iterable, Mapping
from gzip import GzipFile
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.readers.pieces import COMPRESSED, recognise

PROBED_FILES, PROBE_BYTES = 8, 4 << 20


def unpacked_bytes(inputs: Iterable[Mapping[str, Any]]) -> int:
    """Bytes by which compressed JSON lines exceed their files; `inputs` are identities of files by path."""
    more = 0.0
    for files in inputs:
        compressed = [path for path in files if recognise(path) == "jsonl" and path.endswith(COMPRESSED)]
        if compressed:
            probes = [_unpack(path) for path in compressed[:: -(-len(compressed) // PROBED_FILES)]]
            ratio = sum(text for text, _ in probes) / sum(taken for _, taken in probes)
            more += sum(files[path][0] for path in compressed) * (max(1.0, ratio) - 1)
    return int(more)


def _unpack(path: str) -> tuple[int, int]:
    """(bytes that come out, bytes taken in) of a compressed file's beginning; alike where it cannot be unpacked."""
    import zstandard

    with storage.open_input(path) as file:
        unzstd = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        stream = GzipFile(fileobj=file) if path.endswith(".gz") else unzstd.stream_reader(file, read_across_frames=True)
        try:
            return len(stream.read(PROBE_BYTES)), max(1, file.tell())
        except (OSError, EOFError, zlib.error, zstandard.ZstdError):  # the run will quarantine it and say where
            return 1, 1
