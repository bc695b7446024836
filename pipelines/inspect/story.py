"""The story of one document through a whole run: from its raw file to the steps of training that read it.

Each stage of the run is asked in turn what it did with the document, as `why` asks one stage; a filter also gives the
document's statistics and every rule with its value, de-duplication the survivor and what differs between the two, and a
mixture the copies, which go on by ids of their own.

Cost: the ids of each stage's side tables and parts, at most once a stage; of shards their segments. Memory: a row
group, the text of two documents, and `MOST_USES` segments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.differences import Difference, differences
from corpusmill.pipelines.inspect.documents import Rows, rows_of
from corpusmill.pipelines.inspect.inspection import Judged, Side, Survivor, inspection_of
from corpusmill.pipelines.inspect.lookup import look_up
from corpusmill.pipelines.inspect.places import Link, Place, chain, part_number, recognise
from corpusmill.pipelines.inspect.raw import Raw, RawFiles
from corpusmill.pipelines.inspect.raw_records import record_begins
from corpusmill.pipelines.inspect.sequences import shards_of
from corpusmill.pipelines.inspect.uses import Use, reads_of, uses_of
from corpusmill.pipelines.inspect.why import find_reason
from corpusmill.pipelines.registry import description_of

MOST_USES = 1000
LABELS = ("source", "kind", "language", "url", "meta")


@dataclass
class Visit:
    """What a stage did with the document, or with a copy of it.

    Attributes:
        stage: name of its folder; `kind` is the stage's own name.
        document: the id that it has there.
        fate: kept, rejected, duplicate, dropped or quarantined; `lines` say why.
        rules: those of a filter that were asked of it, broken ones first.
        statistics: what a filter measured.
        survivor: who stayed for it; `changes` lead from its text to the survivor's.
    """

    stage: str
    kind: str
    path: str
    document: str
    fate: str
    lines: list[str]
    rules: list[Judged] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    survivor: Survivor | None = None
    changes: list[Difference] = field(default_factory=list)


@dataclass
class Story:
    """All that a run knows of a document.

    Attributes:
        labels: source, kind, language, url and meta, as the first dataset has them.
        raw: the file and record that it came from; `raw_begins` is how that begins, where it could be read.
        visits: what each stage did, in the order of the run.
        uses: its segments in token shards, and the steps that read them; `uses_left_out` more are not listed.
        missing: what could not be found, a line each.
    """

    document: str
    labels: dict[str, str] = field(default_factory=dict)
    raw: Raw | None = None
    raw_begins: str = ""
    visits: list[Visit] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    uses_left_out: int = 0
    missing: list[str] = field(default_factory=list)


def tell_story(place: Place, document: str) -> Story:
    """The story of a document of a run. Raises UserError where no stage has seen it, or for what is no run."""
    if place.what != "run":
        raise UserError("this is not the folder of a run", where=place.path, hint="name the output folder of a recipe")
    story, ids, models = Story(document), [document], []
    for name, folder in place.stages:
        here = recognise(folder)
        description = description_of((here.manifest or here.plan).get("stage", ""))
        if description is None or description.makes not in ("dataset", "shards", "model"):
            continue
        if description.makes == "model":  # also one that is still being trained
            models.append((name, folder))
        elif not here.manifest:
            story.missing.append(f"{name}: not finished")
        else:
            ids += _visit(story, name, here, ids)
    if not story.visits:
        raise UserError("no stage of this run has seen a document with this id", where=f"{place.path}: {document}")
    trained = {use.sequence for use in story.uses if not use.held_back}
    for name, folder in models:
        reads = reads_of(name, folder, trained)
        for use in story.uses:
            use.reads += [] if use.held_back else reads.get(use.sequence, [])
    return story


def _visit(story: Story, name: str, here: Place, ids: list[str]) -> list[str]:
    """Adds what a stage did with each id; gives the ids by which copies go on from here."""
    kind = here.manifest["stage"]
    description = description_of(kind)
    side, inspection = Side(name, here.path, here.manifest), inspection_of(description)
    copies: list[str] = []
    for document in ids:
        reason = find_reason(here, document)
        if reason is None:
            continue
        visit = Visit(name, kind, here.path, document, reason.fate, list(reason.lines))
        judged = inspection.judged(side, document)
        visit.rules = sorted(judged.rules, key=lambda rule: not rule.broken)
        visit.statistics = dict(judged.statistics)
        story.missing += judged.missing
        visit.survivor = inspection.survivor(side, document)
        if visit.survivor is not None:
            _compare(story, visit, here)
        story.visits.append(visit)
        copies += inspection.copies(side, document)
        if here.what == "shards":
            uses, more = uses_of(name, shards_of(here), document, MOST_USES - len(story.uses))
            story.uses += uses
            story.uses_left_out += more
        elif not story.labels and reason.fate == "kept":
            _note_labels(story, here, document, reads_raw_files=inspection.reads_raw_files)
    return copies


def _note_labels(story: Story, here: Place, document: str, *, reads_raw_files: bool) -> None:
    paths = [path for path, _ in rows_of(here).files]
    for path, row in look_up(paths, {document}):
        story.labels = {label: row.values[label] for label in LABELS if row.values.get(label) is not None}
        if reads_raw_files:
            story.raw = RawFiles(Link(name=here.path, place=here)).of(document, part_number(path))
            if story.raw.place and not story.raw.note and not storage.is_url(story.raw.files[0]):
                story.raw_begins = record_begins(story.raw.files[0], story.raw.format, story.raw.place)


def _compare(story: Story, visit: Visit, here: Place) -> None:
    """Marks what differs between a duplicate and its survivor, by their texts in what the stage took in."""
    assert visit.survivor is not None
    wanted = {visit.document, visit.survivor.id}
    links = chain(here)
    texts: dict[str, str] = {}
    for name in links[storage.absolute(here.path)].inputs:
        place = links[name].place
        if place is None or place.what != "dataset":
            continue
        files = rows_of(place).files
        for path, row in look_up([path for path, _ in files], wanted - set(texts)):
            texts[row.values["id"]] = Rows(path, [(path, row.row + 1)]).row(row.row).values["text"]
    if len(texts) == len(wanted):
        visit.changes = differences(texts[visit.document], texts[visit.survivor.id])
    else:
        story.missing.append(f"{visit.stage}: the texts of {visit.document} or its survivor is missing")


def shorten_uses(story: Story, most: int) -> Story:
    """The story with its first `most` segments, for people."""
    return replace(story, uses=story.uses[:most], uses_left_out=story.uses_left_out + max(0, len(story.uses) - most))


def story_values(story: Story) -> Mapping[str, Any]:
    """The story as JSON values (docs/output.md)."""
    from dataclasses import asdict

    return asdict(story)
