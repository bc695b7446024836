"""How long documents are: a histogram on a logarithmic scale, from the filter's statistics and ledger."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import read_batches
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.report.statistics import bar_path

COLUMN = "character_count"
LARGEST_POWER = 32
BINS_PER_DOUBLING = 2


@dataclass(frozen=True)
class Lengths:
    """Counts by bin. `edges`: logarithms to base 2, one more than there are bins; bins at both ends are not empty."""

    edges: np.ndarray
    kept: np.ndarray
    rejected: np.ndarray


def length_histogram(stage: StageOutput) -> Lengths | None:
    """Lengths in characters of the documents that came in; None where there are no documents."""
    edges = np.arange(LARGEST_POWER * BINS_PER_DOUBLING + 1) / BINS_PER_DOUBLING
    counts = np.zeros((2, len(edges) - 1), np.int64)
    ledgers = stage.side_paths("ledger")
    for stem, path in stage.side_paths("statistics").items():
        broken = _broken_ids(ledgers[stem]) if stem in ledgers else pa.array([], pa.string())
        for batch in read_batches(path, ["id", COLUMN]):
            rejected = pc.is_in(batch.column("id"), value_set=broken).to_numpy(zero_copy_only=False)
            length = np.log2(np.maximum(batch.column(COLUMN).to_numpy(), 1))
            for row, mask in enumerate((~rejected, rejected)):
                counts[row] += np.histogram(length[mask], edges)[0]
    used = np.flatnonzero(counts.sum(axis=0))
    if not len(used):
        return None
    first, last = used[0], used[-1] + 1
    return Lengths(edges[first : last + 1], *counts[:, first:last])


def _broken_ids(path: str) -> pa.Array:
    batches = [batch.column("id") for batch in read_batches(path, ["id"])]
    return pc.unique(pa.chunked_array(batches, pa.string()))


def length_chart(lengths: Lengths) -> dict[str, Any]:
    """The same for the template's histogram: all documents, and over them those that were rejected."""
    everybody = lengths.kept + lengths.rejected
    middle = len(everybody) // 2
    edges = [2.0 ** lengths.edges[place] for place in (0, middle, len(everybody))]
    return {
        "says": f"{everybody.sum():,} documents by length in characters; {lengths.rejected.sum():,} were rejected",
        "bins": len(everybody),
        "all": bar_path(everybody, everybody.max()),
        "some": bar_path(lengths.rejected, everybody.max()),
        "marks": [],
        "labels": [f"{edge:,.0f}" for edge in edges],
    }
