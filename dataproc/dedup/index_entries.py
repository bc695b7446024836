"""What an index lists: a generation, its segments, and the datasets in them; as JSON that says when it is damaged."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import xxhash

from corpusmill.dataproc.errors import UserError

SCHEMA_VERSION = 2
SEGMENT = "segment.json"
"""The file of a segment that says what is in it."""


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """A dataset in a segment.

    Attributes:
        path: of the dataset as it was added, from the root, or its URL; what a match is named by.
        manifest: digest of the dataset's manifest.
        documents: rows of the segment that are its, after those of the datasets before it.
        is_retracted: whether all of them are.
    """

    path: str
    manifest: str
    documents: int
    is_retracted: bool = False


@dataclass(frozen=True, kw_only=True)
class SegmentEntry:
    """A segment of an index.

    Attributes:
        number: the upper part of its documents' addresses.
        folder: below the index.
        datasets: one, or those of the segments that were merged into it.
        bytes: of the segment's files.
        digest: of `segment.json`, which is looked at whenever the segment is opened.
        files: digest of the segment's own manifest, which has the digests of its files.
        tombstone: file of retracted rows below the index, or empty.
        retracted: how many rows it holds.
    """

    number: int
    folder: str
    datasets: tuple[DatasetEntry, ...]
    bytes: int
    digest: str
    files: str = ""
    tombstone: str = ""
    retracted: int = 0

    @property
    def documents(self) -> int:
        """Rows, retracted ones among them."""
        return sum(dataset.documents for dataset in self.datasets)

    @property
    def dataset(self) -> str:
        """The path of its first dataset: of the only one where it was not merged."""
        return self.datasets[0].path

    def rows_of(self, dataset: DatasetEntry) -> range:
        """The rows of one of its datasets."""
        place = self.datasets.index(dataset)
        first = sum(before.documents for before in self.datasets[:place])
        return range(first, first + dataset.documents)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """An index as of one change.

    Attributes:
        number: of the change, from 0.
        settings: what every segment was made by (`index.index_settings`).
        next_segment: the number that the next segment gets.
        segments: in the order of their numbers.
        retracted: segments that were taken out again, whole.
        merged: segments whose documents are in a later one by now; files of theirs are there until the next change.
    """

    number: int
    settings: dict[str, Any]
    next_segment: int = 0
    segments: tuple[SegmentEntry, ...] = ()
    retracted: tuple[SegmentEntry, ...] = ()
    merged: tuple[SegmentEntry, ...] = ()

    def to_json(self) -> bytes:
        """The file of the generation; it holds a digest of all else in it."""
        values = {key: value for key, value in asdict(self).items() if key != "number"} | {"schema": SCHEMA_VERSION}
        values["digest"] = _digest(values)
        return (json.dumps(values, sort_keys=True, indent=1) + "\n").encode()


def _digest(values: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(values, sort_keys=True).encode())


def parse_generation(data: bytes, number: int, path: str) -> Generation:
    """A generation from its file. Raises UserError for a file that is none, is damaged, or is of another schema."""
    try:
        values = json.loads(data)
        schema = values["schema"]
        if schema != SCHEMA_VERSION:
            what = f"this index has schema {schema!r}, and this corpusmill reads {SCHEMA_VERSION}"
            raise UserError(what, where=path, hint="use the version that wrote it, or rebuild the index")
        digest = values.pop("digest")
        if digest != _digest(values):
            raise UserError("this generation of an index is damaged: the digest in it differs", where=path)
        values.pop("schema")
        lists: dict[str, Any] = {
            name: tuple(map(_segment, values.pop(name))) for name in ("segments", "retracted", "merged")
        }
        return Generation(number=number, **lists, **values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"not a generation of an index ({error})", where=path) from error


def _segment(values: dict[str, Any]) -> SegmentEntry:
    return SegmentEntry(**values | {"datasets": tuple(DatasetEntry(**dataset) for dataset in values["datasets"])})
