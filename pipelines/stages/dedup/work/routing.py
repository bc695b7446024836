"""Phase `route`: pairs go to the partition of their component, where its documents and what they say meet.

So each document's text is read once, whatever the number of its pairs, and pairs are compared where survivors are
chosen (`surviving.py`).
"""

from typing import Any

from corpusmill.dataproc.dedup.shuffle import partition_slices, spread, write_partitions
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import DedupWork
from corpusmill.pipelines.stages.dedup.work.clustering import Labels
from corpusmill.pipelines.stages.dedup.work.layout import Layout, partition_name, read_ipc


def route_pairs(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Sends the pairs of a partition of keys to the partitions of their components. Memory: those pairs."""
    arguments = task.arguments
    name = f"{partition_name(arguments.partition)}.arrow"
    pairs = read_ipc(task.work_path("pairs", name)).select(["left", "right"]).combine_chunks()
    labels = Labels(task, Layout(task)).take(pairs["left"].to_numpy())
    batches = partition_slices(pairs, spread(labels), arguments.chosen)
    return {"bytes": write_partitions(task.work_path("routed", name), batches)[0]}
