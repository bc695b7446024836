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
        endings: files that have one are of this format.
        named_endings: those that have one are of it where they are named by it (`data/*.json`). Found in a folder, such
            a file is one text among others, as are the configuration files and tables of a tree of code.
        splits: what large files may be split by: ranges of bytes where they are plain, of members where they are
            compressed, row groups of Parquet, record batches of Arrow; a file is one piece if there are none.
        groups: whether the function reads many pieces, so that small files share a batch.
        needs: (module, extra) of optional libraries that it imports.
    """

    name: str
    target: str
    endings: tuple[str, ...] = ()
    named_endings: tuple[str, ...] = ()
    splits: tuple[Split, ...] = ()
    groups: bool = False
    needs: tuple[tuple[str, str], ...] = ()

    def load(self) -> Callable[..., Iterator[pa.RecordBatch]]:
        """The function that reads."""
        module, _, function = self.target.partition(":")
        read: Callable[..., Iterator[pa.RecordBatch]] = getattr(import_module(module), function)
        return read


_HERE = "corpusmill.dataproc.readers"
_WEB = (("fastwarc", "web"), ("resiliparse", "web"))
_OURS = (
    Reader(
        name="jsonl",
        target=f"{_HERE}.jsonl:read_jsonl",
        endings=(
            ".jsonl", ".jsonl.gz", ".jsonl.zst", ".jsonl.zstd", ".ndjson", ".ndjson.gz", ".ndjson.zst", ".ndjson.zstd",
            ".json.gz", ".json.zst", ".json.zstd",
        ),
        splits=("bytes", "members"),
    ),
    Reader(name="json", target=f"{_HERE}.json_objects:read_json", named_endings=(".json",)),
    Reader(
        name="csv",
        target=f"{_HERE}.csv_files:read_csv",
        named_endings=(".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz", ".tsv.zst"),
    ),
    Reader(name="parquet", target=f"{_HERE}.parquet:read_parquet", endings=(".parquet",), splits=("row groups",)),
    Reader(
        name="arrow",
        target=f"{_HERE}.arrow_ipc:read_arrow",
        endings=(".arrow", ".ipc", ".feather"),
        splits=("record batches",),
    ),
    Reader(name="text", target=f"{_HERE}.text:read_files", groups=True),
    Reader(name="html", target=f"{_HERE}.archives.html:read_html", groups=True, needs=_WEB),
    Reader(
        name="warc",
        target=f"{_HERE}.archives.warc:read_warc",
        endings=(".warc", ".warc.gz", ".warc.zst", ".wet", ".wet.gz", ".wat", ".wat.gz", ".arc", ".arc.gz"),
        splits=("members",),
        needs=_WEB,
    ),
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


def reader_of_ending(path: str, pattern: str = "") -> Reader | None:
    """The reader of a file by its ending, ours first; `pattern` is the path or glob by which it was found."""
    path, pattern = without_query(path), without_query(pattern)
    for readers in (_of_ours, _of_others):
        for reader in readers():
            if path.endswith(reader.endings) or (
                pattern.endswith(reader.named_endings) and path.endswith(reader.named_endings)
            ):
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
