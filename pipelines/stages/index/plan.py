"""A de-duplication index: adding a dataset is a stage that fills a segment's folder, querying one is a stage as others.

    add     layout, sign   as in de-duplication (`pipelines.stages.dedup.plan`)
            keep           block → its signatures and ids
            sort           partition of keys → sorted keys and digests
            then the segment is listed in the index, by one new file (`index_changes`)
    query   layout, sign   as above, all of it in `_work/`
            matches        partition of keys → the best match of each document, verified
            gather         block → matches with their names

Memory: a block's keys and signatures, or a partition's keys (64 MiB; in `matches` 90 bytes for each different one,
250 MB).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import xxhash
from pydantic import Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup import index_files
from corpusmill.dataproc.dedup.index_files import Generation
from corpusmill.pipelines.datasets import PartReference, folder_identities, list_parts, listed
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.dedup.plan import KEY_BYTES, BlockWork, block_numbers, partitions_of

TASKS = "corpusmill.pipelines.stages.index.work"


class SegmentSettings(StageSettings):
    """Settings of an index, and the dataset that a segment is made of."""

    dataset: str = Field(description="dataset of documents")
    method: tuple[Literal["exact", "minhash"], ...] = Field(
        default=("exact", "minhash"), description="what can be looked for", min_length=1
    )
    normalise: tuple[Literal["case", "space", "punctuation"], ...] = Field(
        default=(), description="what exact duplicates may differ in"
    )
    threshold: float = Field(default=0.8, description="least Jaccard similarity of near duplicates", gt=0, lt=1)
    recall: float = Field(
        default=0.995, description="share of pairs at the threshold that must become candidates", gt=0, lt=1
    )
    permutations: int = Field(default=128, description="slots of a MinHash signature", ge=16, le=1024)
    shingle: Literal["word", "character"] = Field(default="word", description="what shingles are n-grams of")
    ngram: int = Field(default=5, description="words or characters of a shingle", ge=1, le=64)


class QuerySettings(StageSettings):
    """Settings of `corpusmill index query`."""

    index: str = Field(description="the index")
    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    threshold: float | None = Field(
        default=None, description="least Jaccard similarity, the index's own or above it", gt=0, lt=1
    )


def block_tasks(function: str, parts: Sequence[PartReference], own: int, arguments: Mapping[str, Any]) -> list[Task]:
    """A task of `pipelines.stages.index.work` for each block of the parts that are not protected.

    Args:
        parts: of the layout, the protected ones last.
        own: how many are not protected.
    """
    sizes: dict[int, int] = {}
    for part, block in zip(parts, block_numbers([part.rows for part in parts], own), strict=True):
        if part.number < own:
            sizes[block] = sizes.get(block, 0) + part.arrow_bytes
    return [
        Task(
            id=f"block-{block:05d}", function=f"{TASKS}:{function}", arguments={**arguments, "block": block}, bytes=size
        )
        for block, size in sizes.items()
    ]


def partition_tasks(function: str, documents: int, arguments: Mapping[str, Any]) -> list[Task]:
    """A task of `pipelines.stages.index.work` for each of the `partitions` of the arguments."""
    count = arguments["partitions"]
    keys = documents * (arguments["bands"] + 1) * KEY_BYTES
    return [
        Task(
            id=f"partition-{number:04d}",
            function=f"{TASKS}:{function}",
            arguments={**arguments, "partition": number},
            bytes=keys // count,
        )
        for number in range(count)
    ]


def match_arguments(index: str, generation: Generation, threshold: float | None = None) -> dict[str, Any]:
    """What `match_partition` and `gather_block` need beside the arguments that the documents were signed by.

    Args:
        index: folder or URL.
        generation: which is asked.
        threshold: to verify at; that of the index if None.
    """
    return {"index": storage.absolute(index), "generation": generation.number, "match_threshold": threshold}


class IndexView:
    """An index as de-duplication sees it: one generation, whoever adds meanwhile.

    Args:
        name: as the settings write it.
        folder: or URL.
    """

    def __init__(self, name: str, folder: str) -> None:
        self._name, self._folder = name, folder
        self._generation = index_files.require_generation(folder)

    def identity(self) -> dict[str, Any]:
        """What the plan says of it, as of an input."""
        digest = xxhash.xxh3_128_hexdigest(self._generation.to_json())
        return {self._name: {"generation": self._generation.number, "digest": digest}}

    def arguments(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """`match_arguments` for a run that signs its documents itself.

        Args:
            settings: those of `dataproc.dedup.index.index_settings` by name, with `seed`; others are passed over.

        Raises UserError for an index that the run's documents cannot be compared with.
        """
        from corpusmill.dataproc.dedup.index import index_settings

        chosen = {name: settings[name] for name in SegmentSettings.model_fields if name != "dataset"}
        wanted = index_settings(**chosen, seed=settings["seed"])
        index_files.require_comparable(self._folder, self._generation.settings, wanted)
        return match_arguments(self._folder, self._generation)


def _signing(settings: Mapping[str, Any], documents: int) -> dict[str, Any]:
    """What `sign_block` needs, from the settings of an index."""
    return {**settings, "partitions": partitions_of(documents * (settings["bands"] + 1) * KEY_BYTES)}


class SegmentStage(Stage):
    """A dataset to a segment of an index. The stage's seed is that of the permutations."""

    name = "index"
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
        blocks = len(set(block_numbers([part.rows for part in parts], len(parts))))
        settings = self.index_settings()
        keys = documents * (settings["bands"] + 1) * KEY_BYTES
        return [
            PhasePlan(name="sign", tasks=blocks, bytes=total),
            PhasePlan(name="keep", tasks=blocks, bytes=total),
            PhasePlan(name="sort", tasks=partitions_of(keys), bytes=keys),
        ]

    def run(self, run: StageRun) -> Summary:
        from corpusmill.dataproc.dedup.index_segment import write_segment

        parts = list_parts([self.settings.dataset], self.resolve)
        documents = sum(part.rows for part in parts)
        shared = _signing(self.index_settings(), documents)
        BlockWork(run, parts, len(parts)).by_block("sign", "signing:sign_block", shared)
        kept = run.map("keep", block_tasks("keep_block", parts, len(parts), shared))
        ordered = run.map("sort", partition_tasks("sort_partition", documents, shared))
        name = write_segment(
            run.folder,
            [result["documents_in"] for result in kept],
            partitions=shared["partitions"],
            permutations=shared["permutations"],
        )
        path = run.path(name)
        described = {"path": name, "bytes": storage.size(path), "digest": storage.digest_file(path)}
        counts = add_counts(kept, ["documents_in", "quarantined"])
        return Summary(
            counts=counts | {"kept": counts["documents_in"] - counts["quarantined"]},
            files=[*listed(kept, "files"), *listed(ordered, "files"), described],
            facts={"bands": shared["bands"], "rows": shared["rows"]},
        )


class QueryStage(Stage):
    """Which documents of datasets an index holds already: for each, the id that it matches and how similar it is."""

    name = "query"
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
        digest = xxhash.xxh3_128_hexdigest(self.generation().to_json())
        index = {self.settings.index: {"generation": self.generation().number, "digest": digest}}
        return index | folder_identities(self.settings.datasets, self.resolve)

    def check_inputs(self, folder: str) -> None:
        """Raises UserError for a threshold below the index's."""
        from corpusmill.dataproc.dedup.index import Index, require_matchable

        index = Index(self.resolve(self.settings.index), self.generation().number)
        if self.settings.threshold is not None:
            require_matchable(index, self.settings.threshold)

    def phases(self) -> list[PhasePlan]:
        parts = list_parts(self.settings.datasets, self.resolve)
        documents, total = sum(part.rows for part in parts), sum(part.arrow_bytes for part in parts)
        blocks = len(set(block_numbers([part.rows for part in parts], len(parts))))
        keys = documents * (self.generation().settings["bands"] + 1) * KEY_BYTES
        return [
            PhasePlan(name="sign", tasks=blocks, bytes=total),
            PhasePlan(name="matches", tasks=partitions_of(keys), bytes=keys),
            PhasePlan(name="gather", tasks=blocks, bytes=total),
        ]

    def run(self, run: StageRun) -> Summary:
        parts = list_parts(self.settings.datasets, self.resolve)
        documents = sum(part.rows for part in parts)
        shared = _signing(self.generation().settings, documents)
        BlockWork(run, parts, len(parts)).by_block("sign", "signing:sign_block", shared)
        shared |= match_arguments(self.resolve(self.settings.index), self.generation(), self.settings.threshold)
        run.map("matches", partition_tasks("match_partition", documents, shared))
        gathered = run.map("gather", block_tasks("gather_block", parts, len(parts), shared))
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
