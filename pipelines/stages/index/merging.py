"""Merging segments of an index: by the rule after each add, or all of them by a command.

As with adding, the new segment is made in a folder of its own, named by what it is made of, and then listed in the
place of the old ones; who is killed goes on there. Should one of those be retracted or lose documents meanwhile,
nothing is listed and the merge begins anew, from what is left. Files of the old segments stay until the next change of
the index, so that a query that began before goes on; one that is slower than that ends in one line.
"""

from collections.abc import Sequence
from dataclasses import replace

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup import index_files
from corpusmill.dataproc.dedup.index_entries import SEGMENT, Generation, SegmentEntry
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lock import Locked
from corpusmill.pipelines.engine.scheduler import StageFailed
from corpusmill.pipelines.engine.stage import Session, run_stage
from corpusmill.pipelines.stages.index.changes import segment_folder
from corpusmill.pipelines.stages.index.merge_plan import MergeSettings, MergeStage


def merge_by_rule(index: str, session: Session) -> SegmentEntry | None:
    """Merges the newest segments where the rule says so; the new one, None where nothing was to merge, or somebody else
    is merging the same."""
    from corpusmill.dataproc.dedup.merging import first_to_merge

    generation = index_files.require_generation(index)
    first = first_to_merge([entry.documents - entry.retracted for entry in generation.segments])
    chosen = generation.segments[first:]
    try:
        return _merge(index, generation, chosen, session) if chosen else None
    except Locked:
        return None
    except StageFailed:
        if set(chosen) <= set(index_files.require_generation(index).segments):
            raise
        return None  # merged by somebody else, who was faster


def merge_all(index: str, session: Session) -> SegmentEntry | None:
    """Merges all segments, and drops retracted rows; the new one, None where there is one without any of those."""
    generation = index_files.require_generation(index)
    chosen = generation.segments
    if not chosen or (len(chosen) == 1 and not chosen[0].retracted):
        return None
    return _merge(index, generation, chosen, session)


def _merge(index: str, generation: Generation, chosen: Sequence[SegmentEntry], session: Session) -> SegmentEntry | None:
    from corpusmill.dataproc.dedup.merging import Merging

    index_files.remove_retracted(index, generation)
    numbers = tuple(entry.number for entry in chosen)
    folder = segment_folder(index, generation, state.to_json({"merged": [_identity(entry) for entry in chosen]}))
    settings = MergeSettings(index=storage.absolute(index), generation=generation.number, segments=numbers)
    path = storage.join(index, folder)
    finished = run_stage(MergeStage(settings), path, session)
    files = finished.manifest["files"]
    datasets = tuple(Merging(index, chosen).datasets)
    made = SegmentEntry(
        number=0,
        folder=folder,
        datasets=datasets,
        bytes=sum(file["bytes"] for file in files),
        digest=next(file["digest"] for file in files if file["path"] == SEGMENT),
        files=storage.digest_file(storage.join(path, state.MANIFEST)),
    )
    listed: list[SegmentEntry] = []

    def edit(current: Generation | None) -> Generation | None:
        present = current or index_files.require_generation(index)
        listed.clear()
        if not set(chosen) <= set(present.segments):
            return None
        listed.append(replace(made, number=index_files.next_number(index, present)))
        return replace(
            present,
            next_segment=listed[0].number + 1,
            segments=(*(entry for entry in present.segments if entry not in chosen), *listed),
            merged=(*present.merged, *chosen),
        )

    index_files.change_index(index, edit)
    if not listed:
        storage.remove(path)
        left = index_files.require_generation(index)
        again = [entry for entry in left.segments if entry.number in numbers]
        return _merge(index, left, again, session) if len(again) > 1 else None
    return listed[0]


def _identity(entry: SegmentEntry) -> list[str]:
    return [entry.digest, entry.tombstone, *(f"{one.path} {one.is_retracted}" for one in entry.datasets)]
