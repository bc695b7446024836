"""The readers by name: what files they are for, how these are split, and the function that reads them.

A reader is an entry here and a function in a module of its own, which is imported when it first reads. Its function is
`read(piece, fields, report)`, or with `groups` `read(pieces, fields, report)` over many small files, and yields batches
of `dataproc.documents.SCHEMA`; what cannot be a document goes to `report` (`readers.batches`), so that it costs only
itself. Where files are split, it reads the range of the piece that it is given (`readers.splitting`).

Other packages bring readers by the entry point `corpusmill.readers`, which names a `Reader` called as its entry is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal

import pyarrow as pa

from corpusmill.dataproc.decompression import ENDINGS
from corpusmill.dataproc.entry_points import READERS as GROUP
from corpusmill.dataproc.entry_points import broken_entry_point, foreign_names, load_foreign
from corpusmill.dataproc.urls import without_query

Split = Literal["bytes", "members", "row groups", "record batches"]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A format of raw files, and what reads it.

    Attributes:
        name: the format, as settings name it.
        target: "module:function".
        endings: files that have one are of this format, in upper or lower case; one that begins with a slash is a whole
            name, as it is spelled.
        splits: what large files may be split by: ranges of bytes where they are plain, of members where they are
            compressed, row groups of Parquet, record batches of Arrow; a file is one piece if there are none.
        groups: whether the function reads many pieces, so that small files share a batch.
        needs: (module, extra) of optional libraries that it imports.
        marks: keys that it writes into `meta` of documents that are not as they were sent; ingest counts them.
        unbounded: whether a library that it calls may take any time on a document, so that a watch has to be able to
            end it (`dataproc.watching`).
    """

    name: str
    target: str
    endings: tuple[str, ...] = ()
    splits: tuple[Split, ...] = ()
    groups: bool = False
    needs: tuple[tuple[str, str], ...] = ()
    marks: tuple[str, ...] = ()
    unbounded: bool = False

    def load(self) -> Callable[..., Iterator[pa.RecordBatch]]:
        """The function that reads."""
        module, _, function = self.target.partition(":")
        read: Callable[..., Iterator[pa.RecordBatch]] = getattr(import_module(module), function)
        return read


_HERE = "corpusmill.dataproc.readers"
_WEB = (("resiliparse", "web"), ("webencodings", "web"), ("brotli", "web"), ("lz4", "web"))
_MARKS = ("replaced", "truncated")


def _or_compressed(*endings: str) -> tuple[str, ...]:
    """The endings, each by itself and with those of compressed files behind it."""
    return tuple(ending + packed for ending in endings for packed in ("", *ENDINGS))


_OURS = (
    Reader(
        name="jsonl",
        target=f"{_HERE}.jsonl:read_jsonl",
        endings=(
            *_or_compressed(".jsonl", ".jsonlines", ".ndjson", ".jl"),
            *(f".json{packed}" for packed in ENDINGS),  # as most are; one that holds an array is read as JSON
        ),
        splits=("bytes", "members"),
    ),
    Reader(name="json", target=f"{_HERE}.json_objects:read_json", endings=(".json",)),
    Reader(name="csv", target=f"{_HERE}.csv_files:read_csv", endings=_or_compressed(".csv", ".tsv")),
    Reader(name="parquet", target=f"{_HERE}.parquet:read_parquet", endings=(".parquet",), splits=("row groups",)),
    Reader(
        name="arrow",
        target=f"{_HERE}.arrow_ipc:read_arrow",
        endings=(".arrow", ".ipc", ".feather"),
        splits=("record batches",),
    ),
    Reader(name="text", target=f"{_HERE}.text:read_files", groups=True),
    Reader(
        name="html",
        target=f"{_HERE}.archives.html:read_html",
        groups=True,
        needs=_WEB,
        marks=_MARKS,
        unbounded=True,
    ),
    Reader(
        name="warc",
        target=f"{_HERE}.archives.warc:read_warc",
        endings=(
            ".warc", ".warc.gz", ".warc.zst", ".warc.lz4", ".wet", ".wet.gz", ".wat", ".wat.gz", ".arc", ".arc.gz",
        ),
        splits=("members",),
        needs=_WEB,
        marks=_MARKS,
        unbounded=True,
    ),
    Reader(name="chat", target=f"{_HERE}.chat:read_chat"),
    Reader(name="repository", target=f"{_HERE}.repository:read_repositories"),
    Reader(
        name="python-metadata",
        target=f"{_HERE}.python_metadata:read_metadata",
        endings=("/METADATA", "/PKG-INFO"),
        groups=True,
    ),
)  # fmt: skip
READERS = {reader.name: reader for reader in _OURS}
"""Our readers by name. A file that has none of their endings is `text`, one document a file."""

FOLDERS = ("huggingface",)
"""What an input may be called that is a layout of folders: its files are of the formats above."""


def format_names(asked: str = "") -> list[str]:
    """What `format` may be; with those of other packages only if what is asked for is not ours."""
    ours = [*READERS, *FOLDERS]
    return ours if asked in ours else ours + _foreign_names()


def reader_of(format: str) -> Reader | None:
    """The reader of a format; None for one that nothing reads. Raises UserError for a bad entry point."""
    if format in READERS:
        return READERS[format]
    return _foreign(format) if format in _foreign_names() else None


def reader_of_ending(path: str) -> Reader | None:
    """The reader of a file by its ending, ours first."""
    path = without_query(path)
    lower = path.lower()
    for readers in (_of_ours, _of_others):
        for reader in readers():
            if path.endswith(reader.endings) or lower.endswith(reader.endings):
                return reader
    return None


def _of_ours() -> Sequence[Reader]:
    return _OURS


@cache
def _of_others() -> Sequence[Reader]:
    return [_foreign(name) for name in _foreign_names()]


def _foreign_names() -> list[str]:
    return foreign_names(GROUP, (*READERS, *FOLDERS))


def _foreign(name: str) -> Reader:
    reader: Any = load_foreign(GROUP, name)
    if not isinstance(reader, Reader) or reader.name != name:
        raise broken_entry_point(GROUP, name, f"it is not a Reader named '{name}'")
    return reader
