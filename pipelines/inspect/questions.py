"""What a trace is asked, and which sequences that is about: a step's, a loss spike's, a document's, or named ones.

A run's `plan.json` and `metrics.jsonl` lead from a step to positions and rows of the shard set; the segments of the
shards lead from a document to its sequences, and the ids of an ingest from a place in a raw file to a document.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.inspect.inspection import inspection_of
from corpusmill.pipelines.inspect.places import Link, Place, recognise
from corpusmill.pipelines.inspect.raw import RawFiles
from corpusmill.pipelines.inspect.raw_records import document_at
from corpusmill.pipelines.inspect.sequences import Shards, ordered_rows, shards_of, step_positions
from corpusmill.pipelines.inspect.spikes import SpikeStory
from corpusmill.pipelines.inspect.uses import reads_of
from corpusmill.pipelines.registry import description_of, makes

SEQUENCES_OF_A_STEP = 3
ASKED = "--step, --spike, --sequence, --position, --document and --raw"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to trace: one of step, spike, sequence, position, document and raw file.

    Attributes:
        step: a step of training, from 1.
        spike: a loss spike of the run, from 1; its sequences come worst first.
        sequence: number of a sequence in the shard set.
        position: number of a sequence in the order of training, from 0.
        document: id of a document: the sequences that hold it.
        raw: (path, place) of a raw file: the document that came from there. A byte, or a row of a table.
        number: sequences to look at, from the step's first or the one named; None: 3 of a step or spike, else 1.
        segments: segments of each sequence to look at.
        characters: of the excerpt of each.
        again: whether to read raw files again where the ids do not name the record.
        follow: whether to follow documents back through the datasets, which reads the ids of those; without, a trace
            says what was read and nothing of where it came from.
    """

    step: int | None = None
    spike: int | None = None
    sequence: int | None = None
    position: int | None = None
    document: str | None = None
    raw: tuple[str, int] | None = None
    number: int | None = None
    segments: int = 8
    characters: int = 160
    again: bool = False
    follow: bool = True


def start_of(place: Place, made: str) -> Place:
    """The stage's folder to start from, shards or a model; of a run its only one. A model does for shards, too."""
    if place.what != "run":
        if _makes(place) == "model" or (made == "shards" and place.what in ("shards", "shard")):
            return place
        if place.what in ("shards", "shard"):
            what = "shards alone have no steps"
            raise UserError(what, where=place.path, hint="name the run or the model, or use --sequence")
        raise UserError("there are no sequences here", where=place.path, hint="name a run, a model or shards")
    here = [recognise(folder) for _, folder in place.stages]
    fitting = [place for place in here if _makes(place) == made]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UserError(f"this run has no {made}", where=place.path, hint="name a folder that has one, or another run")
    names = ", ".join(place.path for place in fitting)
    raise UserError(f"this run has several folders of {made}", where=place.path, hint=f"name one of {names}")


def _makes(place: Place) -> str | None:
    """What a stage's folder is called, finished or not."""
    stage = (place.manifest or place.plan).get("stage")
    return makes(stage) if stage else None


def shards_on_the_way(start: Place, links: Mapping[str, Link]) -> Shards:
    if start.what in ("shards", "shard"):
        return shards_of(start)
    for link in links.values():
        if link.place and link.place.what == "shards":
            return shards_of(link.place)
    raise UserError("the shards of this run are missing", where=start.path, hint="put them back next to its folder")


Chosen = list[tuple[int | None, int, float | None]]
"""(position in the order of training, number in the shard set, nats per token) of sequences."""


def asked_about(start: Place, question: Question, sequences: int) -> tuple[range | None, Chosen]:
    """(positions, sequences to look at): of a step, from a position on, or from a number on up to the last of all."""
    number = question.number or (SEQUENCES_OF_A_STEP if question.step is not None else 1)
    if question.sequence is not None:
        first = question.sequence
        return None, [(None, row, None) for row in range(first, max(first + 1, min(first + number, sequences)))]
    if question.step is not None:
        positions = step_positions(start.path, question.step)
    else:
        positions = range(question.position or 0, (question.position or 0) + number)
    shown = positions[:number]
    rows = ordered_rows(start.path, shown)
    return positions, [(position, row, None) for position, row in zip(shown, rows, strict=True)]


def worst_of(start: Place, spike: SpikeStory, number: int) -> Chosen:
    """The worst sequences of a spike's step, with the positions at which it read them."""
    read = range(spike.first, spike.end)
    places = dict(zip(ordered_rows(start.path, read), read, strict=True))
    return [(places.get(row), row, nats) for row, nats in spike.rows[:number]]


def sequences_holding(place: Place, shards: Shards, document: str, number: int) -> Chosen:
    """The sequences that hold a document, with the first position at which a run's only model read each."""
    numbers = list(islice(dict.fromkeys(row for row, _ in shards.places_of(document)), number))
    if not numbers:
        hint = "corpusmill inspect why RUN ID says what became of it"
        raise UserError("no sequence contains this document", where=f"{shards.where}: {document}", hint=hint)
    models = [folder for _, folder in place.stages if _makes(recognise(folder)) == "model"]
    models += [place.path] if _makes(place) == "model" else []
    reads = reads_of("", models[0], numbers) if len(models) == 1 else {}
    return [(reads[row][0].position if row in reads else None, row, None) for row in numbers]


def document_from(place: Place, links: Mapping[str, Link], raw: tuple[str, int]) -> str:
    """The document that came from a place of a raw file, by the ingests on the way, or else those of the run."""
    stages = [Link(name=name, place=recognise(folder)) for name, folder in place.stages]
    for link in (*links.values(), *stages):
        if link.place and link.place.manifest and inspection_of(description_of(link.stage)).reads_raw_files:
            document = document_at(RawFiles(link), parts_of(link), *raw)
            if document is not None:
                return document
    raise UserError(
        "no ingest stage of this run has read this file", where=raw[0], hint="name one that its manifest lists"
    )


def parts_of(link: Link) -> list[str]:
    """Paths of a dataset's parts, in order."""
    assert link.place is not None
    return [storage.join(link.place.path, entry["path"]) for entry in link.described.get("parts", ())]
