"""How much larger compressed JSON lines are than their files, by the beginnings of a few of them; for estimates."""

from collections.abc import Iterable, Mapping
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.decompression import DecompressedFile, codec_of
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.pieces import recognise

PROBED_FILES, PROBE_BYTES = 8, 4 << 20


def unpacked_bytes(inputs: Iterable[Mapping[str, Any]]) -> int:
    """Bytes by which compressed JSON lines exceed their files; `inputs` are identities of files by path."""
    more = 0.0
    for files in inputs:
        compressed = [path for path in files if recognise(path) == "jsonl" and codec_of(path)]
        if compressed:
            probes = [_unpack(path) for path in compressed[:: -(-len(compressed) // PROBED_FILES)]]
            ratio = sum(text for text, _ in probes) / sum(taken for _, taken in probes)
            more += sum(files[path][0] for path in compressed) * (max(1.0, ratio) - 1)
    return int(more)


def _unpack(path: str) -> tuple[int, int]:
    """(bytes that come out, bytes taken in) of a compressed file's beginning; alike where it cannot be unpacked."""
    try:
        opened = storage.open_input(path)
    except UserError:
        return 1, 1
    with opened as file:
        codec = codec_of(path)
        assert codec is not None
        stream, taken = DecompressedFile(file, codec, ends_at_break=True), 0  # the run will quarantine it and say where
        while taken < PROBE_BYTES and (data := stream.read(PROBE_BYTES - taken)):
            taken += len(data)
        return (1, 1) if stream.problem else (taken, max(1, stream.offset))
