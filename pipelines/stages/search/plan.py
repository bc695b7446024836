"""A search index: datasets to segments, each a task's work, that can be asked for any string (`dataproc/search/`).

    segments    parts together → one segment, or one part → several

Parts that lie together make a segment of about `segment_bytes`; a larger part is cut into equal ones. What goes into
which depends on the manifests of the datasets and the settings alone. Memory of a worker: 5 bytes a byte of a segment's
text and the names of its documents, 1.3 to 2 GB by default, or the largest document's where that is larger than a
segment.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import ByteSize, Field

from corpusmill.pipelines.datasets import PartReference, listed
from corpusmill.pipelines.engine.stage import PhasePlan, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.parts import PartsStage
from corpusmill.pipelines.stages.search.arguments import SegmentWork

BUILD_SEGMENTS = "corpusmill.pipelines.stages.search.work:build_segments"


class SearchSettings(StageSettings):
    """Settings of `corpusmill search build`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    segment_bytes: ByteSize = Field(
        default=ByteSize(256 << 20),
        description="text per segment, half more at most; larger segments are searched faster, and building one takes"
        " 5 times as much memory",
        ge=1 << 10,
        le=1 << 30,
    )
    locate_every: Literal[8, 16, 32, 64, 128] = Field(
        default=32,
        description="keep one text position in this many; smaller finds places faster and makes a larger index",
    )


class SearchStage(PartsStage):
    """Documents to a search index."""

    name = "search"
    kernels = ("corpusmill.dataproc.search.warmup",)
    Settings = SearchSettings
    settings: SearchSettings

    def needs(self) -> Sequence[tuple[str, str]]:
        return [("pydivsufsort", "search")]

    def phases(self) -> list[PhasePlan]:
        groups = self._groups()
        size = sum(part.arrow_bytes for group in groups for part in group)
        return [PhasePlan(name="segments", tasks=len(groups), bytes=size)]

    def run(self, run: StageRun) -> Summary:
        results = run.map("segments", [self._task(number, group) for number, group in enumerate(self._groups())])
        files = listed(results, "files")
        documents = add_counts(results, ["documents_in"])["documents_in"]
        return Summary(
            counts={"documents_in": documents, "kept": documents},
            files=files,
            facts={
                "segments": len(files),
                "text_bytes": sum(result["text_bytes"] for result in results),
                "index_bytes": sum(entry["bytes"] for entry in files),
            },
        )

    def _groups(self) -> list[list[PartReference]]:
        """Parts in order, those next to each other together until a segment is full."""
        full = int(self.settings.segment_bytes)
        groups: list[list[PartReference]] = []
        size = full
        for part in self.parts():
            if size >= full or size + part.arrow_bytes > full + full // 2:
                groups.append([])
                size = 0
            groups[-1].append(part)
            size += part.arrow_bytes
        return groups

    def _task(self, number: int, group: Sequence[PartReference]) -> Task:
        size = sum(part.arrow_bytes for part in group)
        segments = max(1, round(size / self.settings.segment_bytes))
        return Task(
            id=f"segment-{number:05d}",
            function=BUILD_SEGMENTS,
            arguments=SegmentWork(
                paths=tuple(part.path for part in group),
                number=number,
                text_bytes=-(-size // segments),
                locate_every=self.settings.locate_every,
            ),
            bytes=size,
        )
