"""What ingest hands to its tasks."""

from dataclasses import dataclass

from corpusmill.dataproc.readers.normalisation import Normalisation
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.dataproc.repositories.settings import RepositorySettings


@dataclass(frozen=True, kw_only=True)
class IngestWork:
    """Pieces of one input's files, of one format.

    Attributes:
        fields: how records become documents.
        normalisation: of each text.
        repository: how repositories become documents; None for other formats.
    """

    pieces: tuple[Piece, ...]
    format: str
    part_bytes: int
    fields: Fields
    normalisation: Normalisation
    repository: RepositorySettings | None = None
