"""De-duplication: exact and near duplicates, in phases that each leave files to go on from.

    layout       which parts there are, and which of them make a block (a task's work)
    sign         block → digests and band keys, partitioned by key; signatures, read by address later
    against      with an index: partition of keys → documents that it holds the like of, by block
    pairs        partition of keys → pairs that are equal, or alike by their signatures
    cluster      all pairs → components; the label of each clustered document, by block
    members      block → its clustered documents, and their shingles, partitioned by component
    route        partition of pairs → the same, partitioned by component
    survivors    partition of components → who stays, by declared preference, and who goes for whom; removals, by block
    apply        block → its parts without removals; `_duplicates/` names the survivor of each, with the evidence

A document goes only for one that stays and that it is itself alike, at the threshold or over (`absorbing.py`).

Work is linear in the documents: a block is a 64th of them or a million, whichever is less, and a partition about
64 MiB, of which there are 1,024 at most; larger ones are gone through in passes. So files grow with the corpus and the
reads between two phases with blocks times partitions. Memory: a block's keys and signatures, 64 MiB of keys, 1.5 GiB
of a block's members at the most; of the largest component 250 bytes a member, 40 a pair and 256 MiB of shingles, of
which more lie in a file; for `cluster`, `cluster_bytes`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, field_validator

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import PartReference, folder_identities, list_parts, listed, require_distinct_ids
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, Summary, add_counts
from corpusmill.pipelines.engine.state import WORK
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.blocks import (
    KEY_BYTES,
    BlockWork,
    Range,
    block_numbers,
    partition_tasks,
    partitions_of,
    passes_of,
)
from corpusmill.pipelines.stages.dedup.against import MATCH_PARTITION, IndexView
from corpusmill.pipelines.stages.dedup.arguments import DedupWork
from corpusmill.pipelines.stages.dedup.signatures import SignatureSettings

MEMBER_BYTES = 200
SHINGLE_BYTES = 8 * 400
PARTITIONS = 1024
"""The most there are: a read of each block's file for each partition costs some hundred bytes besides its rows."""
WARNED_LOSS = 0.5
WARNED_DOCUMENTS = 100
"""Without `max_loss`, a source of so many documents that loses more than that share is worth a line."""
HOSTS_NAMED = 20
CORE_BYTES = 60
"""Memory of a pair when components are computed in core: 16, and 24 for each of its documents at most."""
TASKS = "corpusmill.pipelines.stages.dedup.work"
SIGN = f"{TASKS}.signing:sign_block"
DEDUP = "corpusmill.dataproc.dedup"


class DedupSettings(SignatureSettings):
    """Settings of `corpusmill dedup`."""

    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    verify: Literal["signatures", "exact"] = Field(
        default="exact",
        description="compare documents exactly, by all their shingles, or by estimates from their signatures",
    )
    keep_unless: dict[Literal["contained"], Annotated[float, Field(gt=0, le=1)]] = Field(
        default={},
        description="remove a document only if its survivor also contains this share of its shingles (contained=0.95)",
    )
    max_loss: float | None = Field(
        default=None,
        description="stop before anything is removed if a source would lose more than this share of its documents",
        gt=0,
        le=1,
    )

    cluster_bytes: ByteSize = Field(
        default=ByteSize(2 << 30),
        description="memory for clustering; pairs that do not fit are clustered on disk",
        ge=1 << 20,
    )
    protect: tuple[str, ...] = Field(
        default=(), description="datasets to leave unchanged; duplicates of their documents are removed from the others"
    )
    against: str | None = Field(
        default=None, description="an index (`corpusmill index`); duplicates of its documents are removed"
    )
    prefer: tuple[str, ...] = Field(
        default=("length:desc",),
        description="which document of a cluster stays: longest, column:desc, column:asc, column=a|b,"
        " statistics.NAME:desc (of _statistics/ beside the documents); then by id",
    )

    @field_validator("max_loss", mode="before")
    @classmethod
    def _share(cls, value: Any) -> Any:
        """A share, or a percentage as in 50%."""
        if isinstance(value, str) and value.strip().endswith("%"):
            return float(value.strip()[:-1]) / 100
        return value


class DedupStage(Stage):
    """Documents to unique documents, with the survivor of every duplicate named."""

    name = "dedup"
    version = 4
    Settings = DedupSettings
    settings: DedupSettings

    def __init__(self, settings: Any, **more: Any) -> None:
        super().__init__(settings, **more)
        self._index: IndexView | None = None
        self._on_disk = False
        self._listed_parts: tuple[list[PartReference], int] | None = None

    @property
    def kernels(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the index and of clustering on disk only where there is one."""
        kernels = f"{DEDUP}.warmup", f"{DEDUP}.warmup_index"
        return kernels if self.settings.against or self.settings.normalise or self._on_disk else kernels[:1]

    def index(self) -> IndexView | None:
        """The index as it was when it was first looked at, whoever adds to it meanwhile."""
        if self.settings.against is not None and self._index is None:
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
        from corpusmill.dataproc.dedup.banding import choose_bands

        if "minhash" not in self.settings.method:
            return 0, 0
        chosen = choose_bands(self.settings.threshold, self.settings.permutations, self.settings.recall)
        return chosen.bands, chosen.rows

    def check_inputs(self, folder: str) -> None:
        """Raises UserError for a preference by a column that is not there, or an index of other settings."""
        from corpusmill.dataproc.datasets import open_part
        from corpusmill.dataproc.dedup.survivors import STATISTICS, named_columns, parse_preferences

        if index := self.index():
            index.require_comparable(self.settings, self.seed)
        if self.settings.keep_unless and self.settings.verify != "exact":
            raise UserError("signatures cannot tell what a document contains", where="keep_unless", hint="verify exact")
        self._listed_parts = parts, _ = self._parts()
        require_distinct_ids(self.settings.datasets, self.resolve)
        if parts:
            with open_part(parts[0].path) as file:
                columns = [*file.schema_arrow.names, "length"]
            if any(name.startswith(STATISTICS) for name in named_columns(self.settings.prefer)):
                columns += self._statistics()
            parse_preferences(self.settings.prefer, columns)

    def _statistics(self) -> list[str]:
        """Columns of the statistics beside the first part of each dataset."""
        from corpusmill.pipelines.stages.dedup.beside import statistics_columns

        firsts = [list_parts([name], self.resolve)[:1] for name in (*self.settings.datasets, *self.settings.protect)]
        return list(dict.fromkeys(name for first in firsts for part in first for name in statistics_columns(part.path)))

    def _parts(self) -> tuple[list[PartReference], int]:
        """All parts, those of protected datasets last, and how many are not protected."""
        own = list_parts(self.settings.datasets, self.resolve)
        if not self.settings.protect:
            return own, len(own)
        return list_parts([*self.settings.datasets, *self.settings.protect], self.resolve), len(own)

    def phases(self) -> list[PhasePlan]:
        parts, own = self._parts()
        blocks = block_numbers([part.rows for part in parts], own)
        total = sum(part.arrow_bytes for part in parts)
        rows = sum(part.rows for part in parts)
        partitions = partitions_of(rows * (self._banding()[0] + 1) * KEY_BYTES, PARTITIONS)
        return [
            PhasePlan(name="layout", tasks=1, bytes=0),
            PhasePlan(name="sign", tasks=len(set(blocks)), bytes=total),
            PhasePlan(name="pairs", tasks=partitions, bytes=rows * KEY_BYTES),
            PhasePlan(name="cluster", tasks=1, bytes=rows * KEY_BYTES),
            PhasePlan(name="members", tasks=len(set(blocks)), bytes=total // 10),
            PhasePlan(name="route", tasks=partitions, bytes=rows * KEY_BYTES // 10),
            PhasePlan(name="survivors", tasks=partitions_of(rows // 10 * MEMBER_BYTES, PARTITIONS), bytes=total // 10),
            PhasePlan(name="apply", tasks=len(set(blocks[:own])), bytes=total),
        ]

    def run(self, run: StageRun) -> Summary:
        parts, own = self._listed_parts or self._parts()
        bands, rows = self._banding()
        documents = sum(part.rows for part in parts)
        settings = self.settings
        key_bytes = documents * (bands + 1) * KEY_BYTES
        partitions = partitions_of(key_bytes, PARTITIONS)
        work = DedupWork(
            method=settings.method,
            normalise=settings.normalise,
            threshold=settings.threshold,
            permutations=settings.permutations,
            shingle=settings.shingle,
            ngram=settings.ngram,
            seed=self.seed,
            bands=bands,
            rows=rows,
            partitions=partitions,
            passes=passes_of(key_bytes, partitions),
            verify=settings.verify,
            prefer=settings.prefer,
            keep_unless=tuple(settings.keep_unless.items()),
        )
        if bands:
            from corpusmill.dataproc.dedup.banding import Banding, curve_in_words

            curve = curve_in_words(Banding(bands, rows), self.settings.permutations, self.settings.threshold)
            run.say(curve)
        blocks = BlockWork(run, parts, own)
        signed = blocks.by_block("sign", SIGN, work)
        if index := self.index():
            work = replace(work, against=index.matching(settings, self.seed))
            run.map("against", partition_tasks(MATCH_PARTITION, work, work.partitions, key_bytes))
        pairs = blocks.by_partition("pairs", f"{TASKS}.pairing:pair_partition", work, work.partitions, signed)
        clustered = self._cluster(blocks, "cluster", work, "pairs", pairs)
        member_bytes = MEMBER_BYTES + (SHINGLE_BYTES if bands and settings.verify == "exact" else 0)
        chosen_in = partitions_of(clustered * member_bytes, PARTITIONS)
        work = replace(work, labels="cluster", pair_files=len(pairs), chosen=chosen_in)
        members = blocks.by_block("members", f"{TASKS}.surviving:member_block", work)
        blocks.by_partition("route", f"{TASKS}.routing:route_pairs", work, work.partitions, pairs)
        chosen = blocks.by_partition("survivors", f"{TASKS}.surviving:choose_partition", work, work.chosen, members)
        loss = losses(signed[: blocks.own], chosen)
        self._judge(loss, chosen, run)
        applied = blocks.by_block("apply", f"{TASKS}.applying:apply_block", work, own_only=True)
        return Summary(
            counts=add_counts(applied, ["documents_in", "kept", "duplicates", "quarantined"]),
            parts=listed(applied, "parts"),
            files=listed(applied, "files"),
            facts={
                "bands": bands,
                "rows": rows,
                "duplicates_by_method": {"exact": 0, "minhash": 0} | _added(applied, "by_method"),
                "candidate_pairs": sum(result["candidates"] for result in pairs),
                "verified_pairs": sum(result["pairs"] for result in pairs),
                "compared_pairs": sum(result["compared"] for result in chosen),
                "clusters": sum(result["clusters"] for result in chosen),
                "largest_cluster": max((result["largest"] for result in chosen), default=0),
                "cluster_sizes": _added(chosen, "sizes"),
                "duplicate_sources": _matrix(chosen),
                "loss": loss,
                "hosts_that_lost_most": most_removed_hosts(chosen),
            },
        )

    def _judge(
        self, loss: Mapping[str, Mapping[str, Mapping[str, int]]], chosen: Sequence[Mapping[str, Any]], run: StageRun
    ) -> None:
        """Says which source loses most of its documents; raises UserError where that is more than is allowed."""
        limit = self.settings.max_loss
        for source, documents in sorted(loss["source"].items(), key=lambda item: (_share_of(item[1]), item[0])):
            share = _share_of(documents)
            if share <= (WARNED_LOSS if limit is None else limit):
                continue
            if limit is None and documents["documents"] < WARNED_DOCUMENTS:
                continue
            what = (
                f"source '{source}' loses {share:.1%} of its {documents['documents']:,} documents to duplicates"
                f"{_largest(chosen, source)}"
            )
            if limit is not None:
                hint = "nothing was removed; look at these clusters, then raise --threshold or --max-loss"
                raise UserError(f"{what}; max_loss is {limit:.0%}", where="dedup", hint=hint)
            run.say(what)

    def _cluster(
        self, blocks: BlockWork, phase: str, work: DedupWork, folder: str, written: Sequence[Mapping[str, Any]]
    ) -> int:
        """Components of the pairs that a phase wrote, their labels in a folder of this phase's name, by block; gives
        how many documents have one. In memory where that holds them, else by files, to the same labels."""
        pairs = sum(result["pairs"] for result in written)
        work = replace(work, pairs=folder, pair_files=len(written), labels=phase)
        if pairs * CORE_BYTES <= self.settings.cluster_bytes:
            task = Task(id=phase, function=f"{TASKS}.clustering:cluster_pairs", arguments=work)
            return int(blocks.run.map(phase, [task])[0]["clustered"])
        from corpusmill.pipelines.stages.dedup.stars import run_stars

        self._on_disk = True
        names = [f"partition-{number:04d}.arrow" for number in range(len(written))]
        paths = [blocks.run.path(WORK, folder, name) for name in names]
        labelled = run_stars(
            blocks.run, paths, edges=pairs, memory_bytes=self.settings.cluster_bytes, name=f"{phase}-stars"
        )
        ranges = [Range(entry["path"], entry["first"], entry["last"]) for entry in labelled.files if entry["rows"]]
        done = blocks.by_block(phase, f"{TASKS}.clustering:label_block", work, ranges=ranges)
        return sum(result["clustered"] for result in done)


def _added(results: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    """Sums of what results tell by name, in the order of the names (numbers by their size)."""
    total: Counter[str] = Counter()
    for result in results:
        total.update(result[name])
    return dict(sorted(total.items(), key=lambda item: (len(item[0]), item[0]) if item[0].isdigit() else (0, item[0])))


def _matrix(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Which source duplicates which: {source of the removed: {source of the survivor: documents}}."""
    matrix: dict[str, dict[str, int]] = {}
    for result in results:
        for removed, kept, count in result["between"]:
            row = matrix.setdefault(removed, {})
            row[kept] = row.get(kept, 0) + count
    return {removed: dict(sorted(row.items())) for removed, row in sorted(matrix.items())}


def losses(
    signed: Sequence[Mapping[str, Any]], chosen: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, int]]]:
    """{column: {value: {"documents": came in, "removed": went}}} for source, kind and language; "" is null."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for column in ("source", "kind", "language"):
        documents, removed = Counter[str](), Counter[str]()
        for result in signed:
            documents.update(result["documents"][column])
        for result in chosen:
            removed.update(result["removed"][column])
        table[column] = {
            value: {"documents": count, "removed": removed[value]} for value, count in sorted(documents.items())
        }
    return table


def most_removed_hosts(chosen: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Documents removed of the hosts that lost most, from what each task names of its own."""
    hosts = Counter[str]()
    for result in chosen:
        hosts.update(result["hosts"])
    return dict(sorted(hosts.items(), key=lambda item: (-item[1], item[0]))[:HOSTS_NAMED])


def _share_of(documents: Mapping[str, int]) -> float:
    return documents["removed"] / documents["documents"] if documents["documents"] else 0.0


def _largest(chosen: Sequence[Mapping[str, Any]], source: str) -> str:
    """The largest clusters whose survivor is of a source, as the end of a sentence."""
    examples = sorted(
        (entry for result in chosen for entry in result["examples"]), key=lambda entry: (-entry[0], entry)
    )
    named = [f"{size:,} like '{document}'" for size, of, document in examples if of == source][:3]
    return f" (largest clusters: {', '.join(named)})" if named else ""
