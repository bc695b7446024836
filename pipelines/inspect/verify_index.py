"""Checks a de-duplication index wholly: every byte of every segment, from the index's list down.

The newest generation holds a digest of itself and of each segment's manifest, and that has those of the segment's
files; so nothing can be exchanged or changed that is not noticed. Files that are not listed belong to nobody and are
left alone: an add may be at work on them.
"""

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup import index_files
from corpusmill.dataproc.dedup.index_entries import Generation, SegmentEntry
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.verified import Verified, verify_entry


def verify_index(path: str) -> list[Verified]:
    """A result for the list of the index, and one for each of its segments."""
    listed = Verified(f"{path} (list of segments)", storage.join(path, index_files.GENERATIONS))
    newest: Generation | None = None
    for name in sorted(storage.list_names(listed.path)):
        number, _, ending = name.partition(".")
        if ending != "json" or not number.isdigit():
            continue
        where = storage.join(listed.path, name)
        listed.files += 1
        listed.bytes += storage.size(where)
        try:
            newest = index_files.require_generation(path, int(number))
        except UserError as error:
            newest = None
            listed.problems.append((where, error.what))
    segments = newest.segments if newest is not None else ()
    return [listed, *(_verify_segment(path, entry) for entry in segments)]


def _verify_segment(index: str, entry: SegmentEntry) -> Verified:
    folder = storage.join(index, entry.folder)
    done = Verified(f"segment {entry.number} ({len(entry.datasets):,} datasets)", folder, rows=entry.documents)
    manifest = storage.join(folder, state.MANIFEST)
    if not storage.exists(manifest):
        done.problems.append((manifest, "not there"))
        return done
    if storage.digest_file(manifest) != entry.files:
        done.problems.append((manifest, "not the bytes that were written (the digest differs)"))
        return done
    files = state.read_json(manifest)["files"]
    for file in files:
        verify_entry(done, storage.join(folder, file["path"]), file)
    try:
        index_files.read_tombstone(index, entry)
    except UserError as error:
        done.problems.append((error.where, error.what))
    return done
