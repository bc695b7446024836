"""Which datasets an index holds: a chain of generations, each a small file that is written once and never changed.

    INDEX/generations/00000003.json        the list of segments as of change 3; the highest number is the index
    INDEX/segments/00002-<fingerprint>/    what was made of one dataset (`index_segment`), never changed either
    INDEX/tombstones/<number>-<digest>.arrow   rows of a segment that were retracted by id

Adding, retracting a dataset and retracting ids are each one new generation, and it appears by creating a file that must
not exist yet: locally by a link, which fails where the name is taken; on an object store by a conditional PUT. So two
who change an index at once need no lock on any file system: the second finds its number taken, reads what the
first one wrote and makes its own change on top. Whoever dies before that leaves the index as it was, and files
that nobody lists. A reader sees one generation and nothing between two. Generations stay, as the index's history; were
old ones removed, a writer that slept for long could create one of their numbers anew.

A document's address is 64 bits: the segment's number above, its row in the segment below. Numbers are given when a
segment is listed and never again, so an address means the same document for ever, or nobody.

Cost: a generation is about 400 bytes a segment, and reading the index is one listing and one such file.
"""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError

ROW_BITS = 40
"""Bits of a row in an address; the 24 above are the segment's number."""

MAX_SEGMENTS = 1 << (64 - ROW_BITS)
SCHEMA_VERSION = 1
DEPENDS_ON = {
    "exact": ("normalise", "hash_version"),
    "minhash": ("threshold", "recall", "permutations", "shingle", "ngram", "seed", "hash_version"),
}
"""What the digests and the keys of an index depend on, of its settings; bands and rows follow."""

GENERATIONS, SEGMENTS, TOMBSTONES = "generations", "segments", "tombstones"


@dataclass(frozen=True, kw_only=True)
class SegmentEntry:
    """A dataset in an index.

    Attributes:
        number: the upper part of its documents' addresses.
        folder: below the index.
        dataset: path or URL of the dataset as it was added, from the root; what a match is named by.
        manifest: digest of the dataset's manifest.
        documents: rows of the segment.
        bytes: of the segment's files.
        tombstone: file of retracted rows below the index, or empty.
        retracted: how many rows it holds.
    """

    number: int
    folder: str
    dataset: str
    manifest: str
    documents: int
    bytes: int
    tombstone: str = ""
    retracted: int = 0


@dataclass(frozen=True, kw_only=True)
class Generation:
    """An index as of one change.

    Attributes:
        number: of the change, from 0.
        settings: what every segment was made by (`index.index_settings`).
        next_segment: the number that the next segment gets.
        segments: in the order of their numbers.
        retracted: datasets that were taken out again, whole.
    """

    number: int
    settings: dict[str, Any]
    next_segment: int = 0
    segments: tuple[SegmentEntry, ...] = ()
    retracted: tuple[SegmentEntry, ...] = ()

    def to_json(self) -> bytes:
        values = {key: value for key, value in asdict(self).items() if key != "number"}
        return (json.dumps(values | {"schema": SCHEMA_VERSION}, sort_keys=True, indent=1) + "\n").encode()


def generation_path(folder: str, number: int) -> str:
    return storage.join(folder, GENERATIONS, f"{number:08d}.json")


def read_generation(folder: str, number: int | None = None) -> Generation | None:
    """An index's newest generation, or the one of that number; None where there is no index.

    Raises UserError for a file that is no generation, or of a newer schema.
    """
    if number is None:
        names = [name for name in storage.list_names(storage.join(folder, GENERATIONS)) if name.endswith(".json")]
        if not names:
            return None
        number = max(int(name.removesuffix(".json")) for name in names if name.removesuffix(".json").isdigit())
    path = generation_path(folder, number)
    try:
        values = json.loads(storage.read_bytes(path))
        schema = values.pop("schema")
        if schema != SCHEMA_VERSION:
            what = f"this index has schema {schema!r}, and this corpusmill reads {SCHEMA_VERSION}"
            raise UserError(what, where=path, hint="use the version that wrote it, or rebuild the index")
        segments, retracted = (
            tuple(SegmentEntry(**entry) for entry in values.pop(name)) for name in ("segments", "retracted")
        )
        return Generation(number=number, segments=segments, retracted=retracted, **values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"not a generation of an index ({error})", where=path) from error


def require_generation(folder: str, number: int | None = None) -> Generation:
    """As `read_generation`. Raises UserError where there is no index."""
    generation = read_generation(folder, number)
    if generation is None:
        raise UserError("not an index", where=folder, hint="create one with `corpusmill index add INDEX DATASET`")
    return generation


def create_file(path: str, data: bytes) -> None:
    """Writes a small file whole, unless its name is taken: of many who try at once, one succeeds.

    Raises FileExistsError. A file system of fsspec that has no conditional write is checked first and then written to,
    which leaves a moment in which two can pass; s3 and gs have it.
    """
    storage.require_commit()
    if storage.is_url(path):
        import fsspec

        filesystem, inner = fsspec.core.url_to_fs(path)
        if filesystem.protocol != ("file", "local"):
            filesystem.makedirs(filesystem._parent(inner), exist_ok=True)
            filesystem.pipe_file(inner, data, mode="create")
            return
        path = inner
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{storage.TEMPORARY_PREFIX}{secrets.token_hex(6)}-{target.name}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        storage.require_commit()
        os.link(temporary, target)
        storage.sync_path(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def change_index(folder: str, edit: Callable[[Generation | None], Generation | None]) -> Generation | None:
    """Makes one change to an index, on top of whatever others have changed meanwhile.

    Args:
        edit: gives the wanted state from the present one (None where there is no index), its `number` not looked at;
            None when there is nothing to change. Called again when somebody else was faster.

    Returns:
        the index's newest generation.
    """
    while True:
        current = read_generation(folder)
        wanted = edit(current)
        if wanted is None:
            return current
        wanted = replace(wanted, number=current.number + 1 if current else 0)
        try:
            create_file(generation_path(folder, wanted.number), wanted.to_json())
        except FileExistsError:
            continue
        return wanted


def list_segment(folder: str, settings: dict[str, Any], entry: SegmentEntry) -> SegmentEntry:
    """Makes a finished segment a part of the index; gives its entry with the number that it got.

    Raises UserError when the index has other settings by now, or the dataset with other contents.
    """

    def edit(current: Generation | None) -> Generation | None:
        present = current or Generation(number=0, settings=settings)
        require_same_settings(folder, present.settings, settings)
        if find_dataset(folder, present, entry.dataset, entry.manifest):
            return None
        if present.next_segment >= MAX_SEGMENTS:
            raise UserError(
                f"an index can hold at most {MAX_SEGMENTS} datasets", where=folder, hint="start a new index"
            )
        listed = replace(entry, number=present.next_segment)
        return replace(present, next_segment=listed.number + 1, segments=(*present.segments, listed))

    generation = change_index(folder, edit)
    assert generation is not None
    stored = find_dataset(folder, generation, entry.dataset, entry.manifest)
    assert stored is not None
    return stored


def find_dataset(folder: str, generation: Generation, dataset: str, manifest: str) -> SegmentEntry | None:
    """The entry of a dataset, known by the digest of its manifest wherever it lies; None when it is not in the index.

    Raises UserError when its path is there with other contents: matches could not tell apart two of one name.
    """
    for entry in generation.segments:
        if entry.manifest == manifest:
            return entry
        if entry.dataset == dataset:
            raise UserError(
                f"the index {folder} already has this dataset, with different contents",
                dataset,
                "retract it first, then add it",
            )
    return None


def require_same_settings(folder: str, present: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises UserError naming the first setting that differs."""
    for name in sorted({*present, *wanted}):
        if present.get(name) != wanted.get(name):
            raise UserError(
                f"this index was made with {name} {present.get(name)!r}, not {wanted.get(name)!r}",
                where=folder,
                hint="omit the setting, or start a new index",
            )


def require_comparable(folder: str, present: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises UserError unless documents signed by the wanted settings can be matched against an index of the present
    ones; their methods may be fewer."""
    for method in wanted["method"]:
        if method not in present["method"]:
            raise UserError(f"this index was not built for '{method}'", folder, f"use {','.join(present['method'])}")
        for name in DEPENDS_ON[method]:
            if present[name] != wanted[name]:
                what = f"this index was made with {name} {present[name]!r}, not {wanted[name]!r}"
                hint = (
                    "make the index again"
                    if name == "hash_version"
                    else "use the settings of the index, or make another one"
                )
                raise UserError(what, where=folder, hint=hint)


def retract_dataset(folder: str, dataset: str, manifest: str = "") -> SegmentEntry:
    """Takes a dataset out of the index, then removes its files; gives the entry that it had.

    Args:
        dataset: its path from the root, as it was added.
        manifest: the digest of its manifest, where that can still be read; then the path does not matter.

    Raises UserError when the index does not hold it.
    """
    taken: list[SegmentEntry] = []

    def edit(current: Generation | None) -> Generation | None:
        present = current or require_generation(folder)
        taken[:] = [entry for entry in present.segments if manifest and entry.manifest == manifest] or [
            entry for entry in present.segments if entry.dataset == dataset
        ]
        if not taken:
            raise UserError(
                "this dataset is not in the index", where=dataset, hint=f"see `corpusmill index show {folder}`"
            )
        kept = tuple(entry for entry in present.segments if entry not in taken)
        return replace(present, segments=kept, retracted=(*present.retracted, *taken))

    change_index(folder, edit)
    for entry in taken:
        _remove_files(folder, entry)
    return taken[0]


def remove_retracted(folder: str, generation: Generation) -> None:
    """Removes what a retraction that was killed has left."""
    there = set(storage.list_names(storage.join(folder, SEGMENTS)))
    for entry in generation.retracted:
        if entry.folder.rpartition("/")[2] in there:
            _remove_files(folder, entry)


def _remove_files(folder: str, entry: SegmentEntry) -> None:
    """The folder last: while it is there, somebody will come back for both."""
    if entry.tombstone:
        storage.remove(storage.join(folder, entry.tombstone))
    storage.remove(storage.join(folder, entry.folder))


def unlisted_folders(folder: str, generation: Generation | None) -> list[str]:
    """Folders of segments, below the index, that were begun and are not part of it: somebody's at work, or killed."""
    known = {entry.folder for entry in (*generation.segments, *generation.retracted)} if generation else set()
    names = [f"{SEGMENTS}/{name}" for name in storage.list_names(storage.join(folder, SEGMENTS))]
    return [name for name in names if name not in known]


def retract_rows(folder: str, rows: dict[int, np.ndarray]) -> int:
    """Takes single documents out of the index; gives how many were in it until now.

    Args:
        rows: by segment number, int64 of shape (N,), rows of that segment. Segments that were retracted meanwhile are
            passed over.
    """
    before: dict[int, int] = {}
    written: list[str] = []
    replaced: list[str] = []

    def edit(current: Generation | None) -> Generation | None:
        present = current or require_generation(folder)
        for path in written:  # of a try that came second
            storage.remove(storage.join(folder, path))
        for noted in (before, written, replaced):
            noted.clear()  # type: ignore[attr-defined]
        entries = []
        for entry in present.segments:
            if entry.number in rows:
                old = read_tombstone(folder, entry)
                new = np.union1d(old, rows[entry.number].astype(np.uint64))
                if len(new) > len(old):
                    before[entry.number] = len(new) - len(old)
                    path = _write_tombstone(folder, entry.number, new)
                    written.append(path)
                    replaced.extend([entry.tombstone] if entry.tombstone else [])
                    entry = replace(entry, tombstone=path, retracted=len(new))
            entries.append(entry)
        return replace(present, segments=tuple(entries)) if before else None

    change_index(folder, edit)
    for path in replaced:
        storage.remove(storage.join(folder, path))
    return sum(before.values())


def read_tombstone(folder: str, entry: SegmentEntry) -> np.ndarray:
    """The retracted rows of a segment: uint64 of shape (N,), rising."""
    if not entry.tombstone:
        return np.zeros(0, np.uint64)
    with storage.open_input(storage.join(folder, entry.tombstone)) as file:
        return pa.ipc.open_file(file).read_all()["row"].combine_chunks().to_numpy(zero_copy_only=False)


def _write_tombstone(folder: str, number: int, rows: np.ndarray) -> str:
    """Writes rows under a name that nobody else writes, so that a loser's file is never the winner's."""
    path = f"{TOMBSTONES}/{number:05d}-{secrets.token_hex(8)}.arrow"
    table = pa.table({"row": pa.array(rows, pa.uint64())})
    with storage.commit_file(storage.join(folder, path)) as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return path
