"""What one stage did with a document and why, by id: from its ledger, survivors and quarantine.

The id columns of the stage's side files are read first, and those of the parts only if the id is not in them.
"""

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.documents import rows_of
from corpusmill.pipelines.inspect.inspection import Reason, Side, inspection_of
from corpusmill.pipelines.inspect.places import Place
from corpusmill.pipelines.inspect.sequences import shards_of
from corpusmill.pipelines.registry import description_of


def explain(place: Place, document: str) -> Reason:
    """What a stage did with a document. Raises UserError if the stage never saw the document."""
    stage = place.manifest.get("stage")
    if place.what == "run" or stage is None:
        rows_of(place)  # says what to name instead
        raise UserError("a single file has no record of decisions", where=place.path, hint="name the stage's folder")
    description = description_of(stage)
    if description is None or description.makes not in ("dataset", "shards"):
        raise UserError(f"the stage {stage} does not decide about documents", where=place.path)
    reason = find_reason(place, document)
    if reason is None:
        what, hint = "this stage has not seen a document with this id", "look in the stage before it"
        raise UserError(what, where=f"{place.path}: {document}", hint=hint)
    return reason


def find_reason(place: Place, document: str) -> Reason | None:
    """What a finished stage that makes a dataset or shards did with a document; None if it never saw it."""
    description = description_of(place.manifest["stage"])
    assert description is not None
    stage = description.name
    side, inspection = Side(stage, place.path, place.manifest), inspection_of(description)
    for row in side.rows("quarantine", document):
        return Reason("quarantined", [f"{row['place']}: {row['reason']}"])
    if reason := inspection.removal(side, document):
        return reason
    kept = _kept_in_shards(place, document) if description.makes == "shards" else _kept(place, document)
    return None if kept is None else Reason("kept", kept + inspection.kept(side, document))


def _kept(place: Place, document: str) -> list[str] | None:
    match = rows_of(place).find(document)
    return None if match is None else [f"row {match.number}: {match.path} row {match.row}"]


def _kept_in_shards(place: Place, document: str) -> list[str] | None:
    lines = [
        f"sequence {number}: tokens {segment['start']:,} to {segment['start'] + segment['length']:,}"
        + (", rearranged to fill in the middle" if segment["fim"] else "")
        for number, segment in shards_of(place).places_of(document)
    ]
    return lines or None
