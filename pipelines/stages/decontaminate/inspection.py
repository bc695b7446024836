"""How `why` reads decontamination: its ledger, and the spans of evaluation items in a document."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.inspect.inspection import SHOWN, Inspection, Side, ledger_removal


def _kept(side: Side, document: str) -> list[str]:
    hits = side.rows("hits", document)
    lines = [_hit(row) for row in hits[:SHOWN]] or ["no evaluation item found"]
    return lines + ([f"  and {len(hits) - SHOWN:,} more"] if len(hits) > SHOWN else [])


def _hit(row: Mapping[str, Any]) -> str:
    where = f"bytes {row['start']:,} to {row['stop']:,} of the input text"
    return f"  {row['set']}: {row['item']} ({row['share']:.0%} of it), {where}"


INSPECTION = Inspection(removal=ledger_removal, kept=_kept)
