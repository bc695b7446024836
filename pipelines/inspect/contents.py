"""What is in a dataset or a shard set, at a glance: columns, sources, languages, lengths, quantiles of statistics.

Columns, sources and languages are exact: the first footer and the manifest have them. Lengths and quantiles are of a
sample: a few row groups, or record batches, at even distances through all files; the sample says how many rows it has,
of how many. So the cost is the same for a thousand rows and for ten billion.

Cost: at most `GROUPS` row groups of text (16 MiB each), of statistics or of shards. Memory: one of them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import COUNTED, open_part
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.sequences.shard_folder import is_held_back
from corpusmill.dataproc.sequences.shards import open_reader
from corpusmill.dataproc.side_tables import side_files
from corpusmill.pipelines.inspect.places import Place

GROUPS = 3
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
COMMON = ("byte_count", "word_count")
"""Statistics that are shown of any filter, before those that its rules look at."""

MOST_STATISTICS = 40


@dataclass(frozen=True)
class Lengths:
    """Lengths of a sample: how many lie from `edges[i]` on and below `edges[i + 1]`.

    Attributes:
        unit: bytes, characters or tokens; `of` is documents or segments.
        sampled, rows: how many were looked at, and of how many (0 where that is not known).
        quantiles: by share, as `QUANTILES`.
    """

    unit: str
    of: str
    sampled: int
    rows: int
    edges: list[int]
    counts: list[int]
    quantiles: dict[str, float]


@dataclass
class Contents:
    """What a folder holds.

    Attributes:
        columns: type by name.
        counted: by sources, languages and licenses: documents, or tokens of shards.
        lengths: of a sample.
        statistics: quantiles by column, of `statistics_sampled` rows of `statistics_rows`.
    """

    columns: dict[str, str] = field(default_factory=dict)
    counted: dict[str, dict[str, int]] = field(default_factory=dict)
    counted_unit: str = "documents"
    lengths: list[Lengths] = field(default_factory=list)
    statistics: dict[str, dict[str, float]] = field(default_factory=dict)
    statistics_sampled: int = 0
    statistics_rows: int = 0


def contents_of(place: Place) -> Contents:
    """What a finished dataset or shard set holds. A part that cannot be read is passed over: `verify` names it."""
    contents = Contents()
    if place.what == "dataset":
        _describe_documents(place, contents)
    elif place.what == "shards":
        _describe_shards(place, contents)
    return contents


def _describe_documents(place: Place, contents: Contents) -> None:
    parts: Sequence[Mapping[str, Any]] = place.manifest["parts"]
    contents.counted = {name: counts for name in COUNTED if (counts := _added(part.get(name, {}) for part in parts))}
    files = [(storage.join(place.path, part["path"]), part["rows"]) for part in parts]
    rows = sum(count for _, count in files)
    if files:
        with open_part(files[0][0]) as file:
            contents.columns = {entry.name: str(entry.type) for entry in file.schema_arrow}
    byte_lengths, character_lengths = [], []
    for batch in sampled_groups(files, ["text"]) if "text" in contents.columns else ():
        byte_lengths.append(_known(pc.binary_length(batch.column("text"))))
        character_lengths.append(_known(pc.utf8_length(batch.column("text"))))
    for unit, lengths in (("bytes", byte_lengths), ("characters", character_lengths)):
        if lengths:
            contents.lengths.append(lengths_of(np.concatenate(lengths), unit, "documents", rows))
    _describe_statistics(place, contents)


def _describe_statistics(place: Place, contents: Contents) -> None:
    entries = {entry["path"]: entry for entry in place.manifest["files"]}
    paths = side_files(place.manifest, "statistics").values()
    files = [(storage.join(place.path, path), entries[path].get("rows", 0)) for path in paths]
    if not files:
        return
    with open_part(files[0][0]) as file:
        names = [entry.name for entry in file.schema_arrow if _is_number(entry.type)]
    rules = place.manifest["facts"].get("rules_in_force", ())
    asked = dict.fromkeys([*COMMON, *(rule["statistic"] for rule in rules)])
    columns = [name for name in asked if name in names][:MOST_STATISTICS]
    batches = list(sampled_groups(files, columns))
    if not batches or not columns:
        return
    table = pa.Table.from_batches(batches)
    contents.statistics_sampled, contents.statistics_rows = table.num_rows, sum(rows for _, rows in files)
    for name in columns:
        values = _known(table[name].combine_chunks().cast(pa.float64(), safe=False))
        known = values[np.isfinite(values)]
        if len(known):
            contents.statistics[name] = _quantiles(known)


def _describe_shards(place: Place, contents: Contents) -> None:
    facts = place.manifest["facts"]
    by_what = {"source": "sources", "language": "languages", "kind": "kinds"}
    contents.counted = {by_what[name]: dict(counts) for name, counts in facts.get("tokens_by", {}).items() if counts}
    contents.counted_unit = "tokens"
    parts = [part for part in place.manifest["parts"] if part["rows"] and not is_held_back(part["path"])]
    lengths: list[np.ndarray] = []
    for part in _spread(parts, GROUPS):
        try:
            _, reader = open_reader(storage.join(place.path, part["path"]))
            contents.columns = contents.columns or {entry.name: str(entry.type) for entry in reader.schema}
            batch = reader.get_batch(reader.num_record_batches // 2)
        except (UserError, pa.ArrowException, OSError):
            continue
        lengths.append(_known(batch.column("segments").flatten().field("length")))
    if lengths:
        contents.lengths.append(lengths_of(np.concatenate(lengths), "tokens", "segments", 0))


def sampled_groups(files: Sequence[tuple[str, int]], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Row groups at even distances through files of (path, rows): at most `GROUPS`, fewer where there are fewer."""
    filled = [(path, rows) for path, rows in files if rows]
    single = len(filled) < GROUPS
    for path, _ in _spread(filled, GROUPS):
        try:
            with open_part(path) as file:
                count = file.num_row_groups
                for group in _spread(range(count), -(-GROUPS // max(len(filled), 1)) if single else 1):
                    table = file.read_row_group(group, columns=list(columns), use_threads=True)
                    yield from table.combine_chunks().to_batches()
        except (UserError, pa.ArrowException, OSError):
            continue


def _spread(things: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the things, at even distances, the middle ones of as many stretches."""
    count = min(most, len(things))
    return [things[(2 * number + 1) * len(things) // (2 * count)] for number in range(count)]


def lengths_of(lengths: np.ndarray, unit: str, of: str, rows: int) -> Lengths:
    """Lengths counted by powers of two."""
    known = np.sort(lengths.astype(np.int64))
    if not len(known):
        return Lengths(unit, of, 0, rows, [], [], {})
    first, last = (int(value).bit_length() for value in (known[0], known[-1]))
    edges = [0 if power == 0 else 1 << (power - 1) for power in range(first, last + 2)]
    counts = np.diff(np.searchsorted(known, edges))
    return Lengths(unit, of, len(known), rows, edges, counts.tolist(), _quantiles(known))


def _quantiles(values: np.ndarray) -> dict[str, float]:
    quantiles = np.quantile(values, QUANTILES, method="lower")
    return {f"{share:g}": float(value) for share, value in zip(QUANTILES, quantiles, strict=True)}


def _known(values: pa.Array) -> np.ndarray:
    """The numbers that are not null. (`to_numpy` imports pandas where that is installed, which takes as long as all
    that is done here.)"""
    return np.from_dlpack(pc.drop_null(values))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _added(counts: Iterator[Mapping[str, int]]) -> dict[str, int]:
    """Counts of all parts, the commonest first."""
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))
