"""Two stages of the loop that grows seeds (`pipelines.cli.quality_round`): domains to look at, and pages accepted.

    quality-domains    tally    part of what a round kept and rejected → pages by registered domain, partitioned
                       merge    partition → `domains/`: pages, collected pages; candidates with addresses
                       then `proposals.csv`, a line for each domain with more than `share` of its pages collected
    quality-seeds      pick     part of what a round rejected → its pages on accepted domains, as a dataset

`overlap` in the facts of the first is the share of this round's collected pages that the round before had collected,
too: DeepSeekMath stopped its loop at 98 %. Pages without an address, or with one that has no registered domain, are
counted separately.

Memory of a worker: the domains of one part or partition, with five addresses each; in the overlap, the ids of one part.
"""

from typing import Any

from pydantic import Field

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.side_tables import side_files, stem_of
from corpusmill.pipelines.datasets import folder_identities, listed
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.stage import PhasePlan, Stage, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.engine.state import WORK
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.quality_domains.arguments import MergeWork, PartPair, PickWork, TallyWork

TASKS = "corpusmill.pipelines.stages.quality_domains.work"
ROWS_A_PARTITION = 1 << 22
MAX_PARTITIONS = 1024
PROPOSALS = "proposals.csv"


class CollectedSettings(StageSettings):
    """What both stages read."""

    collected: str = Field(description="what a round kept and rejected: a folder of 'quality keep'")


class QualityDomainsSettings(CollectedSettings):
    """Settings of the stage `quality-domains`."""

    before: str | None = Field(default=None, description="the same for the round before")
    share: float = Field(default=0.1, description="propose domains of which a larger share was collected", ge=0, lt=1)
    pages: int = Field(default=10, description="propose domains with at least this many pages", ge=1)
    proposals: int = Field(default=1000, description="propose at most this many domains", ge=1)
    reviews: tuple[str, ...] = Field(
        default=(), description="reviews of earlier rounds: what they accept is not proposed"
    )


class QualitySeedsSettings(CollectedSettings):
    """Settings of the stage `quality-seeds`."""

    review: str = Field(description="the edited file of proposals")
    reviews: tuple[str, ...] = Field(default=(), description="reviews of earlier rounds: their pages are seeds already")


def part_pairs(folder: str) -> list[PartPair]:
    """The parts of a folder of 'quality keep', each with the rejected documents beside it, and the rows of both."""
    manifest = state.require_manifest(folder)
    if manifest["stage"] != "quality-keep":
        raise UserError("this is not an output of 'quality keep'", where=folder)
    rejected = side_files(manifest, "rejected")
    rows_of = {entry["path"]: entry["rows"] for entry in [*manifest["parts"], *manifest["files"]]}
    return [
        PartPair(
            kept=storage.join(folder, entry["path"]),
            rejected=storage.join(folder, path := rejected[stem_of(entry["path"])]),
            rows=(rows := entry["rows"] + rows_of[path]),
            bytes=64 * rows,
        )
        for entry in manifest["parts"]
    ]


class QualityDomainsStage(Stage):
    """What a round collected to the domains that are worth a look."""

    name = "quality-domains"
    kernels = ("corpusmill.dataproc.lists.warmup",)
    Settings = QualityDomainsSettings
    over_documents = False
    settings: QualityDomainsSettings

    def _folders(self) -> list[str]:
        return [self.settings.collected, *([self.settings.before] if self.settings.before else [])]

    def inputs(self) -> dict[str, Any]:
        reviews = {name: {name: storage.identity(self.resolve(name))} for name in self.settings.reviews}
        return folder_identities(self._folders(), self.resolve) | reviews

    def _pairs(self) -> list[tuple[PartPair, PartPair | None]]:
        """The parts of this round, each with the same part of the round before."""
        now, *rest = [part_pairs(self.resolve(folder)) for folder in self._folders()]
        if not rest:
            return [(pair, None) for pair in now]
        (before,) = rest
        if [pair.rows for pair in now] != [pair.rows for pair in before]:
            raise UserError(
                "the rounds were not over the same corpus",
                where=self.resolve(self.settings.collected),
                hint="start another loop for another corpus",
            )
        return list(zip(now, before, strict=True))

    def check_inputs(self, folder: str) -> None:
        self._pairs()

    def phases(self) -> list[PhasePlan]:
        pairs = self._pairs()
        size = sum(now.bytes for now, _ in pairs)
        return [
            PhasePlan(name="tally", tasks=len(pairs), bytes=size),
            PhasePlan(name="merge", tasks=_partitions(pairs), bytes=size),
        ]

    def run(self, run: StageRun) -> Summary:
        from corpusmill.dataproc.datasets import open_part
        from corpusmill.dataproc.quality.domains import read_review, write_review

        settings, pairs = self.settings, self._pairs()
        partitions = _partitions(pairs)
        accepted = {
            row.domain
            for review in settings.reviews
            for row in read_review(storage.read_bytes(self.resolve(review)), review)
        }
        tasks = [
            Task(
                id=f"part-{number:05d}",
                function=f"{TASKS}:tally_part",
                arguments=TallyWork(now=now, before=before, partitions=partitions, seed=self.seed),
                bytes=now.bytes,
            )
            for number, (now, before) in enumerate(pairs)
        ]
        tallied = run.map("tally", tasks)
        names = tuple(task.id for task in tasks)
        merging = [
            Task(
                id=f"domains-{number:04d}",
                function=f"{TASKS}:merge_partition",
                arguments=MergeWork(
                    partition=number,
                    parts=names,
                    accepted=tuple(sorted(accepted)),
                    share=settings.share,
                    pages=settings.pages,
                    proposals=settings.proposals,
                ),
                bytes=sum(task.bytes for task in tasks) // partitions,
            )
            for number in range(partitions)
        ]
        merged = run.map("merge", merging)
        proposals = []
        for task in merging:
            with open_part(run.path(WORK, "proposed", f"{task.id}.parquet")) as file:
                proposals.append(file.read())
        proposed, examples = _best(proposals, settings.proposals)
        digest = storage.commit_bytes(run.path(PROPOSALS), data := write_review(proposed, examples))
        counts = add_counts(tallied, ["pages", "collected", "without_domain", "collected_before", "in_both"])
        counts |= {"domains": sum(result["domains"] for result in merged), "proposed": proposed.num_rows}
        overlap = counts["in_both"] / counts["collected"] if settings.before and counts["collected"] else None
        return Summary(
            counts=counts,
            files=[*listed(merged, "files"), {"path": PROPOSALS, "bytes": len(data), "digest": digest}],
            facts={"overlap": overlap, "new_documents": counts["collected"] - counts["in_both"]},
        )


def _partitions(pairs: list[tuple[PartPair, PartPair | None]]) -> int:
    return min(MAX_PARTITIONS, 1 + sum(now.rows for now, _ in pairs) // ROWS_A_PARTITION)


def _best(tables: list[Any], most: int) -> tuple[Any, Any]:
    """(the proposals of all partitions with the most collected pages, their addresses)."""
    import pyarrow as pa

    rows = pa.concat_tables(tables).sort_by([("collected", "descending"), ("domain", "ascending")]).slice(0, most)
    examples = pa.table(
        {
            "domain": [domain for domain, urls in zip(*_lists(rows), strict=True) for _ in urls],
            "url": [url for urls in rows["examples"].to_pylist() for url in urls],
        },
        schema=pa.schema([("domain", pa.string()), ("url", pa.string())]),
    )
    return rows.drop_columns(["examples"]), examples


def _lists(rows: Any) -> tuple[list[str], list[list[str]]]:
    return rows["domain"].to_pylist(), rows["examples"].to_pylist()


class QualitySeedsStage(Stage):
    """Pages of accepted domains that the round before did not collect: positives of the next one."""

    name = "quality-seeds"
    kernels = ("corpusmill.dataproc.lists.warmup",)
    Settings = QualitySeedsSettings
    over_documents = False
    settings: QualitySeedsSettings

    def inputs(self) -> dict[str, Any]:
        reviews = [self.settings.review, *self.settings.reviews]
        named = {name: {name: storage.identity(self.resolve(name))} for name in reviews}
        return folder_identities([self.settings.collected], self.resolve) | named

    def phases(self) -> list[PhasePlan]:
        pairs = part_pairs(self.resolve(self.settings.collected))
        return [PhasePlan(name="pick", tasks=len(pairs), bytes=sum(pair.bytes for pair in pairs))]

    def run(self, run: StageRun) -> Summary:
        from corpusmill.dataproc.quality.domains import read_review

        def accepted(review: str) -> tuple[tuple[str, str], ...]:
            rows = read_review(storage.read_bytes(self.resolve(review)), self.resolve(review))
            return tuple((row.domain, row.path) for row in rows)

        new = accepted(self.settings.review)
        if not new:
            raise UserError(
                "no domain is accepted here",
                where=self.resolve(self.settings.review),
                hint="write true before a domain",
            )
        old = tuple(row for review in self.settings.reviews for row in accepted(review))
        tasks = [
            Task(
                id=f"part-{number:05d}",
                function=f"{TASKS}:pick_part",
                arguments=PickWork(path=pair.rejected, accepted=new, before=old),
                bytes=pair.bytes,
            )
            for number, pair in enumerate(part_pairs(self.resolve(self.settings.collected)))
        ]
        results = run.map("pick", tasks)
        counts = add_counts(results, ["pages", "picked"])
        return Summary(counts=counts, parts=listed(results, "parts"), facts={"domains": len({name for name, _ in new})})
