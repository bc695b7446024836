"""The second phase of writing shards of equal size: which rows of which tails make which shard."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.pack.arguments import GatherWork, ShardWork, TailRows


def gather_tasks(work: ShardWork, tails: Sequence[dict[str, Any]], number: int) -> list[Task]:
    """Tasks that join the tails of each group into shards.

    Args:
        work: what the tasks of the first phase shared.
        tails: of all tasks of the first phase, in order: path, rows, group, held_back.
        number: of the first shard; the numbers below are those of the first phase's tasks.
    """
    groups: dict[tuple[bool, str], list[dict[str, Any]]] = {}
    for tail in tails:
        groups.setdefault((tail["held_back"], tail["group"]), []).append(tail)
    tasks: list[Task] = []
    for (held_back, group), members in sorted(groups.items()):
        for pieces in cut_rows(members, work.shard_sequences):
            name = number + len(tasks)
            tasks.append(
                Task(
                    id=f"shard-{name:05d}",
                    function="corpusmill.pipelines.stages.pack.work.shard_writing:gather_shard",
                    arguments=GatherWork(
                        shard=replace(work, number=name), pieces=tuple(pieces), group=group, held_back=held_back
                    ),
                    bytes=sum(piece.last - piece.first for piece in pieces) * 4 * work.sequence_length,
                )
            )
    return tasks


def cut_rows(files: Sequence[dict[str, Any]], rows: int) -> Iterator[list[TailRows]]:
    """Files of rows, one after the other, cut every so many: those of each piece."""
    piece: list[TailRows] = []
    room = rows
    for file in files:
        first = 0
        while first < file["rows"]:
            last = min(first + room, file["rows"])
            piece.append(TailRows(path=file["path"], first=first, last=last))
            room -= last - first
            first = last
            if not room:
                yield piece
                piece, room = [], rows
    if piece:
        yield piece
