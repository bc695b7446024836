"""Phase `cluster`: pairs to components, and of each clustered document its component's label, in a file a block."""

from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.components import components_of_files
from corpusmill.dataproc.documents import ROW_BITS
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import DedupWork
from corpusmill.pipelines.stages.dedup.work.layout import Layout, block_name, partition_name, read_ipc, write_ipc


def cluster_pairs(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """Components of all pairs of a folder, in memory. Memory: blocks of pairs, and 24 bytes a clustered document."""
    arguments, layout = task.arguments, Layout(task)
    names = [f"{partition_name(number)}.arrow" for number in range(arguments.pair_files)]
    addresses, labels = components_of_files([task.work_path(arguments.pairs, name) for name in names])
    block, _ = layout.place(addresses)
    for number in range(layout.blocks):
        start, stop = np.searchsorted(block, (number, number + 1))
        table = pa.table({"address": addresses[start:stop], "label": labels[start:stop]})
        write_ipc(task.work_path(arguments.labels, f"{block_name(number)}.arrow"), table)
    return {"clustered": len(addresses)}


def label_block(task: TaskContext[DedupWork]) -> dict[str, Any]:
    """A block's labels out of the files, sorted by address, that components out of core gave. Memory: the block's."""
    arguments, layout = task.arguments, Layout(task)
    parts = layout.parts_of(arguments.block)
    first, stop = (np.uint64(part) << np.uint64(ROW_BITS) for part in (parts.start, parts.stop))
    columns = [np.zeros((2, 0), np.uint64)]
    for path in arguments.ranges:
        table = read_ipc(path)
        low, high = np.searchsorted(table["address"].to_numpy(), (first, stop))
        columns.append(np.stack([table[name].to_numpy()[low:high] for name in ("address", "label")]))
    addresses, labels = np.concatenate(columns, axis=1)
    table = pa.table({"address": addresses, "label": labels})
    write_ipc(task.work_path(arguments.labels, f"{block_name(arguments.block)}.arrow"), table)
    return {"clustered": table.num_rows}


class Labels:
    """The labels of clustered documents, by address."""

    def __init__(self, task: TaskContext[DedupWork], layout: Layout) -> None:
        self._task, self._layout = task, layout

    def of_block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """(addresses, labels) of a block's clustered documents, uint64, by rising address."""
        table = read_ipc(self._task.work_path(self._task.arguments.labels, f"{block_name(block)}.arrow"))
        return table["address"].to_numpy(), table["label"].to_numpy()

    def take(self, addresses: np.ndarray) -> np.ndarray:
        """The labels of clustered documents at these addresses, uint64."""
        block, _ = self._layout.place(addresses)
        labels = np.empty(len(addresses), np.uint64)
        for number in np.flatnonzero(np.bincount(block)).tolist():
            here = np.flatnonzero(block == number)
            known, label = self.of_block(number)
            labels[here] = label[np.searchsorted(known, addresses[here])]
        return labels
