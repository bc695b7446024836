"""De-duplication: exact and near duplicates, in phases that each leave files to go on from.

    layout       which parts there are, and which of them make a block (a task's work)
    sign         block → digests and band keys, partitioned by key; signatures, read by address later
    against      with an index: partition of keys → documents that it holds the like of, by block
    pairs        partition of keys → pairs that are equal, or alike by their signatures
    cluster      all pairs → components; the label of each clustered document, by block
    shingles, route, compare, recluster     with `verify: exact`: pairs compared by their texts, components of the rest
    members      block → its clustered documents, partitioned by component
    survivors    partition of components → who stays, by declared preference; removals, by block
    apply        block → its parts without removals; `duplicates/` names the survivor of each

Work is linear in the documents: a block is a 64th of them or a million, whichever is less, and a partition about
64 MiB, so files grow with the corpus and the reads between two phases with blocks times partitions. Memory: a block's
keys and signatures, a partition; for `cluster`, `cluster_bytes`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ByteSize, Field

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import PartReference, folder_identities, list_parts, listed
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.state import WORK
from corpusmill.pipelines.engine.task import Task

if TYPE_CHECKING:
    from corpusmill.pipelines.stages.index.plan import IndexView

PARTITION_BYTES = 64 << 20
KEY_BYTES = 24
MEMBER_BYTES = 200
SHINGLE_BYTES = 8 * 400
MAX_PARTITIONS = 4096
BLOCK_ROWS = 1 << 20
LEAST_BLOCKS = 64
CORE_BYTES = 60
"""Memory of a pair when components are computed in core: 16, and 24 for each of its documents at most."""
PART_SHIFT = 32
"""An address is a part's number above so many bits of a row's (`dataproc.documents.address`)."""
NOT_FOR_TASKS = {"datasets", "protect", "against", "recall", "cluster_bytes"}
TASKS = "corpusmill.pipelines.stages.dedup.work"


class DedupSettings(StageSettings):
    """Settings of `corpusmill dedup`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    method: tuple[Literal["exact", "minhash"], ...] = Field(
        default=("exact", "minhash"), description="what to look for", min_length=1
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
    verify: Literal["signatures", "exact"] = Field(
        default="signatures", description="how candidates are compared: by signatures, or then by all their shingles"
    )
    cluster_bytes: ByteSize = Field(
        default=ByteSize(2 << 30),
        description="memory for clusters: more pairs than fit are joined by way of files",
        ge=1 << 20,
    )
    protect: tuple[str, ...] = Field(
        default=(), description="datasets of which nothing is removed: what is like them goes from the others"
    )
    against: str | None = Field(
        default=None, description="an index (`corpusmill index`): what is like a document that it holds goes"
    )
    prefer: tuple[str, ...] = Field(
        default=("length:desc",),
        description="which document of a cluster stays: column:asc, column:desc or column:first(a|b); then by id",
    )


class DedupStage(Stage):
    """Documents to unique documents, with the survivor of every duplicate named."""

    name = "dedup"
    version = 2
    Settings = DedupSettings
    settings: DedupSettings

    def __init__(self, settings: Any, **more: Any) -> None:
        super().__init__(settings, **more)
        self._index: IndexView | None = None

    def index(self) -> "IndexView | None":
        """The index as it was when it was first looked at, whoever adds to it meanwhile."""
        if self.settings.against is not None and self._index is None:
            from corpusmill.pipelines.stages.index.plan import IndexView

            self._index = IndexView(self.settings.against, self.resolve(self.settings.against))
        return self._index

    def inputs(self) -> dict[str, Any]:
        index = self.index()
        datasets = folder_identities([*self.settings.datasets, *self.settings.protect], self.resolve)
        return (index.identity() if index else {}) | datasets

    def check(self) -> None:
        self._banding()

    def _banding(self) -> tuple[int, int]:
        """(bands, rows); zeros without MinHash."""
        from corpusmill.dataproc.dedup.bands import choose_bands

        if "minhash" not in self.settings.method:
            return 0, 0
        chosen = choose_bands(self.settings.threshold, self.settings.permutations, self.settings.recall)
        return chosen.bands, chosen.rows

    def check_inputs(self, folder: str) -> None:
        """Raises UserError for a preference by a column that is not there, or an index of other settings."""
        from corpusmill.dataproc.datasets import open_part
        from corpusmill.dataproc.dedup.survivors import parse_preferences

        if index := self.index():
            index.arguments(self.settings.model_dump(mode="json") | {"seed": self.seed})
        if self.settings.verify == "exact" and "minhash" not in self.settings.method:
            raise UserError("nothing is left to verify without MinHash", where="verify", hint="leave it out")
        parts, _ = self._parts()
        if parts:
            with open_part(parts[0].path) as file:
                parse_preferences(self.settings.prefer, [*file.schema_arrow.names, "length"])

    def _parts(self) -> tuple[list[PartReference], int]:
        """All parts, those of protected datasets last, and how many are not protected."""
        parts = list_parts([*self.settings.datasets, *self.settings.protect], self.resolve)
        return parts, len(list_parts(self.settings.datasets, self.resolve))

    def phases(self) -> list[PhasePlan]:
        parts, own = self._parts()
        blocks = block_numbers([part.rows for part in parts], own)
        total = sum(part.arrow_bytes for part in parts)
        rows = sum(part.rows for part in parts)
        partitions = partitions_of(rows * (self._banding()[0] + 1) * KEY_BYTES)
        return [
            PhasePlan(name="layout", tasks=1, bytes=0),
            PhasePlan(name="sign", tasks=len(set(blocks)), bytes=total),
            PhasePlan(name="pairs", tasks=partitions, bytes=rows * KEY_BYTES),
            PhasePlan(name="cluster", tasks=1, bytes=rows * KEY_BYTES),
            PhasePlan(name="members", tasks=len(set(blocks)), bytes=total // 10),
            PhasePlan(name="survivors", tasks=partitions_of(rows // 10 * MEMBER_BYTES), bytes=total // 10),
            PhasePlan(name="apply", tasks=len(set(blocks[:own])), bytes=total),
        ]

    def run(self, run: StageRun) -> Summary:
        parts, own = self._parts()
        bands, rows = self._banding()
        documents = sum(part.rows for part in parts)
        shared: dict[str, Any] = self.settings.model_dump(mode="json", exclude=NOT_FOR_TASKS)
        shared |= {"seed": self.seed, "bands": bands, "rows": rows}
        shared["partitions"] = partitions_of(documents * (bands + 1) * KEY_BYTES)
        if bands:
            from corpusmill.dataproc.dedup.bands import Banding, curve_in_words

            curve = curve_in_words(Banding(bands, rows), self.settings.permutations, self.settings.threshold)
            run.session.progress.say(f"dedup: {curve}")
        work = BlockWork(run, parts, own)
        signed = work.by_block("sign", "signing:sign_block", shared)
        if index := self.index():
            from corpusmill.pipelines.stages.index.plan import partition_tasks

            shared |= index.arguments(self.settings.model_dump(mode="json") | {"seed": self.seed})
            run.map("against", partition_tasks("match_partition", documents, shared))
        pairs = work.by_partition("pairs", "pairing:pair_partition", shared, "partitions", signed)
        clustered = self._cluster(work, "cluster", shared, "pairs", pairs)
        candidates = sum(result["candidates"] for result in pairs)
        if self.settings.verify == "exact":
            shared |= {"labels": "cluster", "pair_files": len(pairs)}
            shared["compared"] = partitions_of(clustered * SHINGLE_BYTES)
            work.by_block("shingles", "verifying:shingle_block", shared)
            work.by_partition("route", "verifying:route_pairs", shared, "partitions", pairs)
            pairs = work.by_partition("compare", "verifying:compare_partition", shared, "compared", pairs)
            clustered = self._cluster(work, "recluster", shared, "compare", pairs)
        shared |= {
            "labels": "cluster" if self.settings.verify == "signatures" else "recluster",
            "chosen": partitions_of(clustered * MEMBER_BYTES),
        }
        members = work.by_block("members", "surviving:member_block", shared)
        chosen = work.by_partition("survivors", "surviving:choose_partition", shared, "chosen", members)
        applied = work.by_block("apply", "applying:apply_block", shared, own_only=True)
        return Summary(
            counts=add_counts(applied, ["documents_in", "kept", "duplicates", "quarantined"]),
            parts=listed(applied, "parts"),
            files=listed(applied, "files"),
            facts={
                "bands": bands,
                "rows": rows,
                "duplicates_by_method": {"exact": 0, "minhash": 0} | _added(applied, "by_method"),
                "candidate_pairs": candidates,
                "verified_pairs": sum(result["pairs"] for result in pairs),
                "clusters": sum(result["clusters"] for result in chosen),
                "largest_cluster": max((result["largest"] for result in chosen), default=0),
                "cluster_sizes": _added(chosen, "sizes"),
                "duplicate_sources": _matrix(chosen),
            },
        )

    def _cluster(
        self, work: "BlockWork", phase: str, shared: Mapping[str, Any], folder: str, found: Sequence[Mapping[str, Any]]
    ) -> int:
        """Components of the pairs that a phase found, their labels in a folder of this phase's name, by block; gives
        how many documents have one. In memory where that holds them, else by files, to the same labels."""
        pairs = sum(result["pairs"] for result in found)
        arguments = {**shared, "pairs": folder, "pair_files": len(found), "labels": phase}
        if pairs * CORE_BYTES <= self.settings.cluster_bytes:
            task = Task(id=phase, function=f"{TASKS}.clustering:cluster_pairs", arguments=arguments)
            return int(work.run.map(phase, [task])[0]["clustered"])
        from corpusmill.pipelines.stages.dedup.stars import run_stars

        names = [f"partition-{number:04d}.arrow" for number in range(len(found))]
        paths = [work.run.path(WORK, folder, name) for name in names]
        labelled = run_stars(
            work.run, paths, edges=pairs, memory_bytes=self.settings.cluster_bytes, name=f"{phase}-stars"
        )
        ranges = [[entry["path"], entry["first"], entry["last"]] for entry in labelled.files if entry["rows"]]
        done = work.by_block(phase, "clustering:label_block", arguments, ranges=ranges)
        return sum(result["clustered"] for result in done)


class BlockWork:
    """Carries phases over the blocks of parts, and over partitions."""

    def __init__(self, run: StageRun, parts: Sequence[PartReference], own: int) -> None:
        self.run = run
        blocks = block_numbers([part.rows for part in parts], own)
        self._bytes: list[int] = [0] * (blocks[-1] + 1 if blocks else 0)
        self._first_part = [blocks.index(block) for block in range(len(self._bytes))] + [len(blocks)]
        for part, block in zip(parts, blocks, strict=True):
            self._bytes[block] += part.arrow_bytes
        self._own = len(set(blocks[:own]))
        layout = {
            "path": [part.path for part in parts],
            "rows": [part.rows for part in parts],
            "block": blocks,
            "protected": [number >= own for number in range(len(parts))],
        }
        task = Task(id="layout", function=f"{TASKS}.layout:write_layout", arguments={"layout": layout})
        run.map("layout", [task])

    def by_block(
        self,
        phase: str,
        function: str,
        shared: Mapping[str, Any],
        *,
        own_only: bool = False,
        ranges: Sequence[Sequence[Any]] = (),
    ) -> list[dict[str, Any]]:
        """Runs a task for each block; with `own_only`, for those that are not of protected datasets. Of `ranges`, each
        a path with its first and last address, a task is given those that its block's addresses lie in."""
        sizes = self._bytes[: self._own] if own_only else self._bytes
        tasks = [
            Task(
                id=f"block-{block:05d}",
                function=f"{TASKS}.{function}",
                arguments={**shared, "block": block} | ({"ranges": self._overlapping(block, ranges)} if ranges else {}),
                bytes=size,
            )
            for block, size in enumerate(sizes)
        ]
        return self.run.map(phase, tasks)

    def _overlapping(self, block: int, ranges: Sequence[Sequence[Any]]) -> list[str]:
        first, stop = (self._first_part[number] << PART_SHIFT for number in (block, block + 1))
        return [path for path, low, high in ranges if low < stop and high >= first]

    def by_partition(
        self,
        phase: str,
        function: str,
        shared: Mapping[str, Any],
        partitions: str,
        before: Sequence[Mapping[str, Any]],
    ) -> list[dict[str, Any]]:
        """Runs a task for each of `shared[partitions]` partitions of what the results of a phase before told to have
        written."""
        count = shared[partitions]
        size = sum(result["bytes"] for result in before) // count
        tasks = [
            Task(
                id=f"partition-{number:04d}",
                function=f"{TASKS}.{function}",
                arguments={**shared, "partition": number},
                bytes=size,
            )
            for number in range(count)
        ]
        return self.run.map(phase, tasks)


def block_numbers(rows: Sequence[int], own: int) -> list[int]:
    """The block of each part: consecutive parts of up to a million rows or a 64th of all, none of both kinds.

    Args:
        rows: of each part.
        own: parts that are not protected; they come first.
    """
    most = min(BLOCK_ROWS, sum(rows) // LEAST_BLOCKS)
    blocks: list[int] = []
    block = held = 0
    for number, count in enumerate(rows):
        if number and (held + count > most or number == own):
            block += 1
            held = 0
        blocks.append(block)
        held += count
    return blocks


def partitions_of(size: int) -> int:
    """Partitions of about 64 MiB; a function of the input alone, so that it is the same anywhere."""
    return min(MAX_PARTITIONS, 1 + size // PARTITION_BYTES)


def _added(results: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    """Sums of what results tell by name, in the order of the names (numbers by their size)."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result[name])
    return dict(sorted(total.items(), key=lambda item: (len(item[0]), item[0]) if item[0].isdigit() else (0, item[0])))


def _matrix(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Which source duplicates which: {source of the removed: {source of the survivor: documents}}."""
    found: dict[str, dict[str, int]] = {}
    for result in results:
        for removed, kept, count in result["between"]:
            row = found.setdefault(removed, {})
            row[kept] = row.get(kept, 0) + count
    return {removed: dict(sorted(row.items())) for removed, row in sorted(found.items())}
