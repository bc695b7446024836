"""Which datasets an index holds: a chain of generations, each a small file that is written once and never changed.

    INDEX/generations/00000003.json          the list of segments as of change 3; the highest number is the index
    INDEX/segments/00002-<fingerprint>/      what was made of a dataset, or merged of several (`index_segment`)
    INDEX/tombstones/<number>-<random>.bin   rows of a segment that were retracted by id

Adding, retracting a dataset, retracting ids and merging are each one new generation, and it appears by creating a file
that must not exist yet: locally by a link, which fails where the name is taken; on an object store by a conditional
PUT. So two who change an index at once need no lock on any file system: the second finds its number taken, reads what
the first one wrote and makes its own change on top. Whoever dies before that leaves the index as it was, and files that
nobody lists. A reader sees one generation and nothing between two. Generations stay, as the index's history; were old
ones removed, a writer that slept for long could create one of their numbers anew.

A document's address is 64 bits: the segment's number above, its row in the segment below. Numbers are given when a
segment is listed and never again, so an address means the same document for ever, or nobody.

Cost: a generation is about 400 bytes a segment, and reading the index is one listing and one such file.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup.checked_file import CheckedFile, write_checked
from corpusmill.dataproc.dedup.index_entries import DatasetEntry, Generation, SegmentEntry, parse_generation
from corpusmill.dataproc.errors import UserError

ROW_BITS = 40
"""Bits of a row in an address; the 24 above are the segment's number."""

MAX_SEGMENTS = 1 << (64 - ROW_BITS)
DEPENDS_ON = {
    "exact": ("normalise", "hash_version"),
    "minhash": ("threshold", "recall", "permutations", "shingle", "ngram", "seed", "hash_version"),
}
"""What the digests and the keys of an index depend on, of its settings; bands and rows follow."""

GENERATIONS, SEGMENTS, TOMBSTONES = "generations", "segments", "tombstones"


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
    return parse_generation(storage.read_bytes(path), number, path)


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
    """Makes a finished segment of a dataset a part of the index; gives its entry with the number that it got.

    Raises UserError when the index has other settings by now, or the dataset with other contents.
    """
    dataset = entry.datasets[0]

    def edit(current: Generation | None) -> Generation | None:
        present = current or Generation(number=0, settings=settings)
        require_same_settings(folder, present.settings, settings)
        if find_dataset(folder, present, dataset.path, dataset.manifest):
            return None
        listed = replace(entry, number=next_number(folder, present))
        return replace(present, next_segment=listed.number + 1, segments=(*present.segments, listed))

    generation = change_index(folder, edit)
    assert generation is not None
    stored = find_dataset(folder, generation, dataset.path, dataset.manifest)
    assert stored is not None
    return stored


def next_number(folder: str, generation: Generation) -> int:
    """The number of the next segment. Raises UserError for an index that has given all of them."""
    if generation.next_segment >= MAX_SEGMENTS:
        what = f"an index numbers {MAX_SEGMENTS:,} segments at most, merged ones among them"
        raise UserError(what, where=folder, hint="start a new index")
    return generation.next_segment


def find_dataset(folder: str, generation: Generation, dataset: str, manifest: str) -> SegmentEntry | None:
    """The segment of a dataset, known by the digest of its manifest wherever it lies; None when it is not in the index.

    Raises UserError when its path is there with other contents: matches could not tell apart two of one name.
    """
    for entry in generation.segments:
        for present in entry.datasets:
            if present.is_retracted:
                continue
            if present.manifest == manifest:
                return entry
            if present.path == dataset:
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


def retract_dataset(folder: str, dataset: str, manifest: str = "") -> tuple[SegmentEntry, DatasetEntry]:
    """Takes a dataset out of the index: all of its segment, whose files are then removed, or its rows of a merged one.

    Args:
        dataset: its path from the root, as it was added.
        manifest: the digest of its manifest, where that can still be read; then the path does not matter.

    Returns:
        the segment that it was in, as it was, and what was said of it there.

    Raises UserError when the index does not hold it.
    """
    taken: list[tuple[SegmentEntry, DatasetEntry]] = []
    change = _TombstoneChange(folder)

    def edit(current: Generation | None) -> Generation | None:
        present = current or require_generation(folder)
        change.begin()
        listed = [(entry, one) for entry in present.segments for one in entry.datasets if not one.is_retracted]
        taken[:] = [pair for pair in listed if manifest and pair[1].manifest == manifest] or [
            pair for pair in listed if pair[1].path == dataset
        ]
        if not taken:
            raise UserError(
                "this dataset is not in the index", where=dataset, hint=f"see `corpusmill index show {folder}`"
            )
        entry, one = taken[0]
        if all(other.is_retracted for other in entry.datasets if other is not one):
            kept = tuple(other for other in present.segments if other is not entry)
            return replace(present, segments=kept, retracted=(*present.retracted, entry))
        rows = entry.rows_of(one)
        marked = tuple(replace(other, is_retracted=True) if other is one else other for other in entry.datasets)
        less = replace(change.with_rows(entry, np.arange(rows.start, rows.stop)), datasets=marked)
        return replace(present, segments=tuple(less if other is entry else other for other in present.segments))

    generation = change_index(folder, edit)
    change.finish()
    entry, one = taken[0]
    if generation is not None and entry in generation.retracted:
        _remove_files(folder, entry)
    return entry, one


def remove_retracted(folder: str, generation: Generation) -> None:
    """Removes what nobody reads any more: of segments that were retracted or merged before the last change."""
    there = set(storage.list_names(storage.join(folder, SEGMENTS)))
    for entry in (*generation.retracted, *generation.merged):
        if entry.folder.rpartition("/")[2] in there:
            _remove_files(folder, entry)


def _remove_files(folder: str, entry: SegmentEntry) -> None:
    """The folder last: while it is there, somebody will come back for both."""
    if entry.tombstone:
        storage.remove(storage.join(folder, entry.tombstone))
    storage.remove(storage.join(folder, entry.folder))


def unlisted_folders(folder: str, generation: Generation | None) -> list[str]:
    """Folders of segments, below the index, that were begun and are not part of it: somebody's at work, or killed."""
    listed = (*generation.segments, *generation.retracted, *generation.merged) if generation else ()
    known = {entry.folder for entry in listed}
    names = [f"{SEGMENTS}/{name}" for name in storage.list_names(storage.join(folder, SEGMENTS))]
    return [name for name in names if name not in known]


def retract_rows(folder: str, rows: dict[int, np.ndarray]) -> int:
    """Takes single documents out of the index; gives how many were in it until now.

    Args:
        rows: by segment number, int64 of shape (N,), rows of that segment. Segments that were retracted or merged
            meanwhile are passed over.
    """
    change = _TombstoneChange(folder)

    def edit(current: Generation | None) -> Generation | None:
        present = current or require_generation(folder)
        change.begin()
        entries = [
            change.with_rows(entry, rows[entry.number]) if entry.number in rows else entry for entry in present.segments
        ]
        return replace(present, segments=tuple(entries)) if change.added else None

    change_index(folder, edit)
    change.finish()
    return change.added


class _TombstoneChange:
    """New tombstones of one change, which may have to be made again on top of another's."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._written: list[str] = []
        self._replaced: list[str] = []
        self.added = 0

    def begin(self) -> None:
        """Removes what a try that came second has written."""
        self._remove(self._written)
        self._written, self._replaced, self.added = [], [], 0

    def with_rows(self, entry: SegmentEntry, rows: np.ndarray) -> SegmentEntry:
        """The entry with these rows retracted as well; itself if they all are."""
        old = read_tombstone(self._folder, entry)
        new = np.union1d(old, rows.astype(np.uint64))
        if len(new) == len(old):
            return entry
        self.added += len(new) - len(old)
        path = _write_tombstone(self._folder, entry.number, new)
        self._written.append(path)
        self._replaced += [entry.tombstone] if entry.tombstone else []
        return replace(entry, tombstone=path, retracted=len(new))

    def finish(self) -> None:
        """Removes the tombstones that others have taken the place of."""
        self._remove(self._replaced)

    def _remove(self, paths: Sequence[str]) -> None:
        for path in paths:
            storage.remove(storage.join(self._folder, path))


def read_tombstone(folder: str, entry: SegmentEntry) -> np.ndarray:
    """The retracted rows of a segment: uint64 of shape (N,), rising. Raises UserError for a damaged file."""
    if not entry.tombstone:
        return np.zeros(0, np.uint64)
    file = CheckedFile(storage.join(folder, entry.tombstone), entry.tombstone)
    file.check_range(0, file.size)
    return file.array(np.uint64, 0, entry.retracted)


def _write_tombstone(folder: str, number: int, rows: np.ndarray) -> str:
    """Writes rows under a name that nobody else writes, so that a loser's file is never the winner's."""
    path = f"{TOMBSTONES}/{number:05d}-{secrets.token_hex(8)}.bin"
    write_checked(storage.join(folder, path), path, [np.ascontiguousarray(rows, np.uint64)])
    return path
