"""The rank at which the best documents of each group end, found by counting (`dataproc.quality.ranking`).

    <name>-0    part → its documents by the first digit of their rank, by group
    <name>-1    … by the next digit, of those among which the cutoff is; groups with few such documents give their ranks
    …           until every group's cutoff is known: two or three phases for a billion documents

Only ids and the columns that ranks are made of are read. Memory: a part's row group of these columns, and in the driver
65,536 counts and 65,536 ranks per group.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from corpusmill.dataproc import storage
from corpusmill.pipelines.datasets import PartReference
from corpusmill.pipelines.engine.stage import StageRun
from corpusmill.pipelines.engine.state import WORK
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.quality_keep.arguments import RankSource, RankWork

if TYPE_CHECKING:
    from corpusmill.dataproc.quality.ranking import Search


def find_cutoffs(
    run: StageRun,
    name: str,
    parts: Sequence[tuple[PartReference, RankSource]],
    wanted: Callable[[str, int], int],
) -> dict[str, "Search"]:
    """The finished searches, by group.

    Args:
        run: of the stage that needs the cutoffs.
        name: of the phases.
        parts: with what ranks their documents.
        wanted: how many documents to take from a group, given its name and how many it has.
    """
    from corpusmill.dataproc.quality.ranking import Search

    searches: dict[str, Search] = {}
    number = 0
    while number == 0 or not all(search.is_done for search in searches.values()):
        phase = f"{name}-{number}"
        searched = {group: search for group, search in searches.items() if not search.is_done}
        counted = {group: list(search.prefix) for group, search in searched.items() if not search.wants_ranks}
        listed = {group: list(search.prefix) for group, search in searched.items() if search.wants_ranks}
        tasks = [
            Task(
                id=part.task_id,
                function="corpusmill.pipelines.stages.quality_keep.work.ranking:rank_part",
                arguments=RankWork(path=part.path, source=source, is_first=number == 0, counted=counted, listed=listed),
                bytes=part.arrow_bytes,
            )
            for part, source in parts
        ]
        run.map(phase, tasks)
        folder = run.path(WORK, phase)
        counts, ranks = _sums(folder, tasks), _ranks(folder, tasks)
        if number == 0:
            searches = {group: Search(wanted(group, sum(digits.values()))) for group, digits in sorted(counts.items())}
        for group, digits in counts.items():
            searches[group].narrow(digits)
        for group, (keys, draws) in ranks.items():
            searches[group].settle(keys, draws)
        number += 1
    return searches


def remove_rank_files(run: StageRun, name: str) -> None:
    """Removes the files of the phases; call it once everything that needs them is written."""
    for phase in storage.list_names(run.path(WORK)):
        if phase.startswith(f"{name}-"):
            storage.remove(run.path(WORK, phase))


def _sums(folder: str, tasks: Sequence[Task]) -> dict[str, dict[int, int]]:
    from corpusmill.dataproc.datasets import read_batches

    sums: dict[str, dict[int, int]] = {}
    for task in tasks:
        for batch in read_batches(storage.join(folder, f"{task.id}.counts.parquet")):
            columns = (batch.column(name).to_pylist() for name in ("group", "digit", "documents"))
            for group, digit, documents in zip(*columns, strict=True):
                digits = sums.setdefault(group, {})
                digits[digit] = digits.get(digit, 0) + documents
    return sums


def _ranks(folder: str, tasks: Sequence[Task]) -> dict[str, tuple[Any, Any]]:
    import numpy as np

    from corpusmill.dataproc.datasets import read_batches

    ranks: dict[str, list[tuple[Any, Any]]] = {}
    for task in tasks:
        path = storage.join(folder, f"{task.id}.ranks.parquet")
        for batch in read_batches(path) if storage.exists(path) else ():
            groups = batch.column("group").to_numpy(zero_copy_only=False)
            keys, draws = batch.column("key").to_numpy(), batch.column("draw").to_numpy()
            for group in sorted(set(groups)):
                rows = groups == group
                ranks.setdefault(group, []).append((keys[rows], draws[rows]))
    return {
        group: (np.concatenate([keys for keys, _ in pieces]), np.concatenate([draws for _, draws in pieces]))
        for group, pieces in ranks.items()
    }
