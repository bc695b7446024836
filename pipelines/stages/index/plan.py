"""A de-duplication index: adding a dataset is a stage that fills a segment's folder, querying one is a stage as others.

    add     layout, sign   as in de-duplication (`pipelines.stages.dedup.plan`)
            keep           block → its signatures and ids
            sort           partition of keys → sorted keys and digests
            then the segment is listed in the index, by one new file (`changes`)
    merge   `merge_plan`
    query   layout, sign   as above, all of it in `_work/`
            matches        partition of keys → the best match of each document, verified
            gather         block → matches with their names

Memory: a block's keys and signatures, or a partition's keys (64 MiB; in `matches` 90 bytes for each different one,
250 MB).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup import index_files
from corpusmill.dataproc.dedup.index_entries import Generation
from corpusmill.pipelines.datasets import PartReference, folder_identities, list_parts, listed, require_distinct_ids
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.stages.blocks import (
    KEY_BYTES,
    BlockWork,
    block_bytes,
    block_numbers,
    block_tasks,
    partition_tasks,
    partitions_of,
    passes_of,
)
from corpusmill.pipelines.stages.dedup.against import MATCH_PARTITION, generation_identity, matching
from corpusmill.pipelines.stages.dedup.arguments import MatchingWork
from corpusmill.pipelines.stages.dedup.plan import SIGN
from corpusmill.pipelines.stages.dedup.signatures import SignatureSettings

TASKS = "corpusmill.pipelines.stages.index.work"
KERNELS = ("corpusmill.dataproc.dedup.warmup", "corpusmill.dataproc.dedup.warmup_index")


class SegmentSettings(SignatureSettings):
    """Settings of an index, and the dataset that a segment is made of."""

    dataset: str = Field(description="dataset of documents")
    method: tuple[Literal["exact", "minhash"], ...] = Field(
        default=("exact", "minhash"), description="what kinds of duplicates to index", min_length=1
    )


class QuerySettings(StageSettings):
    """Settings of `corpusmill index query`."""

    index: str = Field(description="the index")
    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    threshold: float | None = Field(
        default=None, description="minimum Jaccard similarity; not below the index's own", gt=0, lt=1
    )


def _block_sizes(parts: Sequence[PartReference]) -> list[int]:
    return block_bytes(parts, block_numbers([part.rows for part in parts], len(parts)))


def _key_bytes(bands: int, documents: int) -> int:
    return documents * (bands + 1) * KEY_BYTES


def _signing(settings: Mapping[str, Any], documents: int) -> MatchingWork:
    """How documents are signed by the settings of an index, as it has them written down."""
    return MatchingWork(
        method=tuple(settings["method"]),
        normalise=tuple(settings["normalise"]),
        threshold=settings["threshold"],
        permutations=settings["permutations"],
        shingle=settings["shingle"],
        ngram=settings["ngram"],
        seed=settings["seed"],
        bands=settings["bands"],
        rows=settings["rows"],
        partitions=partitions_of(_key_bytes(settings["bands"], documents)),
    )


class SegmentStage(Stage):
    """A dataset to a segment of an index. The stage's seed is that of the permutations."""

    name = "index"
    kernels = KERNELS
    version = 3
    Settings = SegmentSettings
    settings: SegmentSettings

    def inputs(self) -> dict[str, Any]:
        return folder_identities([self.settings.dataset], self.resolve)

    def check(self) -> None:
        self.index_settings()

    def index_settings(self) -> dict[str, Any]:
        """What the index is made by, as it is written down."""
        from corpusmill.dataproc.dedup.index import index_settings

        return index_settings(**self.settings.model_dump(exclude={"dataset"}), seed=self.seed)

    def phases(self) -> list[PhasePlan]:
        parts = list_parts([self.settings.dataset], self.resolve)
        documents, total = sum(part.rows for part in parts), sum(part.arrow_bytes for part in parts)
        blocks = len(_block_sizes(parts))
        settings = self.index_settings()
        keys = _key_bytes(settings["bands"], documents)
        return [
            PhasePlan(name="sign", tasks=blocks, bytes=total),
            PhasePlan(name="keep", tasks=blocks, bytes=total),
            PhasePlan(name="sort", tasks=partitions_of(keys), bytes=keys),
        ]

    def run(self, run: StageRun) -> Summary:
        from corpusmill.dataproc.dedup.index_segment import write_segment

        parts = list_parts([self.settings.dataset], self.resolve)
        documents = sum(part.rows for part in parts)
        work = _signing(self.index_settings(), documents)
        BlockWork(run, parts, len(parts)).by_block("sign", SIGN, work)
        kept = run.map("keep", block_tasks(f"{TASKS}:keep_block", work, _block_sizes(parts)))
        keys = _key_bytes(work.bands, documents)
        ordered = run.map("sort", partition_tasks(f"{TASKS}:sort_partition", work, work.partitions, keys))
        name = write_segment(
            run.folder,
            [result["documents_in"] for result in kept],
            partitions=work.partitions,
            permutations=work.permutations,
        )
        path = run.path(name)
        described = {"path": name, "bytes": storage.size(path), "digest": storage.digest_file(path)}
        counts = add_counts(kept, ["documents_in", "quarantined"])
        return Summary(
            counts=counts | {"kept": counts["documents_in"] - counts["quarantined"]},
            files=[*listed(kept, "files"), *listed(ordered, "files"), described],
            facts={"bands": work.bands, "rows": work.rows},
        )


class QueryStage(Stage):
    """Which documents of datasets an index holds already: for each, the id that it matches and how similar it is."""

    name = "query"
    kernels = KERNELS
    version = 3
    Settings = QuerySettings
    settings: QuerySettings

    def __init__(self, settings: Any, **more: Any) -> None:
        super().__init__(settings, **more)
        self._generation: Generation | None = None

    def generation(self) -> Generation:
        """The index as it was when it was first looked at: a query sees one generation, whoever adds meanwhile."""
        if self._generation is None:
            self._generation = index_files.require_generation(self.resolve(self.settings.index))
        return self._generation

    def inputs(self) -> dict[str, Any]:
        index = {self.settings.index: generation_identity(self.generation())}
        return index | folder_identities(self.settings.datasets, self.resolve)

    def check_inputs(self, folder: str) -> None:
        """Raises UserError for a threshold below the index's."""
        from corpusmill.dataproc.dedup.index import Index, require_matchable

        index = Index(self.resolve(self.settings.index), self.generation().number)
        if self.settings.threshold is not None:
            require_matchable(index, self.settings.threshold)
        require_distinct_ids(self.settings.datasets, self.resolve)

    def phases(self) -> list[PhasePlan]:
        parts = list_parts(self.settings.datasets, self.resolve)
        documents, total = sum(part.rows for part in parts), sum(part.arrow_bytes for part in parts)
        blocks = len(_block_sizes(parts))
        keys = _key_bytes(self.generation().settings["bands"], documents)
        return [
            PhasePlan(name="sign", tasks=blocks, bytes=total),
            PhasePlan(name="matches", tasks=partitions_of(keys), bytes=keys),
            PhasePlan(name="gather", tasks=blocks, bytes=total),
        ]

    def run(self, run: StageRun) -> Summary:
        parts = list_parts(self.settings.datasets, self.resolve)
        documents = sum(part.rows for part in parts)
        work = _signing(self.generation().settings, documents)
        keys = _key_bytes(work.bands, documents)
        work = replace(work, passes=passes_of(keys, work.partitions))
        BlockWork(run, parts, len(parts)).by_block("sign", SIGN, work)
        against = matching(self.resolve(self.settings.index), self.generation(), self.settings.threshold)
        work = replace(work, against=against)
        run.map("matches", partition_tasks(MATCH_PARTITION, work, work.partitions, keys))
        gathered = run.map("gather", block_tasks(f"{TASKS}:gather_block", work, _block_sizes(parts)))
        counts = add_counts(gathered, ["documents_in", "quarantined", "matched"])
        matched = counts.pop("matched")
        kept = counts["documents_in"] - counts["quarantined"] - matched
        return Summary(
            counts=counts | {"kept": kept, "duplicates": matched},
            parts=listed(gathered, "parts"),
            files=listed(gathered, "files"),
            facts={
                "duplicates_by_method": add_counts([result["by_method"] for result in gathered], ["exact", "minhash"]),
                "generation": self.generation().number,
            },
        )
