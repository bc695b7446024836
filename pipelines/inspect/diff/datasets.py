"""Two datasets: documents that went, came and changed, by id; with counts by source and language, and examples.

Both are read once, and each document becomes 48 bytes: hashes of its id, its text and its other columns, where it
stands, its source and language. `dataproc.pairing` brings those of an id together on disk, so memory depends on
neither dataset. Parts that both manifests list with the same digest hold the same documents and are not read at all.

A document changed when its id is in both and its text or another column that both datasets have is not the same. Where
an id stands several times (no stage of ours leaves that), the n-th goes with the n-th. Documents that only their id
sets apart are counted, too: of those that went, how many texts came back under another id.

Memory: one row group, and what `dataproc.pairing` says. Disk: 48 bytes a document that is read, twice for a moment.
Time: benchmarks/diff.py.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import OTHERS, UNKNOWN, open_part, read_batches
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.pairing import Pairing, Pairs, column_hashes, combined, keys_of, pair, row_type
from corpusmill.pipelines.inspect.diff.values import Change
from corpusmill.pipelines.inspect.differences import Difference, around, differences, first_changes
from corpusmill.pipelines.inspect.documents import DocumentRow, Rows, rows_of
from corpusmill.pipelines.inspect.places import Place

FATES = ("same", "changed", "gone", "new")
SHOWN_CHARACTERS = 60
"""Of unchanged text, beside each change of an example."""
SHOWN_CHANGES = 10
EXCERPT_CHARACTERS = 300
"""Of an example that is only on one side."""

_MOST_NAMES = (1 << 16) - 2
"""Sources or languages that are counted by name; those that come later are counted together."""

_DOCUMENT = row_type(
    ("text", "<u8"), ("rest", "<u8"), ("part", "<u4"), ("row", "<u4"), ("source", "<u2"), ("language", "<u2"),
    ("bytes", "<u4"),
)  # fmt: skip
_TEXT = row_type()

Advance = Callable[[int, int], None]
"""Is given the bytes of files and the documents that were read since it was last called."""


@dataclass(frozen=True, kw_only=True)
class DocumentDifference:
    """An example.

    Attributes:
        fate: changed, gone or new.
        values: of its columns but the text; of a changed one what does not differ.
        columns: other columns that changed.
        text: of a changed document the words that differ, and a little around them; of another its beginning.
        more_changes: how many further places differ.
    """

    fate: str
    id: str
    values: Mapping[str, Any]
    columns: Sequence[Change]
    text: Sequence[Difference]
    more_changes: int = 0


@dataclass(frozen=True, kw_only=True)
class DatasetDiff:
    """Two datasets.

    Attributes:
        documents: of each.
        counts: documents by fate (`FATES`).
        changed_text: of those that changed, how many in their text.
        renamed: texts of documents that went, which are there again under another id; None where one has no text.
        text_bytes: of documents that are gone, and that are new.
        repeated: documents of each whose id stands before them in the same dataset.
        unread: documents in parts that are the same in both by their digests.
        by_source, by_language: {name: documents by fate}, a document that changed by its name in the first.
        columns: columns that only one has, or has with another type.
        examples: some documents of each fate, always the same ones.
    """

    documents: tuple[int, int]
    counts: Mapping[str, int]
    changed_text: int
    renamed: int | None
    text_bytes: tuple[int, int]
    repeated: tuple[int, int]
    unread: int
    by_source: Mapping[str, Mapping[str, int]]
    by_language: Mapping[str, Mapping[str, int]]
    columns: Sequence[Change]
    examples: Sequence[DocumentDifference]

    @property
    def differs(self) -> bool:
        return bool(self.columns) or any(self.counts[fate] for fate in FATES[1:])


class _Names:
    """Numbers for names, in the order in which they come; 0 is null."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {None: 0}

    def numbers(self, column: pa.Array) -> np.ndarray:
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        known = [self.number(name) for name in encoded.dictionary.to_pylist()]
        return np.array([*known, 0], np.uint16)[pc.fill_null(encoded.indices, len(known)).to_numpy()]

    def number(self, name: str | None) -> int:
        name = None if name == UNKNOWN else name
        if name not in self._numbers:
            if len(self._numbers) > _MOST_NAMES or name == OTHERS:
                name = OTHERS
            self._numbers.setdefault(name, len(self._numbers))
        return self._numbers[name]

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        return iter(UNKNOWN if name is None else name for name in self._numbers)


class _Tally:
    """Documents by fate and by a name's number: int64 of shape (names, fates), which grows."""

    def __init__(self) -> None:
        self.counts = np.zeros((1, len(FATES)), np.int64)

    def add(self, fate: str, numbers: np.ndarray, times: Any = None) -> None:
        counted = np.bincount(numbers, weights=times, minlength=len(self.counts)).astype(np.int64)
        if len(counted) > len(self.counts):
            self.counts = np.vstack([self.counts, np.zeros((len(counted) - len(self.counts), len(FATES)), np.int64)])
        self.counts[:, FATES.index(fate)] += counted

    def by_name(self, names: _Names) -> dict[str, dict[str, int]]:
        """The names that have documents, in the order of the names."""
        counted = {
            name: dict(zip(FATES, row.tolist(), strict=True))
            for name, row in zip(names, self.counts, strict=False)
            if row.any()
        }
        return dict(sorted(counted.items()))


@dataclass
class _Totals:
    """What has been counted so far."""

    names: tuple[_Names, _Names] = field(default_factory=lambda: (_Names(), _Names()))
    tallies: tuple[_Tally, _Tally] = field(default_factory=lambda: (_Tally(), _Tally()))
    changed_text: int = 0
    gone_bytes: int = 0
    new_bytes: int = 0
    repeated: tuple[int, int] = (0, 0)
    chosen: dict[str, list[tuple[np.void, ...]]] = field(default_factory=lambda: {fate: [] for fate in FATES[1:]})

    def count(self, fate: str, rows: np.ndarray) -> None:
        for tally, name in zip(self.tallies, ("source", "language"), strict=True):
            tally.add(fate, rows[name])


def dataset_diff(
    first: Place, second: Place, examples: int = 3, advance: Advance = lambda size, rows: None
) -> DatasetDiff:
    """Compares two datasets, or Parquet files with a column `id`. `examples`: how many of each fate."""
    sides = rows_of(first), rows_of(second)
    schemas = [_schema(rows) for rows in sides]
    shared = [name for name in schemas[0] if name in schemas[1]]
    has_text = "text" in shared
    totals = _Totals()
    unread = _shared_parts(first, second, totals)
    to_read = sum(len(rows) for rows in sides) - 2 * sum(unread.values())
    with Pairing(_DOCUMENT, to_read) as documents, Pairing(_TEXT, to_read) as texts:
        for side, (place, rows) in enumerate(zip((first, second), sides, strict=True)):
            left, digests = Counter(unread), _digests(place)
            for part, (path, _) in enumerate(rows.files):
                if left[digests.get(path, "")]:
                    left[digests[path]] = 0
                    continue
                _read(path, shared, side, part, documents, totals, advance)
        for one, other in documents.partitions():
            _compare(one, other, totals, texts if has_text else None, examples)
        renamed = sum(len(pair(*rows).first) for rows in texts.partitions()) if has_text else None
    counts = dict(zip(FATES, totals.tallies[0].counts.sum(axis=0).tolist(), strict=True))
    return DatasetDiff(
        documents=(len(sides[0]), len(sides[1])),
        counts=counts,
        changed_text=totals.changed_text,
        renamed=renamed,
        text_bytes=(totals.gone_bytes, totals.new_bytes),
        repeated=totals.repeated,
        unread=sum(unread.values()),
        by_source=totals.tallies[0].by_name(totals.names[0]),
        by_language=totals.tallies[1].by_name(totals.names[1]),
        columns=_column_changes(*schemas),
        examples=_examples(totals, sides),
    )


def _schema(rows: Rows) -> dict[str, str]:
    """{column: type} by the first file; that of a string is the same for both of Arrow's sizes."""
    if not rows.files:
        return {}
    with open_part(rows.files[0][0]) as file:
        schema = {column.name: str(column.type).removeprefix("large_") for column in file.schema_arrow}
    if "id" not in schema:
        raise UserError("no column id", where=rows.files[0][0], hint="documents are compared by their ids")
    return schema


def _column_changes(first: Mapping[str, str], second: Mapping[str, str]) -> list[Change]:
    if not first or not second:
        return []
    names = dict.fromkeys([*first, *second])
    kinds = [Change(name, first.get(name, "(none)"), second.get(name, "(none)")) for name in names]
    return [change for change in kinds if change.before != change.after]


def _digests(place: Place) -> dict[str, str]:
    parts = place.manifest.get("parts", ()) if place.what == "dataset" else ()
    return {storage.join(place.path, part["path"]): part["digest"] for part in parts}


def _shared_parts(first: Place, second: Place, totals: _Totals) -> dict[str, int]:
    """{digest: rows} of parts that both manifests list and say by source and language what is in; they are counted."""
    if first.what != "dataset" or second.what != "dataset":
        return {}
    ours = {part["digest"]: part for part in first.manifest["parts"] if part.get("sources") and part.get("languages")}
    shared = {part["digest"]: ours[part["digest"]] for part in second.manifest["parts"] if part["digest"] in ours}
    for part in shared.values():
        for key, names, tally in zip(("sources", "languages"), totals.names, totals.tallies, strict=True):
            numbers = np.array([names.number(name) for name in part[key]], np.uint16)
            tally.add("same", numbers, np.array([*part[key].values()]))
    return {digest: part["rows"] for digest, part in shared.items()}


def _read(
    path: str, columns: Sequence[str], side: int, part: int, documents: Pairing, totals: _Totals, advance: Advance
) -> None:
    """Hands the rows of a part on as `_DOCUMENT`."""
    others = [name for name in columns if name not in ("id", "text")]
    first = 0
    for batch in read_batches(path, list(columns)):
        rows = np.zeros(batch.num_rows, _DOCUMENT)
        keys = keys_of(pc.fill_null(batch.column("id"), ""))
        rows["high"], rows["low"] = keys[:, 0], keys[:, 1]
        rows["part"], rows["row"] = part, np.arange(first, first + batch.num_rows)
        rows["rest"] = combined([column_hashes(batch.column(name)) for name in others], batch.num_rows)
        if "text" in columns:
            rows["text"] = column_hashes(batch.column("text"))
            lengths = pc.fill_null(pc.binary_length(batch.column("text")), 0).to_numpy().astype(np.int64)
            rows["bytes"] = np.minimum(lengths, (1 << 32) - 1)
        for name, names in zip(("source", "language"), totals.names, strict=True):
            if name in columns:
                rows[name] = names.numbers(batch.column(name))
        documents.add(side, rows)
        advance(batch.nbytes, batch.num_rows)
        first += batch.num_rows


def _compare(one: np.ndarray, other: np.ndarray, totals: _Totals, texts: Pairing | None, examples: int) -> None:
    """Counts the fates of a partition's documents, and chooses examples."""
    pairs = pair(one, other)
    first, second = one[pairs.first], other[pairs.second]
    changed_text = first["text"] != second["text"]
    changed = changed_text | (first["rest"] != second["rest"])
    gone, new = one[pairs.only_first], other[pairs.only_second]
    totals.count("same", first[~changed])
    totals.count("changed", first[changed])
    totals.count("gone", gone)
    totals.count("new", new)
    totals.changed_text += int(changed_text.sum())
    totals.gone_bytes += int(gone["bytes"].sum(dtype=np.int64))
    totals.new_bytes += int(new["bytes"].sum(dtype=np.int64))
    totals.repeated = (totals.repeated[0] + pairs.repeated[0], totals.repeated[1] + pairs.repeated[1])
    if texts is not None:
        for side, rows in enumerate((gone, new)):
            hashes = np.zeros(len(rows), _TEXT)
            hashes["high"] = rows["text"]
            texts.add(side, hashes)
    _choose(pairs, one, other, np.flatnonzero(changed), totals.chosen, examples)


def _choose(
    pairs: Pairs,
    one: np.ndarray,
    other: np.ndarray,
    changed: np.ndarray,
    chosen: dict[str, list[tuple[np.void, ...]]],
    examples: int,
) -> None:
    """Keeps the first documents of each fate by the hash of their ids, which is the order that they come in."""
    room = {fate: max(examples - len(rows), 0) for fate, rows in chosen.items()}
    for at in changed[: room["changed"]].tolist():
        chosen["changed"].append((one[pairs.first[at]], other[pairs.second[at]]))
    chosen["gone"] += [(row,) for row in one[pairs.only_first[: room["gone"]]]]
    chosen["new"] += [(row,) for row in other[pairs.only_second[: room["new"]]]]


def _examples(totals: _Totals, sides: tuple[Rows, Rows]) -> list[DocumentDifference]:
    """The chosen documents, read again."""
    shown = [
        _changed(_document(sides[0], before), _document(sides[1], after)) for before, after in totals.chosen["changed"]
    ]
    for fate, rows in zip(("gone", "new"), sides, strict=True):
        for (row,) in totals.chosen[fate]:
            values = dict(_document(rows, row).values)
            text = values.pop("text", None) or ""
            cut = f"{text[:EXCERPT_CHARACTERS]}…" if len(text) > EXCERPT_CHARACTERS else text
            stretches = [Difference("gone" if fate == "gone" else "new", cut)] if cut else []
            shown.append(
                DocumentDifference(fate=fate, id=str(values.pop("id")), values=values, columns=[], text=stretches)
            )
    return shown


def _document(rows: Rows, row: np.void) -> DocumentRow:
    before = sum(count for _, count in rows.files[: int(row["part"])])
    return rows.row(before + int(row["row"]))


def _changed(before: DocumentRow, after: DocumentRow) -> DocumentDifference:
    names = dict.fromkeys(name for name in before.values if name in after.values and name not in ("id", "text"))
    columns = [Change(name, before.values[name], after.values[name]) for name in names]
    texts = [str(row.values.get("text") or "") for row in (before, after)]
    stretches = differences(*texts) if texts[0] != texts[1] else []
    shown, more = first_changes(around(stretches, SHOWN_CHARACTERS), SHOWN_CHANGES)
    return DocumentDifference(
        fate="changed",
        id=str(before.values["id"]),
        values={change.name: change.before for change in columns if change.before == change.after},
        columns=[change for change in columns if change.before != change.after],
        text=shown,
        more_changes=more,
    )
