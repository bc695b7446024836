"""What the phases of de-duplication hand to their tasks."""

from dataclasses import dataclass
from typing import Literal

from corpusmill.pipelines.stages.blocks import BlockTask


@dataclass(frozen=True, kw_only=True)
class SigningWork(BlockTask):
    """How a block's documents are signed.

    Attributes:
        method: exact, minhash or both.
        bands, rows: of a signature; zeros without MinHash.
        partitions: of keys.
        passes: in which a task goes through its partition; files are sorted by key where there are several.
    """

    method: tuple[str, ...]
    normalise: tuple[str, ...]
    threshold: float
    permutations: int
    shingle: Literal["word", "character"]
    ngram: int
    seed: int
    bands: int
    rows: int
    partitions: int
    passes: int = 1


@dataclass(frozen=True, kw_only=True)
class Matching:
    """An index to look documents up in: its folder and generation, and the threshold to verify at (None: its own)."""

    index: str
    generation: int
    threshold: float | None = None


@dataclass(frozen=True, kw_only=True)
class MatchingWork(SigningWork):
    """Signed documents, and the index that they are looked up in, if any."""

    against: Matching | None = None


@dataclass(frozen=True, kw_only=True)
class DedupWork(MatchingWork):
    """What the phases behind `sign` need; numbers that only an earlier phase can tell are filled in as it ends.

    Attributes:
        verify: how candidates are compared.
        prefer: which of two documents stays.
        keep_unless: (what, least share) that a document's survivor must fulfil besides.
        pairs, pair_files: folder of pairs, and how many files are in it.
        labels: folder of the labels of clustered documents.
        chosen: partitions of components, in which pairs are compared and survivors chosen.
        ranges: files with the labels of a block's documents, where components were computed out of core.
    """

    verify: Literal["signatures", "exact"]
    prefer: tuple[str, ...]
    keep_unless: tuple[tuple[str, float], ...] = ()
    pairs: str = ""
    pair_files: int = 0
    labels: str = ""
    chosen: int = 0
    ranges: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RoutedSource:
    """Routed rows that a phase of the stars wrote: a folder, and how many files are in it."""

    folder: str
    files: int


@dataclass(frozen=True, kw_only=True)
class StarsWork:
    """A step of the stars over partitions `first` to `stop`; files of a step are below a folder of the run's name."""

    name: str
    partitions: int
    chunk_rows: int
    first: int = 0
    stop: int = 0


@dataclass(frozen=True, kw_only=True)
class ContractWork(StarsWork):
    """Files of edges to routed edges, contracted a block of `block_edges` at a time, and loops that are set aside."""

    paths: tuple[str, ...]
    block_edges: int
    edges: str
    leaves: str


@dataclass(frozen=True, kw_only=True)
class LargeStarWork(StarsWork):
    """Edges to linked rows; the first task also tells where to cut addresses into `ranges`, if there are any."""

    source: RoutedSource
    linked: str
    ranges: int


@dataclass(frozen=True, kw_only=True)
class SmallStarWork(StarsWork):
    """Linked rows to fewer edges, and leaves that are set aside."""

    source: RoutedSource
    edges: str
    leaves: str


@dataclass(frozen=True, kw_only=True)
class SolveWork(StarsWork):
    """The last edges to labels, by hash, and to results, by range; None: the ranges are chosen here."""

    source: RoutedSource
    splitters: tuple[int, ...] | None
    labels: str
    results: str


@dataclass(frozen=True, kw_only=True)
class LabelWork(StarsWork):
    """Leaves to results, and to labels where earlier rounds need them, from the labels that are known."""

    source: RoutedSource
    known: tuple[RoutedSource, ...]
    splitters: tuple[int, ...]
    labels: str | None
    results: str


@dataclass(frozen=True, kw_only=True)
class RangeWork(StarsWork):
    """All results in one range of addresses."""

    sources: tuple[RoutedSource, ...]
