"""What to read: the formats of files, and the pieces of them that workers read.

A piece is a file or a part of one that a worker can read by itself; `splitting` cuts large files into pieces.
"""

from dataclasses import dataclass

FORMATS = {
    "jsonl": (
        ".jsonl", ".jsonl.gz", ".jsonl.zst", ".jsonl.zstd", ".ndjson", ".ndjson.gz", ".ndjson.zst", ".ndjson.zstd",
        ".json.gz", ".json.zst", ".json.zstd",
    ),
    "parquet": (".parquet",),
    "arrow": (".arrow", ".ipc", ".feather"),
    "python-metadata": ("/METADATA", "/PKG-INFO"),
    "warc": (
        ".warc", ".warc.gz", ".warc.zst", ".wet", ".wet.gz", ".wat", ".wat.gz",
        ".arc", ".arc.gz",
    ),
}  # fmt: skip
"""Endings by which a format is recognised; anything else is `text`, one document a file."""

NAMED_FORMATS = {
    "json": (".json",),
    "csv": (".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst"),
}
"""Endings that say the format of files that are named by them (`data/*.json`); found in a folder, such a file is one
text among others, as are the configuration files and tables of a tree of code."""


@dataclass(frozen=True, kw_only=True)
class Fields:
    """How records become documents: names of the input's fields, and what to write where it has none.

    A name with dots is a path into nested objects or structs. `meta_fields` are the fields that `meta` keeps of those
    that became no column; None keeps all.
    """

    source: str
    kind: str = "web"
    text_field: str = "text"
    id_field: str = "id"
    url_field: str = "url"
    language_field: str = "language"
    maximum_record_bytes: int = 64 << 20
    meta_fields: tuple[str, ...] | None = None
    extractor: str = "resiliparse"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of one input file. `name` is its path below the input's fixed root.

    `start` and `stop` count what the format is split by (`splitting`); `stop` 0 means to the end.
    """

    path: str
    name: str
    format: str
    bytes: int
    start: int = 0
    stop: int = 0


def recognise(path: str, pattern: str = "") -> str:
    """The format of a file by its ending; `pattern` is the path or glob by which it was found."""
    named = {name: endings for name, endings in NAMED_FORMATS.items() if pattern.endswith(endings)}
    for name, endings in (FORMATS | named).items():
        if path.endswith(endings):
            return name
    return "text"
