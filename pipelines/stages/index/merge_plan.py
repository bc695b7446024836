"""Merging segments of a de-duplication index: a stage that fills the new segment's folder (`dataproc.dedup.merging`).

    copy    block of the new segment → its signatures and ids, out of the old ones, without what was retracted
    sort    partition of keys → sorted keys and digests, out of those of the old ones

Blocks are a 64th of the documents or a million, partitions 64 MiB of keys, as when a dataset is added. Nothing is
signed again: it costs reading and writing 770 bytes a document.
"""

from typing import Any

from pydantic import Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup import index_files
from corpusmill.dataproc.dedup.index_entries import SegmentEntry
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.blocks import (
    BLOCK_ROWS,
    KEY_BYTES,
    LEAST_BLOCKS,
    block_id,
    partition_tasks,
    partitions_of,
)
from corpusmill.pipelines.stages.index.arguments import MergeWork

TASKS = "corpusmill.pipelines.stages.index.merge_work"


class MergeSettings(StageSettings):
    """The segments to merge."""

    index: str = Field(description="the index")
    generation: int = Field(description="of the index, in which the segments are listed", ge=0)
    segments: tuple[int, ...] = Field(description="numbers of the segments, rising", min_length=1)


class MergeStage(Stage):
    """Segments of an index to one."""

    name = "merge"
    version = 1
    Settings = MergeSettings
    settings: MergeSettings

    def _entries(self) -> tuple[dict[str, Any], list[SegmentEntry]]:
        """(settings of the index, the segments to merge)."""
        generation = index_files.require_generation(self.resolve(self.settings.index), self.settings.generation)
        return generation.settings, [entry for entry in generation.segments if entry.number in self.settings.segments]

    def inputs(self) -> dict[str, Any]:
        _, entries = self._entries()
        return {entry.folder: {"digest": entry.digest, "tombstone": entry.tombstone} for entry in entries}

    def check(self) -> None:
        self._entries()

    def phases(self) -> list[PhasePlan]:
        settings, entries = self._entries()
        documents, size = sum(entry.documents for entry in entries), sum(entry.bytes for entry in entries)
        keys = documents * (settings["bands"] + 1) * KEY_BYTES
        return [
            PhasePlan(name="copy", tasks=-(-documents // _block_rows(documents)), bytes=size),
            PhasePlan(name="sort", tasks=partitions_of(keys), bytes=keys),
        ]

    def run(self, run: StageRun) -> Summary:
        from corpusmill.dataproc.dedup.index_segment import write_segment
        from corpusmill.dataproc.dedup.merging import Merging

        settings, entries = self._entries()
        index = self.resolve(self.settings.index)
        merging = Merging(index, entries)
        documents, block_rows = merging.documents, _block_rows(merging.documents)
        keys = documents * (settings["bands"] + 1) * KEY_BYTES
        work = MergeWork(
            index=storage.absolute(index),
            generation=self.settings.generation,
            segments=self.settings.segments,
            method=tuple(settings["method"]),
            partitions=partitions_of(keys),
        )
        bounds = [(first, min(first + block_rows, documents)) for first in range(0, documents, block_rows)]
        tasks = [
            Task(
                id=block_id(block),
                function=f"{TASKS}:copy_block",
                arguments=work.of_block(block, first, stop),
                bytes=sum(entry.bytes for entry in entries) // len(bounds),
            )
            for block, (first, stop) in enumerate(bounds)
        ]
        copied = run.map("copy", tasks)
        ordered = run.map("sort", partition_tasks(f"{TASKS}:sort_partition", work, work.partitions, keys))
        name = write_segment(
            run.folder,
            [stop - first for first, stop in bounds],
            partitions=work.partitions,
            permutations=merging.permutations,
        )
        path = run.path(name)
        described = {"path": name, "bytes": storage.size(path), "digest": storage.digest_file(path)}
        files = [file for result in (*copied, *ordered) for file in result["files"]]
        came_in = sum(entry.documents for entry in entries)
        return Summary(
            counts={"documents_in": came_in, "kept": documents, "dropped": came_in - documents},
            files=[*files, described],
            facts={"bands": settings["bands"], "rows": settings["rows"]},
        )


def _block_rows(documents: int) -> int:
    return max(1, min(BLOCK_ROWS, -(-documents // LEAST_BLOCKS)))
