"""How `why` and `trace` read de-duplication: who stayed for whom."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import read_batches
from corpusmill.pipelines.inspect.inspection import SHOWN, Inspection, Passage, Reason, Side, Survivor
from corpusmill.pipelines.inspect.lookup import Row


def _removal(side: Side, document: str) -> Reason | None:
    rows = side.rows("duplicates", document)
    return Reason("duplicate", [_survivor(rows[0])]) if rows else None


def _survivor(row: Mapping[str, Any]) -> str:
    how = "the same text" if row["method"] == "exact" else f"similarity {row['similarity']:.3f}"
    if row["method"] != "exact" and row.get("containment") is not None:
        how += f", {row['containment']:.1%} of it in the survivor"
    if row.get("verified") == "signatures":
        how += ", estimated"
    return f"{row['method']} duplicate of {row['survivor']} ({how}, cluster {row['cluster']})"


def _who_stayed(side: Side, document: str) -> Survivor | None:
    for row in side.rows("duplicates", document):
        measured = (row.get("containment"), row.get("verified"), row["cluster"])
        return Survivor(row["survivor"], row["method"], row["similarity"], *measured)
    return None


def _kept(side: Side, document: str) -> list[str]:
    removed = side.rows("duplicates", document, "survivor")
    lines = [f"survivor of {len(removed):,} duplicates" if removed else "it has no duplicates"]
    lines += [f"  {row['id']} ({row['method']}, similarity {row['similarity']:.3f})" for row in removed[:SHOWN]]
    return lines + ([f"  and {len(removed) - SHOWN:,} more"] if len(removed) > SHOWN else [])


def _passage(side: Side, rows: Mapping[str, Row]) -> Passage:
    """The documents that these stayed for."""
    survivors: list[tuple[str, str]] = []
    for path in side.files("duplicates"):
        if storage.exists(path):
            for batch in read_batches(path, ["id", "survivor"]):
                kind = batch.schema.field("survivor").type
                chosen = batch.filter(pc.is_in(batch.column("survivor"), value_set=pa.array(sorted(rows), kind)))
                survivors += zip(*(chosen.column(name).to_pylist() for name in ("survivor", "id")), strict=True)
    return Passage(survivors=survivors)


INSPECTION = Inspection(removal=_removal, kept=_kept, survivor=_who_stayed, passage=_passage)
