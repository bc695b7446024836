"""How `why` and `trace` read a mixture: the documents that it dropped, and whose copies the others are."""

from collections.abc import Mapping

from corpusmill.pipelines.inspect.inspection import Inspection, Reason, Side
from corpusmill.pipelines.inspect.lookup import Row


def _removal(side: Side, document: str) -> Reason | None:
    dropped = side.rows("dropped", document)
    return Reason("dropped", ["the mixture holds no copy of it"]) if dropped else None


def _originals(side: Side, rows: Mapping[str, Row]) -> dict[str, str]:
    """A copy's id is its document's, and behind a marker the number of the copy."""
    marker = side.manifest.get("facts", {}).get("marker", "~")
    numbers = {name: row.values.get("copy") or 1 for name, row in rows.items()}
    return {name: name.removesuffix(f"{marker}{number}") for name, number in numbers.items() if number > 1}


INSPECTION = Inspection(removal=_removal, originals=_originals)
