"""How `why` and `trace` read a mixture: the documents that it dropped, and whose copies the others are."""

from collections.abc import Mapping

from corpusmill.dataproc import storage
from corpusmill.pipelines.inspect.inspection import SHOWN, Inspection, Reason, Side
from corpusmill.pipelines.inspect.lookup import Row, look_up


def _removal(side: Side, document: str) -> Reason | None:
    dropped = side.rows("dropped", document)
    return Reason("dropped", ["the mixture contains no copy of it"]) if dropped else None


def _copies(side: Side, document: str) -> list[str]:
    """Ids of the copies beyond the first. A copy's number is bounded by the plan of its group."""
    facts = side.manifest.get("facts", {})
    most = 1 + max([0, *(group.get("copies", 0) for group in facts.get("plan", ()))])
    ids = {f"{document}{facts.get('marker', '~')}{number}" for number in range(2, min(most, MOST_COPIES) + 1)}
    paths = [storage.join(side.path, entry["path"]) for entry in side.manifest["parts"]]
    copies = [(row.values["copy"], row.values["id"]) for _, row in look_up(paths, ids) if row.values.get("copy", 1) > 1]
    return [name for _, name in sorted(copies)]


def _kept(side: Side, document: str) -> list[str]:
    copies = _copies(side, document)
    return [f"{len(copies) + 1:,} copies: {', '.join([document, *copies][:SHOWN])}"] if copies else ["one copy of it"]


MOST_COPIES = 10_000


def _originals(side: Side, rows: Mapping[str, Row]) -> dict[str, str]:
    """A copy's id is its document's, and behind a marker the number of the copy."""
    marker = side.manifest.get("facts", {}).get("marker", "~")
    numbers = {name: row.values.get("copy") or 1 for name, row in rows.items()}
    return {name: name.removesuffix(f"{marker}{number}") for name, number in numbers.items() if number > 1}


INSPECTION = Inspection(removal=_removal, kept=_kept, copies=_copies, originals=_originals)
