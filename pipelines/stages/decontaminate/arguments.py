"""What the phases of decontamination hand to their tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from corpusmill.pipelines.stages.parts import PartWork


@dataclass(frozen=True, kw_only=True)
class EvaluationFiles:
    """An evaluation set: its files, the fields that an item is made of, and the field of an item's id."""

    name: str
    paths: Sequence[str]
    fields: Sequence[str]
    id_field: str


@dataclass(frozen=True, kw_only=True)
class IndexWork:
    """The sets to look for, and texts whose n-grams never count as a match."""

    ngram: int
    minimum: int
    maximum_items: int
    allow: tuple[str, ...]
    sets: tuple[EvaluationFiles, ...]


@dataclass(frozen=True, kw_only=True)
class CountWork(PartWork):
    """A part whose n-grams are looked up in an index of the work folder."""

    index: str


@dataclass(frozen=True, kw_only=True)
class CommonWork:
    """Counts of parts by name; n-grams in more than `most` documents are left out of the index."""

    index: str
    parts: tuple[str, ...]
    most: int


@dataclass(frozen=True, kw_only=True)
class ApplyWork(CountWork):
    """What is done about a document that holds an item: see `dataproc.contamination.decontaminate.Decontamination`."""

    action: Literal["report", "cut", "remove"]
    share: float
    shares: Mapping[str, float]
    margin: int
    least_piece: int
    maximum_pieces: int


@dataclass(frozen=True, kw_only=True)
class ItemsWork:
    """Hits of parts by name, to be added up by item."""

    index: str
    parts: tuple[str, ...]
