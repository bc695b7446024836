"""Changes of an index: a dataset in, a dataset out, single documents out; each leaves it as it was until it is done.

Adding runs `SegmentStage` on a folder that is named by what it is made of (dataset, settings), and then lists it. So an
add that was killed goes on where it stopped, several that run at once hold a folder each, and what nobody lists is
nobody's. An unfinished folder stays until its dataset is added again, or retracted: it may hold days of work, and
on an object store nobody can tell whether somebody's still at it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup import index_files
from corpusmill.dataproc.dedup.index_entries import SEGMENT, DatasetEntry, Generation, SegmentEntry
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import folder_identities
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lock import FolderLock
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.stages.index.plan import SegmentSettings, SegmentStage


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of one dataset: its entry, and the finished stage, None when the index had it before."""

    entry: SegmentEntry
    finished: Finished | None


def add_dataset(
    index: str, dataset: str, session: Session, given: Mapping[str, Any] | None = None, seed: int | None = None
) -> Added:
    """Adds a dataset to an index, which is made if it is not there.

    Args:
        index, dataset: folders or URLs.
        given: fields of `SegmentSettings`; what an index has otherwise is refused, what is missing is as the index has
            it, or the default.
        seed: of the permutations, the same way.

    Raises:
        UserError: other settings, the dataset changed since it was added, another driver is adding it.
        StageFailed: a task could not be done.
    """
    if not index:
        raise UserError("an index needs a name", hint="use a new folder for the index")
    _check_place(index)
    dataset = storage.absolute(dataset)
    generation = index_files.read_generation(index)
    stage = _segment_stage(index, generation, dataset, dict(given or {}), seed)
    stage.check()
    settings = stage.index_settings()
    if generation is not None:
        index_files.require_same_settings(index, generation.settings, settings)
        index_files.remove_retracted(index, generation)
    manifest = stage.inputs()[dataset]["manifest"]
    if generation and (existing := index_files.find_dataset(index, generation, dataset, manifest)):
        return Added(entry=existing, finished=None)
    made_of = {"dataset": dataset, "manifest": manifest, "settings": settings, "version": SegmentStage.version}
    folder = segment_folder(index, generation, state.to_json(made_of))
    path = storage.join(index, folder)
    finished = run_stage(stage, path, session)
    files = finished.manifest["files"]
    entry = SegmentEntry(
        number=0,
        folder=folder,
        datasets=(
            DatasetEntry(path=dataset, manifest=manifest, documents=finished.manifest["counts"]["documents_in"]),
        ),
        bytes=sum(file["bytes"] for file in files),
        digest=next(file["digest"] for file in files if file["path"] == SEGMENT),
        files=storage.digest_file(storage.join(path, state.MANIFEST)),
    )
    return Added(entry=index_files.list_segment(index, settings, entry), finished=finished)


def _check_place(index: str) -> None:
    """Raises UserError for a folder with other things in it."""
    names = storage.list_names(index)
    if names and not {index_files.GENERATIONS, index_files.SEGMENTS} & set(names):
        raise UserError("this folder contains other files", where=index, hint="use a new folder for the index")


def _segment_stage(
    index: str, generation: Generation | None, dataset: str, given: dict[str, Any], seed: int | None
) -> SegmentStage:
    """The stage by what was given, and else by what the index has."""
    made_by = {}
    if generation is not None:
        made_by = {name: generation.settings[name] for name in SegmentSettings.model_fields if name != "dataset"}
        seed = generation.settings["seed"] if seed is None else seed
    values = made_by | given | {"dataset": dataset}
    for name in ("method", "normalise"):  # their order says nothing, and is part of the plan
        if name in values:
            values[name] = sorted(set(values[name]))
    return SegmentStage(SegmentSettings(**values), seed=seed or 0)


def segment_folder(index: str, generation: Generation | None, made_of: bytes) -> str:
    """Where a segment is made: where it was begun before, else a name that was never listed.

    Names are not used again: a retraction may be removing a folder while the same dataset is added anew.
    """
    fingerprint = xxhash.xxh3_64_hexdigest(made_of)
    for name in index_files.unlisted_folders(index, generation):
        if name.endswith(f"-{fingerprint}"):
            return name
    number = generation.next_segment if generation else 0
    return f"{index_files.SEGMENTS}/{number:05d}-{fingerprint}"


def retract_dataset(index: str, dataset: str) -> tuple[SegmentEntry, DatasetEntry] | None:
    """Takes a dataset out of an index; gives its segment, and what was said of it there; None when what was there is an
    add that did not come to its end.

    Args:
        dataset: where it lies, or where it lay when it was added.
    """
    generation = index_files.read_generation(index)
    path = storage.absolute(dataset)
    manifest = ""
    if storage.exists(storage.join(path, state.MANIFEST)):
        manifest = folder_identities([path], str)[path]["manifest"]
    unfinished = [name for name, begun in unfinished_segments(index, generation) if begun == path]
    for name in unfinished:
        _remove_unfinished(storage.join(index, name))
    listed = [one for entry in generation.segments for one in entry.datasets] if generation else []
    known = any(not one.is_retracted and (one.path == path or one.manifest == manifest) for one in listed)
    if unfinished and not known:
        return None
    return index_files.retract_dataset(index, path, manifest)


def unfinished_segments(index: str, generation: Generation | None) -> list[tuple[str, str]]:
    """(folder below the index, dataset) of each add that is at work or was killed; "" where its plan is not there."""
    unfinished = []
    for name in index_files.unlisted_folders(index, generation):
        plan = storage.join(index, name, state.STATE, "plan.json")
        settings = state.read_json(plan)["settings"] if storage.exists(plan) else {}
        dataset = settings.get("dataset", "(merged segments)" if "segments" in settings else "")
        unfinished.append((name, dataset))
    return unfinished


def _remove_unfinished(folder: str) -> None:
    """Removes what a killed add has left. Raises UserError while somebody works there."""
    with FolderLock(folder):
        storage.remove(folder)


def retract_ids(index: str, ids: Sequence[str], dataset: str | None = None) -> tuple[int, int]:
    """Takes single documents out of an index: (documents that were in it until now, ids that nobody has).

    Args:
        ids: held in memory.
        dataset: look only there.

    Reads all ids of the segments concerned, a part at a time.
    """
    import numpy as np
    import pyarrow as pa

    from corpusmill.dataproc.dedup.index_segment import Segment

    generation = index_files.require_generation(index)
    path = None if dataset is None else storage.absolute(dataset)
    chosen = [
        (entry, one)
        for entry in generation.segments
        for one in entry.datasets
        if path in (None, one.path) and not one.is_retracted
    ]
    if not chosen:
        raise UserError("this dataset is not in the index", dataset or "", f"see `corpusmill index show {index}`")
    wanted = pa.array(list(dict.fromkeys(ids)), pa.string())
    rows: dict[int, np.ndarray] = {}
    seen: set[str] = set()
    for entry in dict.fromkeys(entry for entry, _ in chosen):
        segment = Segment(storage.join(index, entry.folder), entry.digest)
        located = segment.find_ids(wanted)
        own = [entry.rows_of(one) for other, one in chosen if other is entry]
        located = located[[any(row in span for span in own) for row in located.tolist()]] if len(located) else located
        if len(located):
            rows[entry.number] = located
            seen.update(segment.take_ids(located).to_pylist())
    return index_files.retract_rows(index, rows), len(wanted) - len(seen)
