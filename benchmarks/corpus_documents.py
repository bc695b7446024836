"""Documents of a corpus folder for benchmarks: *.jsonl.zst with id, text and meta (kind, lang) to one Arrow table."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        ("language", pa.string()),
        ("url", pa.string()),
        ("meta", pa.string()),
    ]
)


def read_corpus(corpus: Path) -> pa.Table:
    """All documents, in the order of the files' names and lines; `language` is `meta.lang`, else null."""
    import zstandard

    rows: dict[str, list[str | None]] = {name: [] for name in SCHEMA.names}
    for path in sorted(corpus.glob("*.jsonl.zst")):
        with path.open("rb") as file:
            plain = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(file)
            for line in io.TextIOWrapper(plain, "utf-8", newline="\n"):
                record = json.loads(line)
                meta = record["meta"]
                values = (
                    record["id"],
                    record["text"],
                    path.name.split(".")[0],
                    meta["kind"],
                    meta.get("lang"),
                    None,
                    None,
                )
                for name, value in zip(SCHEMA.names, values, strict=True):
                    rows[name].append(value)
    return pa.table(rows, SCHEMA)


def english_prose(documents: pa.Table) -> pa.Table:
    """Those in English that are no code."""
    return documents.filter(
        pc.and_(pc.equal(documents["language"], "en"), pc.not_equal(documents["kind"], "code"))
    ).combine_chunks()


def megabytes(documents: pa.Table) -> float:
    """Bytes of text, in millions."""
    return (pc.sum(pc.binary_length(documents["text"])).as_py() or 0) / 1e6
