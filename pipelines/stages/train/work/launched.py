"""Ranks that torchrun (or a cluster's scheduler) started as whole `corpusmill train` commands.

    torchrun --nproc-per-node 8 -m corpusmill train shards --output run

All of them are this program with the same arguments; who is who stands in torchrun's environment variables. Rank 0
runs the stage as ever, with its lock, plan and manifest, and trains in its own process. The others only follow: they
join the group, and wait for rank 0 to tell them what to train, or that it is over. So a stage that is done already, or
refused, ends everywhere at once, and no rank has settings that another has not.

The line of an error comes from the rank that it happened on; torchrun then ends the others, and adds its own page.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from corpusmill.dataproc.errors import require_extra
from corpusmill.pipelines.engine.ranks import is_broken_connection
from corpusmill.pipelines.engine.scheduler import StageFailed
from corpusmill.pipelines.engine.task import TaskError, TaskFailed, call_from_values, call_to_values
from corpusmill.pipelines.engine.worker import TaskContext, describe

OVER = "over"
NO_ATTEMPT_HELPS = ("user", "full", "bug")

TrainRank = Callable[[TaskContext], dict[str, Any]]

_at_it: list[str] = []
"""On rank 0, the task that the others are at while it trains, or were when it failed."""


def run_launched(device: str, run: Callable[[], None], train_rank: TrainRank) -> None:
    """The life of a rank: `run` (the stage) on rank 0, on the others what rank 0 tells them to train.

    Raises what `run` or `train_rank` raise. The others hear that it is over, unless rank 0 failed in the middle of
    training: then they find their connection to it closed.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "0")  # before torch is imported: see `training.py` beside this
    try:
        from corpusmill.training.parallel.ranks import join_ranks
    except ImportError as error:
        raise require_extra(error.name or "torch", "train") from error
    failure: BaseException | None = None
    with join_ranks(device) as ranks:
        if not ranks.leads:
            while (call := ranks.same(None)) != OVER:
                _follow(TaskContext(call_from_values(call)), ranks.rank, train_rank)
            return
        try:
            run()
        except BaseException as error:  # also the exit of a command that is done
            if _at_it:
                raise
            failure = error
        ranks.same(OVER)
    if failure is not None:
        raise failure


def _follow(task: TaskContext, rank: int, train_rank: TrainRank) -> None:
    try:
        train_rank(task)
    except Exception as error:
        if is_broken_connection(described := describe(error)):
            raise StageFailed(_lost(rank, described).message) from error
        raise


def lead(task: TaskContext, train_rank: TrainRank) -> dict[str, Any]:
    """Trains together with the ranks that wait in `run_launched`; called on rank 0.

    Raises TaskFailed, and never so that the engine would try again: the others could not.
    """
    from corpusmill.training.parallel.ranks import join_ranks

    with join_ranks(task.arguments.device) as ranks:
        ranks.same(call_to_values(task.call))
    _at_it.append(task.id)
    try:
        result = train_rank(task)
    except Exception as error:
        described = describe(error)
        if is_broken_connection(described):
            described = _lost(0, described)
        elif described.kind not in NO_ATTEMPT_HELPS:
            described = replace(described, kind="bug")
        raise TaskFailed(described) from error
    _at_it.clear()
    return result


def _lost(rank: int, error: TaskError) -> TaskError:
    return TaskError(kind="bug", message=f"rank {rank} lost contact with the others; run again to resume")
