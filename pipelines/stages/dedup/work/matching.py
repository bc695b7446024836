"""Phase `against`: the documents that an index holds the like of, and who that is."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.dedup.index import Index
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.dedup.arguments import DedupWork
from corpusmill.pipelines.stages.index.work import block_matches


class Held(NamedTuple):
    """Documents of a block that the index holds the like of: addresses, rising, and what of the index they match."""

    addresses: np.ndarray
    ids: pa.Array
    similarity: np.ndarray
    exact: np.ndarray


def held_documents(task: TaskContext[DedupWork], block: int) -> Held:
    """Those of a block; none where there is no index."""
    against = task.arguments.against
    if against is None:
        return Held(np.zeros(0, np.uint64), pa.array([], pa.string()), np.zeros(0), np.zeros(0, bool))
    found = block_matches(task, block)
    ids, _ = Index(against.index, against.generation).names(found.addresses)
    return Held(found.documents, ids, found.similarity, found.exact)
