"""Compiles the kernels of search indexes."""

import tempfile
from pathlib import Path

import pyarrow as pa

from corpusmill.dataproc.search.building import SegmentText, write_segment
from corpusmill.dataproc.search.segment import Segment


def compile_kernels() -> None:
    """Builds a small segment and asks it everything."""
    texts = ["".join(map(str, range(200))), "", "text"]
    columns = {"id": ["a", "b", "c"], "text": pa.array(texts, pa.large_string()), "source": ["s"] * 3}
    collected = SegmentText()
    collected.add(pa.record_batch(columns))
    text, names = collected.taken()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "segment.fm")
        write_segment(path, text, names, 32)
        with Segment(path) as segment:
            segment.positions(segment.rows(b"11"))
            segment.text(0, 10)
