"""Where the tasks of grpo and reward begin: before torch is imported.

Threads that wait by spinning take the cores from each other on a busy machine (a step of 0.6 s became one of 18 s).
OpenMP reads how long they may spin when torch is first imported.
"""

import os
from importlib import import_module
from typing import Any

from corpusmill.dataproc.errors import require_extra
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.grpo.arguments import GrpoWork, RewardWork


def train_grpo_task(task: TaskContext[GrpoWork]) -> dict[str, Any]:
    """A run of GRPO."""
    return _trainer().train_grpo_task(task)


def train_reward_task(task: TaskContext[RewardWork]) -> dict[str, Any]:
    """A reward model's training."""
    return _trainer().train_reward_task(task)


def _trainer() -> Any:
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    try:
        return import_module("corpusmill.pipelines.stages.grpo.work.training")
    except ImportError as error:
        raise require_extra(error.name or "torch", "train") from error
