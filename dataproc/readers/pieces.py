"""What to read: the pieces of files that workers read, and how their records become documents.

A piece is a file or a part of one that a worker can read by itself; `splitting` cuts large files into pieces.
"""

from dataclasses import dataclass

from corpusmill.dataproc.decompression import WINDOW_BYTES
from corpusmill.dataproc.readers.registry import reader_of_ending


@dataclass(frozen=True, kw_only=True)
class Fields:
    """How records become documents: names of the input's fields, and what to write where it has none.

    A name with dots is a path into nested objects or structs. `meta_fields` are the fields that `meta` keeps of those
    that became no column; None keeps all. `truncated` says what becomes of pages that are not all that was sent:
    "keep", with `truncated` in `meta`, or "quarantine". `csv_…` are single characters, or "none"; None is what the
    file's ending says (`csv_files`). `comments` keeps readers' comments of web pages, by the extractor corpusmill.
    `zstd_window` is the largest window, in bytes, that a zstd frame may ask for.
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
    comments: bool = False
    truncated: str = "keep"
    csv_delimiter: str | None = None
    csv_quote: str | None = None
    csv_escape: str | None = None
    zstd_window: int = WINDOW_BYTES


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


def recognise(path: str) -> str:
    """The format of a file by its ending, in upper or lower case."""
    reader = reader_of_ending(path)
    return reader.name if reader else "text"
