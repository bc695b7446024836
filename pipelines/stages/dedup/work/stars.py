"""The workers' side of components out of core: one task function a step of `dataproc.dedup.stars`, over routed files.

Files lie below `_work/<name>/<folder>/`, one a task, named by its number; a step's sources are a folder and how many
files it holds. `pipelines/stages/dedup/stars.py` says in which order the steps come.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

import numpy as np

from corpusmill.dataproc.dedup import stars
from corpusmill.dataproc.dedup.routed import Route, RoutedRows, RoutedWriter, by_hash, by_range, routed_file
from corpusmill.pipelines.engine.worker import TaskContext
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


def _rows(task: TaskContext[StarsWork], source: RoutedSource, partitions: int | None = None) -> RoutedRows:
    """This task's partitions of all files of a source."""
    return RoutedRows(
        paths=[
            task.work_path(task.arguments.name, source.folder, f"{number:05d}.arrow") for number in range(source.files)
        ],
        partitions=partitions or task.arguments.partitions,
        first=task.arguments.first,
        stop=task.arguments.stop,
    )


@contextmanager
def _outputs(task: TaskContext[StarsWork], routes: Mapping[str, Route]) -> Iterator[list[RoutedWriter]]:
    """A writer for each folder by its route; all files are committed at the end, or none of them counts."""
    with ExitStack() as stack:
        name = f"{task.id.rpartition('-')[2]}.arrow"
        yield [
            stack.enter_context(
                routed_file(task.work_path(task.arguments.name, folder, name), route, task.arguments.chunk_rows)
            )
            for folder, route in routes.items()
        ]


def _by_hash(task: TaskContext[StarsWork]) -> Route:
    return by_hash(task.arguments.partitions)


def _by_range(splitters: Sequence[int]) -> Route:
    return by_range(np.array(splitters, np.uint64))


def contract(task: TaskContext[ContractWork]) -> dict[str, Any]:
    """Edge files → edges in both directions, contracted block by block; nodes that have loops alone."""
    arguments, route = task.arguments, _by_hash(task)
    with _outputs(task, {arguments.edges: route, arguments.leaves: route}) as (edges, leaves):
        stars.contract(list(arguments.paths), arguments.block_edges, edges, leaves)
    return {"edges": edges.rows // 2, "leaves": leaves.rows}


def large_star(task: TaskContext[LargeStarWork]) -> dict[str, Any]:
    """Partitions of edges → rows for the small-star; partition 0 of the first round also says where to cut ranges."""
    arguments = task.arguments
    with _outputs(task, {arguments.linked: _by_hash(task)}) as (out,):
        table = stars.large_star(_rows(task, arguments.source), out, arguments.chunk_rows)
    result: dict[str, Any] = {"rows": out.rows}
    if arguments.ranges and arguments.first == 0:  # a partition by hash is a fair sample of all nodes
        result["splitters"] = table.quantiles(arguments.ranges - 1).tolist()
    return result


def small_star(task: TaskContext[SmallStarWork]) -> dict[str, Any]:
    """Partitions of rows of a large-star → the edges that are left, and the leaves."""
    arguments, route = task.arguments, _by_hash(task)
    with _outputs(task, {arguments.edges: route, arguments.leaves: route}) as (edges, leaves):
        stars.small_star(_rows(task, arguments.source), edges, leaves, arguments.chunk_rows)
    return {"edges": edges.rows // 2, "leaves": leaves.rows}


def solve(task: TaskContext[SolveWork]) -> dict[str, Any]:
    """All edges that are left → labels, in core."""
    arguments = task.arguments
    addresses, labels = stars.solve(_rows(task, arguments.source))
    splitters = arguments.splitters
    if splitters is None:
        splitters = stars.quantiles(addresses, arguments.partitions - 1).tolist()
    routes = {arguments.labels: _by_hash(task), arguments.results: _by_range(splitters)}
    leaf = addresses != labels
    with _outputs(task, routes) as (later, results):
        stars.put_labels(addresses[leaf], labels[leaf], later, results)
    return {"labels": later.rows, "results": results.rows, "splitters": splitters}


def label_leaves(task: TaskContext[LabelWork]) -> dict[str, Any]:
    """Partitions of a round's leaves, and of all labels of later rounds → the leaves' labels.

    Labels for the rounds before are written unless there are none (`labels` is null).
    """
    arguments = task.arguments
    routes = {arguments.results: _by_range(arguments.splitters)}
    if arguments.labels:
        routes[arguments.labels] = _by_hash(task)
    known = chain.from_iterable(_rows(task, source) for source in arguments.known)
    with _outputs(task, routes) as (results, *later):
        stars.label_leaves(_rows(task, arguments.source), known, later[0] if later else None, results)
    return {"labels": later[0].rows if later else 0, "results": results.rows}


def write_range(task: TaskContext[RangeWork]) -> dict[str, Any]:
    """All results in one range of addresses → `_work/components/range-00000.arrow`."""
    sources, ranges = task.arguments.sources, task.arguments.partitions
    rows = chain.from_iterable(_rows(task, source, ranges) for source in sources)
    return dict(stars.write_labels(task.work_path(f"{task.arguments.name}-labels", f"{task.id}.arrow"), rows))
