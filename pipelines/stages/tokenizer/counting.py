"""The phases of counting, which `count` and `tokenizer` share: runs by parts, merged by hash partition to one table.

1. count    some parts → sorted runs, each a full table of the memory that was allowed
   combine  where a partition has too many runs for one merge: some of them → one
2. merge    partition → a file of `counts/`; tables that are extended are merged in as if they were runs

Which parts share a task, how large a table gets and how often runs are combined leaves no trace in the result.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import PartReference, folder_identities, list_parts, listed
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.stage import PhasePlan, StageRun
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.tokenizer.arguments import (
    CombineWork,
    CountWork,
    MergeWork,
    PatternSettings,
    RunSource,
    Source,
    TableSource,
)

if TYPE_CHECKING:
    from corpusmill.tokenizer.patterns import Pattern

FEW_TASKS, MANY_TASKS = 16, 256
SMALL_TASK_BYTES, LARGE_TASK_BYTES = 128 << 20, 4 << 30
"""A task counts parts of so much text together as to give `FEW_TASKS` on a small corpus, tasks of the smaller size on a
larger one, and then `MANY_TASKS` until they reach the larger size: the larger the tasks, the fewer rows to merge."""

PARTITION_TEXT_BYTES = 64 << 20
MOST_PARTITIONS = 1024
MOST_RUNS = 128
"""Runs that one merge takes."""

TASKS = "corpusmill.pipelines.stages.tokenizer.work.counting"


@dataclass(frozen=True, kw_only=True)
class CountsFolder:
    """A finished table of counts.

    Attributes:
        folder: that has `counts/`.
        table: what its manifest says of it: pattern, splits, group_by, groups (pretokens and bytes of each), min_count,
            dropped, unique, text_bytes, documents, datasets (digests), partitions.
        files: paths by partition.
    """

    folder: str
    table: Mapping[str, Any]
    files: Mapping[int, list[str]]


def open_counts(folders: Sequence[str], resolve: Callable[[str], str]) -> list[CountsFolder]:
    """Tables of counts, as `count` and `tokenizer` leave them. Raises UserError for a folder that has none."""
    opened: list[CountsFolder] = []
    for folder in folders:
        path = resolve(folder)
        manifest = state.require_manifest(path)
        files: dict[int, list[str]] = {}
        for entry in manifest["files"]:
            if entry["path"].startswith("counts/partition-"):
                number = int(entry["path"].removeprefix("counts/partition-")[:4])
                files.setdefault(number, []).append(storage.join(path, entry["path"]))
        if not files or "table" not in manifest["facts"]:
            hint = "give what `corpusmill tokenizer count` made, or a tokenizer that was trained from text"
            raise UserError("there are no counts in this folder", where=path, hint=hint)
        opened.append(CountsFolder(folder=path, table=manifest["facts"]["table"], files=files))
    return opened


@dataclass(frozen=True, kw_only=True)
class Counting:
    """What is counted and how.

    Attributes:
        datasets: digests of the datasets' manifests.
        parts: their parts.
        tables: that are extended.
        pattern: its name and expressions.
        memory: most bytes of a worker's table.
    """

    datasets: Sequence[str]
    parts: Sequence[PartReference]
    tables: Sequence[CountsFolder]
    pattern: PatternSettings
    group_by: str
    most_groups: int
    min_count: int
    memory: int

    @property
    def text_bytes(self) -> int:
        """Of the datasets and of what the tables were counted from."""
        return sum(part.arrow_bytes for part in self.parts) + sum(table.table["text_bytes"] for table in self.tables)

    @property
    def partitions(self) -> int:
        """A power of two, so that the partitions of tables of any size lie in each other."""
        wanted = -(-self.text_bytes // PARTITION_TEXT_BYTES)
        return min(MOST_PARTITIONS, 1 << max(0, wanted - 1).bit_length())

    def phases(self) -> list[PhasePlan]:
        """The plan, without combining."""
        return [
            PhasePlan(name="count", tasks=len(self._groups_of_parts()), bytes=sum(p.arrow_bytes for p in self.parts)),
            PhasePlan(name="merge", tasks=self.partitions, bytes=0),
        ]

    def _groups_of_parts(self) -> list[list[PartReference]]:
        total = sum(part.arrow_bytes for part in self.parts)
        wanted = max(min(total // FEW_TASKS, SMALL_TASK_BYTES), min(total // MANY_TASKS, LARGE_TASK_BYTES))
        groups: list[list[PartReference]] = []
        taken = wanted
        for part in self.parts:
            if taken >= wanted:
                groups.append([])
                taken = 0
            groups[-1].append(part)
            taken += part.arrow_bytes
        return groups

    def check(self, *, merging: bool = True) -> None:
        """Raises UserError for tables that do not go with the settings, with each other or with the datasets.

        Without `merging`, one table is only read: groups and a least count of its own do no harm.
        """
        seen = set(self.datasets)
        for table in self.tables:
            facts = table.table
            if facts["splits"] != list(self.pattern.splits):
                what = f"this was counted with the pattern {facts['pattern']}, not {self.pattern.name}"
                raise UserError(what, where=table.folder, hint=f"use --pattern {facts['pattern']}, or count again")
            if facts["group_by"] != self.group_by and (merging or self.group_by != "none"):
                what = f"this was counted by {facts['group_by']}, not by {self.group_by}"
                raise UserError(what, where=table.folder, hint=f"use --group-by {facts['group_by']}, or count again")
            if merging and facts["min_count"] > 1:
                what = f"pretokens of fewer than {facts['min_count']} were dropped here, so sums would be wrong"
                raise UserError(what, where=table.folder, hint="count again without --min-count")
            if seen & set(facts["datasets"]):
                what = "this includes a dataset that has been counted already"
                raise UserError(what, where=table.folder, hint="give each dataset once")
            seen |= set(facts["datasets"])

    def as_counted(self) -> "Counted":
        """The one table that there is, as it stands."""
        (table,) = self.tables
        totals = {name: sum(group[name] for group in table.table["groups"].values()) for name in ("pretokens", "bytes")}
        counts = {
            "documents_in": 0,
            "quarantined": 0,
            "pretokens": totals["pretokens"] - table.table["dropped"]["pretokens"],
            "unique_pretokens": table.table["unique"],
        }
        paths = [path for number in sorted(table.files) for path in table.files[number]]
        return Counted(table=dict(table.table), counts=counts, paths=paths)

    def run(self, run: StageRun) -> "Counted":
        """Brings `counts/` about."""
        partitions = self.partitions
        counted = run.map("count", list(self._count_tasks(partitions)))
        names = sorted(
            {name for result in counted for name in result["groups"]}.union(
                *(counts.table["groups"] for counts in self.tables)
            )
        )
        if len(names) > self.most_groups:
            what = f"there are {len(names)} groups of documents, and at most {self.most_groups} are allowed"
            raise UserError(what, where=run.folder, hint="group by a column with fewer values, or raise the limit")
        paths = [path for result in counted for path in result["runs"]]
        sources: list[list[Source]] = [
            [RunSource(run=path, partition=number) for path in paths] for number in range(partitions)
        ]
        level = 0
        while len(sources[0]) + len(self.tables) > MOST_RUNS:
            level += 1
            sources = self._combine(run, f"combine-{level}", sources, names)
        for number in range(partitions):
            sources[number] += [source for table in self.tables for source in _of_partition(table, number, partitions)]
        size = sum(result["bytes"] for result in counted) // partitions
        datasets = sorted({*self.datasets, *(digest for table in self.tables for digest in table.table["datasets"])})
        inputs = xxhash.xxh3_128_hexdigest("\n".join(datasets).encode())
        merged = run.map(
            "merge",
            [
                Task(
                    id=f"partition-{number:04d}",
                    function=f"{TASKS}:merge_partition",
                    arguments=MergeWork(
                        groups=names,
                        sources=tuple(sources[number]),
                        pattern=self.pattern,
                        group_by=self.group_by,
                        min_count=self.min_count,
                        inputs=inputs,
                    ),
                    bytes=size,
                )
                for number in range(partitions)
            ],
        )
        return self._counted(run, counted, merged, names, datasets)

    def _count_tasks(self, partitions: int) -> Iterator[Task]:
        for parts in self._groups_of_parts():
            yield Task(
                id=parts[0].task_id,
                function=f"{TASKS}:count_parts",
                arguments=CountWork(
                    paths=tuple(part.path for part in parts),
                    pattern=self.pattern,
                    group_by=self.group_by,
                    most_groups=self.most_groups,
                    memory=self.memory,
                    partitions=partitions,
                ),
                bytes=sum(part.arrow_bytes for part in parts),
            )

    @staticmethod
    def _combine(run: StageRun, phase: str, sources: list[list[Source]], names: list[str]) -> list[list[Source]]:
        tasks, owners = [], []
        for number, runs in enumerate(sources):
            for first in range(0, len(runs), MOST_RUNS):
                tasks.append(
                    Task(
                        id=f"partition-{number:04d}-{first // MOST_RUNS:05d}",
                        function=f"{TASKS}:combine_runs",
                        arguments=CombineWork(groups=names, sources=tuple(runs[first : first + MOST_RUNS])),
                    )
                )
                owners.append(number)
        combined: list[list[Source]] = [[] for _ in sources]
        for number, result in zip(owners, run.map(phase, tasks), strict=True):
            combined[number].append(RunSource(run=result["run"]))
        return combined

    def _counted(
        self,
        run: StageRun,
        counted: Sequence[dict[str, Any]],
        merged: Sequence[dict[str, Any]],
        names: Sequence[str],
        datasets: list[str],
    ) -> "Counted":
        totals = [
            [sum(result["totals"][place][column] for result in merged) for column in (0, 1)]
            for place in range(len(names))
        ]
        unique, pretokens, size = (sum(result["dropped"][column] for result in merged) for column in range(3))
        text = sum(total[1] for total in totals)
        documents = sum(result["documents_in"] for result in counted)
        table = {
            "pattern": self.pattern.name,
            "splits": list(self.pattern.splits),
            "group_by": self.group_by,
            "groups": {
                name: {"pretokens": total[0], "bytes": total[1]} for name, total in zip(names, totals, strict=True)
            },
            "min_count": self.min_count,
            "dropped": {
                "unique": unique, "pretokens": pretokens, "bytes": size, "share": round(size / text, 6) if text else 0.0
            },
            "unique": sum(result["unique"] for result in merged),
            "text_bytes": self.text_bytes,
            "documents": documents + sum(table.table["documents"] for table in self.tables),
            "datasets": datasets,
            "partitions": len(merged),
        }  # fmt: skip
        return Counted(
            table=table,
            counts={
                "documents_in": documents,
                "quarantined": sum(result["quarantined"] for result in counted),
                "pretokens": sum(total[0] for total in totals) - pretokens,
                "unique_pretokens": sum(result["unique"] for result in merged),
                "rows": sum(result["rows"] for result in merged),
            },
            files=listed([*counted, *merged], "files"),
            paths=[run.path(entry["path"]) for entry in listed(merged, "files")],
        )


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What was counted: facts and counts for the manifest, entries of files, and the paths of the table's."""

    table: dict[str, Any]
    counts: dict[str, int]
    files: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def _of_partition(table: CountsFolder, number: int, partitions: int) -> list[Source]:
    """The files that hold a partition's rows, and whether they hold those of others, too."""
    theirs = table.table["partitions"]
    if theirs >= partitions:
        numbers = range(number, theirs, partitions)
        return [TableSource(table=path) for place in numbers for path in table.files.get(place, [])]
    return [TableSource(table=path, only=(number, partitions)) for path in table.files.get(number % theirs, [])]


def plan_counting(
    *,
    datasets: Sequence[str],
    tables: Sequence[str],
    resolve: Callable[[str], str],
    pattern: "str | Pattern",
    group_by: str,
    most_groups: int,
    min_count: int,
    memory: int,
) -> Counting:
    """From settings as written. Raises UserError for folders that are not what they are taken for."""
    from corpusmill.tokenizer.patterns import pattern_named

    chosen = pattern_named(pattern)
    return Counting(
        datasets=[entry["manifest"] for entry in folder_identities(datasets, resolve).values()],
        parts=list_parts(datasets, resolve),
        tables=open_counts(tables, resolve),
        pattern=PatternSettings(name=chosen.name, splits=tuple(chosen.splits)),
        group_by=group_by,
        most_groups=most_groups,
        min_count=min_count,
        memory=memory,
    )
