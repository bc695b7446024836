"""Components out of core, as phases of a stage: in which order the steps of `dataproc.dedup.stars` come.

    stars-contract           edge files → edges in both directions
    stars-01-large, -small   a round: edges → fewer edges, and the leaves that were set aside; and so on, until
    stars-solve              the edges that are left fit one task
    stars-02-labels, …       back: the leaves of each round, the last first, from the labels of later rounds
    stars-ranges             labels → one sorted file for each range of addresses

Each phase leaves markers, so a killed run goes on from the task that it was at; files are removed as soon as the phase
that reads them is done. Partitions follow from the number of edges and the memory alone. When few rows are left, one
task takes several partitions, so the tail of small rounds does not open a square of empty files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine.stage import StageRun
from corpusmill.pipelines.engine.state import WORK
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.dedup.arguments import (
    ContractWork,
    LabelWork,
    LargeStarWork,
    RangeWork,
    RoutedSource,
    SmallStarWork,
    SolveWork,
    StarsWork,
)

if TYPE_CHECKING:
    from corpusmill.dataproc.dedup.stars import Bounds

DEFAULT_MEMORY_BYTES = 512 << 20
EDGES_A_TASK = 16 << 20
ROW_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class ComponentFiles:
    """What `run_stars` gives.

    Attributes:
        files: one a range of addresses, rising: path, rows, first and last address (not of an empty one), bytes,
            digest. Columns `address` (rising, each once) and `label`, uint64, in one record batch.
        rounds: of large-star and small-star.
        edges: how many there were to begin with (contracted by block), and after each round.
    """

    files: list[dict[str, Any]]
    rounds: int
    edges: list[int]


@dataclass(frozen=True, kw_only=True)
class _Level:
    """Files of routed rows, one a task of the phase that wrote them."""

    folder: str
    files: int
    rows: int

    @property
    def source(self) -> RoutedSource:
        return RoutedSource(folder=self.folder, files=self.files)


def run_stars(
    run: StageRun,
    edge_paths: Sequence[str],
    *,
    edges: int,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    partitions: int | None = None,
    bounds: "Bounds | None" = None,
    name: str = "stars",
) -> ComponentFiles:
    """Labels of all addresses that have an edge, in files sorted by address below `_work/<name>-labels/`.

    Args:
        run: of the stage that this is a part of.
        edge_paths: Arrow IPC files with the columns `left` and `right` (uint64).
        edges: how many rows these hold in all.
        memory_bytes: what a worker may hold; files, though never labels, depend on it.
        partitions, bounds: in place of those that follow from edges and memory.
        name: of the phases and folders; another one for each run of the stars within a stage.
    """
    from corpusmill.dataproc.dedup.stars import Bounds

    bounds = bounds or Bounds.for_memory(memory_bytes)
    return _Stars(run, bounds, partitions or bounds.partitions(edges), name).run(edge_paths, edges)


class _Stars:
    """One run's phases."""

    def __init__(self, run: StageRun, bounds: "Bounds", partitions: int, name: str) -> None:
        self._run = run
        self._name = name
        self._bounds = bounds
        self._partitions = partitions
        self._shared: dict[str, Any] = {"name": name, "partitions": partitions, "chunk_rows": bounds.chunk_rows}

    def run(self, edge_paths: Sequence[str], edges: int) -> ComponentFiles:
        left, loops = self._contract(edge_paths, edges)
        counts, leaves = [left.rows], [loops]
        splitters: list[int] | None = None
        while left.rows > self._bounds.core_edges:
            left, aside, cuts = self._round(left, len(leaves))
            splitters = cuts if splitters is None else splitters
            counts.append(left.rows)
            leaves.append(aside)
        known, results, cuts = self._solve(left, splitters)
        levels, outcomes = [known], [results]
        for number in range(len(leaves) - 1, -1, -1):
            if leaves[number].rows:
                is_needed = any(before.rows for before in leaves[:number])
                known, results = self._label(leaves[number], number, levels, cuts, is_needed)
                levels.append(known)
                outcomes.append(results)
        files = self._ranges(outcomes, len(cuts) + 1)
        storage.remove(self._run.path(WORK, self._name))
        return ComponentFiles(files=files, rounds=len(leaves) - 1, edges=counts)

    def _contract(self, paths: Sequence[str], edges: int) -> tuple[_Level, _Level]:
        count = max(1, min(len(paths), -(-edges // EDGES_A_TASK)))
        edges_folder, leaves_folder = "edges-00", "leaves-00"
        tasks = [
            Task(
                id=f"edges-{number:05d}",
                function="corpusmill.pipelines.stages.dedup.work.stars:contract",
                arguments=ContractWork(
                    **self._shared,
                    paths=group,
                    block_edges=self._bounds.block_edges,
                    edges=edges_folder,
                    leaves=leaves_folder,
                ),
                bytes=ROW_BYTES * edges // count,
            )
            for number, group in enumerate(
                tuple(paths[len(paths) * i // count : len(paths) * (i + 1) // count]) for i in range(count)
            )
        ]
        done = self._run.map(f"{self._name}-contract", tasks)
        return _level(edges_folder, done, "edges"), _level(leaves_folder, done, "leaves")

    def _spans(self, function: str, rows: int, work: StarsWork) -> list[Task]:
        """One task for as many partitions as it can take together, so that all of them have one."""
        step = self._bounds.partitions_a_task(self._partitions, rows)
        starts = range(0, self._partitions, step)
        return [
            Task(
                id=f"partitions-{number:05d}",
                function=f"corpusmill.pipelines.stages.dedup.work.stars:{function}",
                arguments=replace(work, first=first, stop=min(first + step, self._partitions)),
                bytes=ROW_BYTES * rows // len(starts),
            )
            for number, first in enumerate(starts)
        ]

    def _round(self, left: _Level, number: int) -> tuple[_Level, _Level, list[int]]:
        linked, edges, leaves = (f"{name}-{number:02d}" for name in ("linked", "edges", "leaves"))
        ranges = self._partitions if number == 1 else 0
        work: StarsWork = LargeStarWork(**self._shared, source=left.source, linked=linked, ranges=ranges)
        large = self._run.map(f"{self._name}-{number:02d}-large", self._spans("large_star", 2 * left.rows, work))
        self._remove(left)
        rows = _level(linked, large, "rows")
        work = SmallStarWork(**self._shared, source=rows.source, edges=edges, leaves=leaves)
        small = self._run.map(f"{self._name}-{number:02d}-small", self._spans("small_star", rows.rows, work))
        self._remove(rows)
        return _level(edges, small, "edges"), _level(leaves, small, "leaves"), large[0].get("splitters", [])

    def _solve(self, left: _Level, splitters: list[int] | None) -> tuple[_Level, _Level, list[int]]:
        work = SolveWork(
            **self._shared,
            stop=self._partitions,
            source=left.source,
            splitters=None if splitters is None else tuple(splitters),
            labels="labels-last",
            results="results-last",
        )
        task = Task(
            id="solve-00000",
            function="corpusmill.pipelines.stages.dedup.work.stars:solve",
            arguments=work,
            bytes=ROW_BYTES * left.rows,
        )
        done = self._run.map(f"{self._name}-solve", [task])
        self._remove(left)
        return (
            _level("labels-last", done, "labels"),
            _level("results-last", done, "results"),
            done[0]["splitters"],
        )

    def _label(
        self, leaves: _Level, number: int, levels: list[_Level], cuts: list[int], is_needed: bool
    ) -> tuple[_Level, _Level]:
        labels, results = f"labels-{number:02d}", f"results-{number:02d}"
        work = LabelWork(
            **self._shared,
            source=leaves.source,
            known=tuple(level.source for level in levels if level.rows),
            splitters=tuple(cuts),
            labels=labels if is_needed else None,
            results=results,
        )
        rows = max(leaves.rows, sum(level.rows for level in levels))
        done = self._run.map(f"{self._name}-{number:02d}-labels", self._spans("label_leaves", rows, work))
        self._remove(leaves)
        return _level(labels, done, "labels"), _level(results, done, "results")

    def _ranges(self, outcomes: list[_Level], ranges: int) -> list[dict[str, Any]]:
        sources = tuple(level.source for level in outcomes if level.rows)
        tasks = [
            Task(
                id=f"range-{number:05d}",
                function="corpusmill.pipelines.stages.dedup.work.stars:write_range",
                arguments=RangeWork(
                    name=self._name,
                    partitions=ranges,
                    chunk_rows=self._bounds.chunk_rows,
                    first=number,
                    stop=number + 1,
                    sources=sources,
                ),
                bytes=ROW_BYTES * sum(level.rows for level in outcomes) // ranges,
            )
            for number in range(ranges)
        ]
        done = self._run.map(f"{self._name}-ranges", tasks)
        names, folder = [f"{task.id}.arrow" for task in tasks], f"{self._name}-labels"
        return [{"path": self._run.path(WORK, folder, name), **entry} for name, entry in zip(names, done, strict=True)]

    def _remove(self, level: _Level) -> None:
        storage.remove(self._run.path(WORK, self._name, level.folder))


def _level(folder: str, results: Sequence[dict[str, Any]], count: str) -> _Level:
    return _Level(folder=folder, files=len(results), rows=sum(result[count] for result in results))
