"""From a step of training, or a sequence, back to where its text came from, and why it was let through.

The way back is written down at every stage: a run's `plan.json` says which rows of the shard set a step read, its
`spikes.jsonl` which of them had the highest losses where the run spiked, a shard which documents its segments are of,
each manifest what the stage took in (`places.chain`), the parts of every stage where a document stood, the statistics
beside them every number that the filter's rules looked at, and ingest's manifest which raw files there were. An id that
the input did not give is the raw file and the record itself; for one that it gave, the part says which task read it,
and so which files (`again` reads these once more, to find the record). Where a folder on the way is gone, the trace
says so and goes on with what is there.

Cost: the id columns of the dataset that was packed, once, whatever the number of documents (row groups whose range of
ids has none of them are passed over); in the stages before it, those of the parts that the documents went through,
since parts keep their numbers. No text is read: the excerpts are a segment's own tokens, spelled out.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.inspection import Inspection, Passed, Side, inspection_of
from corpusmill.pipelines.inspect.lookup import Row, look_up
from corpusmill.pipelines.inspect.places import Link, Place, chain, part_number, recognise
from corpusmill.pipelines.inspect.questions import (
    ASKED,
    SEQUENCES_OF_A_STEP,
    Question,
    asked_about,
    document_from,
    parts_of,
    sequences_holding,
    shards_on_the_way,
    start_of,
    worst_of,
)
from corpusmill.pipelines.inspect.raw import Raw, RawFiles
from corpusmill.pipelines.inspect.raw_records import record_begins
from corpusmill.pipelines.inspect.sequences import PackedSequence, shard_set
from corpusmill.pipelines.inspect.spikes import SpikeStory, read_spike
from corpusmill.pipelines.registry import description_of


@dataclass(frozen=True)
class Stood:
    """Where a document stands in a stage's dataset."""

    stage: str
    path: str
    row: int


@dataclass
class Document:
    """Everything that the folders on the way know about a document."""

    id: str
    source: str
    kind: str | None = None
    language: str | None = None
    url: str | None = None
    meta: str | None = None
    raw: Raw | None = None
    raw_begins: str = ""
    stood: list[Stood] = field(default_factory=list)
    passed: list[Passed] = field(default_factory=list)
    survivor_of: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TracedSegment:
    """A stretch of a sequence: tokens `start` to `start + length` of a document, and how its text begins."""

    document: str
    source: str
    start: int
    length: int
    fim: bool
    text: str


@dataclass(frozen=True)
class TracedSequence:
    """A sequence: `position` in the order of training (None if not asked by it), `number` in the shard set.

    `nats` a token are known of a spike's sequences, unless they were not finite.
    """

    position: int | None
    number: int
    path: str
    row: int
    group: str
    segments: list[TracedSegment]
    segments_left_out: int
    padding: int
    nats: float | None = None


@dataclass
class Trace:
    """The result of a trace.

    Attributes:
        step: of training, if one was asked about.
        positions: in the order of training that the question is about: all of a step's; None for a sequence by number.
        spike: what the run recorded about it, if one was asked about.
        links: the folders on the way, each before those that it was made of.
        documents: by id, those of the sequences' segments.
        missing: what could not be found, a line each.
    """

    step: int | None
    positions: range | None
    links: list[Link]
    sequences: list[TracedSequence]
    documents: dict[str, Document]
    missing: list[str]
    spike: SpikeStory | None = None


def trace(place: Place, question: Question) -> Trace:
    """Traces a run, a model or shards. Raises UserError for a question that the place cannot answer."""
    things = (question.step, question.spike, question.sequence, question.position, question.document, question.raw)
    asked = [thing for thing in things if thing is not None]
    if len(asked) != 1:
        what = "there is nothing to trace" if not asked else "only one thing can be traced at a time"
        raise UserError(what, where=place.path, hint=f"give one of {ASKED}")
    of_training = question.sequence is None and question.document is None and question.raw is None
    start = start_of(place, "model" if of_training else "shards")
    links = chain(recognise(shard_set(start.path)) if start.what == "shard" else start)
    shards = shards_on_the_way(start, links)
    spike = read_spike(start.path, question.spike) if question.spike is not None else None
    document = question.document
    if question.raw is not None:
        document = document_from(place, links, question.raw)
    positions: range | None = None
    if document is not None:
        chosen = sequences_holding(place, shards, document, question.number or SEQUENCES_OF_A_STEP)
    elif spike is not None:
        positions = range(spike.first, spike.end)
        chosen = worst_of(start, spike, question.number or SEQUENCES_OF_A_STEP)
    else:
        positions, chosen = asked_about(start, question, len(shards))
    sequences = [
        _traced(shards.sequence(number), position, question, nats, document) for position, number, nats in chosen
    ]
    segments = [segment for sequence in sequences for segment in sequence.segments]
    documents = {segment.document: Document(segment.document, segment.source) for segment in segments}
    missing = [f"{link.name}: {link.note}" for link in links.values() if link.note]
    missing += _Way(links, documents, question.again).follow() if question.follow else []
    step = spike.step if spike is not None else question.step
    return Trace(step, positions, list(links.values()), sequences, documents, missing, spike)


def _traced(
    sequence: PackedSequence, position: int | None, question: Question, nats: float | None, only: str | None
) -> TracedSequence:
    """A sequence with its first segments; with those of one document alone where it was asked about."""
    real = [segment for segment in sequence.segments if segment.document is not None]
    asked = [segment for segment in real if only in (None, segment.document)]
    shown = []
    for segment in asked[: question.segments]:
        text = "".join(piece.text for piece in segment.pieces if not piece.special)
        excerpt = text if len(text) <= question.characters else text[: question.characters] + "…"
        name = str(segment.document)
        shown.append(TracedSegment(name, segment.source, segment.start, segment.length, segment.fim, excerpt))
    padding = sum(segment.length for segment in sequence.segments if segment.document is None)
    return TracedSequence(
        position,
        sequence.number,
        sequence.path,
        sequence.row,
        sequence.group,
        shown,
        len(real) - len(shown),
        padding,
        nats,
    )


class _Way:
    """Follows documents through the datasets of a chain, and writes down what each knows of them."""

    def __init__(self, links: Mapping[str, Link], documents: dict[str, Document], again: bool) -> None:
        self._links, self._documents, self._again = links, documents, again
        self._asked = set(documents)
        self._found: dict[str, dict[str, Row]] = {}
        """By path of the dataset, then by id."""
        self._missing: list[str] = []
        self._copies: list[tuple[str, str]] = []
        """(id of a mixture's copy, id of the document that it is one of), from the shards on."""

    def follow(self) -> list[str]:
        """Fills the documents; gives what could not be found."""
        for path, link in self._links.items():
            description = description_of(link.stage)
            if description and description.has_documents and link.place:
                self._note(path, link, inspection_of(description))
            self._look_in_inputs(path, link)
        self._complete_copies()
        lost = [document for document in self._documents.values() if not document.stood]
        if lost and self._found:
            self._missing.append(f"{len(lost)} documents are in none of the datasets ({lost[0].id}, …)")
        for document in self._documents.values():
            document.stood.reverse()  # from the raw file on
        return self._missing

    def _name_originals(self, originals: Mapping[str, str]) -> None:
        """Looks for the documents of copies from here on, which have other ids in the mixture's inputs."""
        for copy, original in originals.items():
            self._copies.append((copy, original))
            self._documents.setdefault(original, Document(original, self._documents[copy].source))

    def _complete_copies(self) -> None:
        """Gives copies what is known of their documents, and forgets documents that nobody asked about."""
        for name, original in reversed(self._copies):
            copy, whole = self._documents[name], self._documents[original]
            known = {stand.stage for stand in copy.stood}
            copy.stood += [stand for stand in whole.stood if stand.stage not in known]
            copy.passed += whole.passed
            copy.survivor_of += whole.survivor_of
            copy.raw = copy.raw or whole.raw
        for name in {original for _, original in self._copies} - self._asked:
            del self._documents[name]

    def _look_in_inputs(self, path: str, link: Link) -> None:
        """Finds the link's documents in the datasets that it took in, by part where parts keep their numbers."""
        inputs = [entry for entry in link.inputs if self._links[entry].place]
        description = description_of(link.stage)
        if not inputs or (description and description.makes == "model"):
            return
        owner = {part: entry for entry in inputs for part in parts_of(self._links[entry])}
        here = self._found.get(path, {})
        keeps_ids = description is not None and description.keeps_ids
        wanted = set(here) if keeps_ids else set(self._documents)
        likely: list[str] = []
        if keeps_ids and len(inputs) == len(link.inputs):
            numbered, read = list(owner), {part_number(row.path) for row in here.values()}
            likely = [numbered[number] for number in sorted(read) if number < len(numbered)]
        rest = [part for part in owner if part not in set(likely)]
        for part, row in look_up([*likely, *rest], wanted):
            self._found.setdefault(owner[part], {})[row.values["id"]] = row

    def _note(self, path: str, link: Link, inspection: Inspection) -> None:
        rows = self._found.get(path, {})
        for name, row in rows.items():
            document = self._documents[name]
            document.stood.append(Stood(link.name, row.path, row.row))
            for column in ("kind", "language", "url", "meta"):  # the dataset nearest to the shards has the last word
                if getattr(document, column) is None:
                    setattr(document, column, row.values.get(column))
        if not rows:
            return
        assert link.place is not None
        side = Side(link.name, link.place.path, link.described)
        passage = inspection.passage(side, rows)
        self._missing += passage.missing
        for name, rule in passage.passed:
            self._documents[name].passed.append(rule)
        for survivor, removed in passage.survivors:
            self._documents[survivor].survivor_of.append(removed)
        if inspection.reads_raw_files:
            self._find_raw(RawFiles(link), rows)
        self._name_originals(inspection.originals(side, rows))

    def _find_raw(self, raw: RawFiles, rows: Mapping[str, Row]) -> None:
        tasks: dict[int, list[str]] = {}
        for name, row in rows.items():
            document = self._documents[name]
            document.raw = raw.of(name, part_number(row.path))
            if document.raw.place and not document.raw.note and not storage.is_url(document.raw.files[0]):
                document.raw_begins = record_begins(document.raw.files[0], document.raw.format, document.raw.place)
            if document.raw.by_own_id:
                tasks.setdefault(part_number(row.path), []).append(name)
        for task, names in tasks.items() if self._again else ():
            for name, record in raw.read_again(names, task).items():
                self._documents[name].raw = record


def plain_values(result: Trace) -> dict[str, Any]:
    """The trace as JSON values, for machines."""
    values = asdict(replace(result, links=[], positions=None))
    values["positions"] = [result.positions.start, result.positions.stop] if result.positions is not None else None
    values["links"] = [
        {"name": link.name, "stage": link.stage, "path": link.place.path if link.place else None, "note": link.note}
        for link in result.links
    ]
    return values
