"""Why a document is where it is, or is not: the ledger, the survivors and the quarantine of one stage, asked by id.

The id columns of the stage's side files are read, and only where these don't know it those of the parts.
"""

import math
from dataclasses import dataclass
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.documents import matching, rows_of
from corpusmill.pipelines.inspect.places import MAKES, Place
from corpusmill.pipelines.inspect.sequences import shards_of

SHOWN = 20


@dataclass(frozen=True)
class Reason:
    """What became of a document.

    Attributes:
        fate: kept, rejected, duplicate, dropped or quarantined.
        lines: why, one thing a line; text of documents in them is as it is.
    """

    fate: str
    lines: list[str]


def explain(place: Place, document: str) -> Reason:
    """What a stage did with a document. Raises UserError when the document never came there."""
    stage = place.manifest.get("stage")
    if place.what == "run" or stage is None:
        rows_of(place)  # says what to name instead
        raise UserError("a file by itself does not know", where=place.path, hint="name the stage's folder")
    made = MAKES.get(stage)
    if made not in ("dataset", "shards"):
        raise UserError(f"documents have no fate in the stage {stage}", where=place.path)
    for bad in _beside(place, "quarantine", document):
        return Reason("quarantined", [f"{bad['place']}: {bad['reason']}"])
    if stage in ("filter", "spans", "decontaminate", "quality-keep"):
        broken = _beside(place, "ledger", document)
        if broken:
            return Reason("rejected", [_broken(row) for row in broken])
    if stage == "mixture" and list(_beside(place, "dropped", document)):
        return Reason("dropped", ["the mixture holds no copy of it"])
    if stage == "dedup":
        for row in _beside(place, "duplicates", document):
            return Reason("duplicate", [_survivor(row)])
    kept = _kept_in_shards(place, document) if made == "shards" else _kept(place, document)
    if kept is None:
        raise UserError(
            "no such document came in here", where=f"{place.path}: {document}", hint="look where it came from"
        )
    return Reason("kept", kept)


def _beside(place: Place, folder: str, document: str) -> list[dict[str, Any]]:
    """The rows of this id in a folder beside the parts."""
    names = [file["path"] for file in place.manifest["files"] if file["path"].startswith(f"{folder}/")]
    return list(matching([storage.join(place.path, name) for name in names], "id", document))


def _broken(row: dict[str, Any]) -> str:
    relation = "below" if row["value"] < row["threshold"] else "above"
    if math.isnan(row["value"]):
        return f"{row['rule']}: what it looks at was not measured"
    if row["rule"] == "language":
        return f"language: not one of the languages to keep (score {row['value']:.4g})"
    return f"{row['rule']}: {row['value']:.6g} is {relation} {row['threshold']:.6g}"


def _survivor(row: dict[str, Any]) -> str:
    how = "the same text" if row["method"] == "exact" else f"similarity {row['similarity']:.3f}"
    return f"{row['method']} duplicate of {row['survivor']} ({how}, cluster {row['cluster']})"


def _hit(row: dict[str, Any]) -> str:
    where = f"bytes {row['start']:,} to {row['stop']:,} as it came in"
    return f"  {row['set']}: {row['item']} ({row['share']:.0%} of it), {where}"


def _kept(place: Place, document: str) -> list[str] | None:
    found = rows_of(place).find(document)
    if found is None:
        return None
    lines = [f"row {found.number}: {found.path} row {found.row}"]
    if place.manifest["stage"] == "filter":
        lines.append("it broke no rule")
        for row in _beside(place, "rewrites", document):
            lines.append(f"rewritten by {row['rule']}: {row['bytes_before']:,} bytes to {row['bytes_after']:,}")
    if place.manifest["stage"] == "decontaminate":
        hits = _beside(place, "hits", document)
        lines += [_hit(row) for row in hits[:SHOWN]] or ["no evaluation item was found in it"]
        lines += [f"  and {len(hits) - SHOWN:,} more"] if len(hits) > SHOWN else []
    if place.manifest["stage"] == "dedup":
        names = [file["path"] for file in place.manifest["files"] if file["path"].startswith("duplicates/")]
        removed = list(matching([storage.join(place.path, name) for name in names], "survivor", document))
        lines.append(f"survivor of {len(removed):,} duplicates" if removed else "it has no duplicates")
        lines += [f"  {row['id']} ({row['method']}, similarity {row['similarity']:.3f})" for row in removed[:SHOWN]]
        lines += [f"  and {len(removed) - SHOWN:,} more"] if len(removed) > SHOWN else []
    return lines


def _kept_in_shards(place: Place, document: str) -> list[str] | None:
    lines = [
        f"sequence {number}: tokens {segment['start']:,} to {segment['start'] + segment['length']:,}"
        + (", rearranged to fill in the middle" if segment["fim"] else "")
        for number, segment in shards_of(place).places_of(document)
    ]
    return lines or None
