"""The second phase of writing shards of equal size: which rows of which tails make which shard."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from corpusmill.pipelines.engine.task import Task


def gather_tasks(settings: Mapping[str, Any], tails: Sequence[dict[str, Any]], number: int) -> list[Task]:
    """Tasks that join the tails of each group into shards.

    Args:
        settings: of the stage, with `shard_sequences`, the sequences of a full shard.
        tails: of all tasks of the first phase, in order: path, rows, group, held_back.
        number: of the first shard; the numbers below are those of the first phase's tasks.
    """
    groups: dict[tuple[bool, str], list[dict[str, Any]]] = {}
    for tail in tails:
        groups.setdefault((tail["held_back"], tail["group"]), []).append(tail)
    tasks: list[Task] = []
    for (held_back, group), members in sorted(groups.items()):
        for pieces in cut_rows(members, settings["shard_sequences"]):
            name = number + len(tasks)
            chosen = {"pieces": pieces, "group": group, "number": name, "held_back": held_back}
            tasks.append(
                Task(
                    id=f"shard-{name:05d}",
                    function="corpusmill.pipelines.stages.pack.work.shard_writing:gather_shard",
                    arguments={**settings, **chosen},
                    bytes=sum(piece["last"] - piece["first"] for piece in pieces) * 4 * settings["sequence_length"],
                )
            )
    return tasks


def cut_rows(files: Sequence[dict[str, Any]], rows: int) -> Iterator[list[dict[str, Any]]]:
    """Files of rows, one after the other, cut every so many: [{"path", "first", "last"}, …] of each piece."""
    piece: list[dict[str, Any]] = []
    room = rows
    for file in files:
        first = 0
        while first < file["rows"]:
            last = min(first + room, file["rows"])
            piece.append({"path": file["path"], "first": first, "last": last})
            room -= last - first
            first = last
            if not room:
                yield piece
                piece, room = [], rows
    if piece:
        yield piece
