"""Two shard sets: settings, tokens by group, source and language, the order of sequences, and documents by id.

What manifests and headers say comes first and costs nothing. Then every sequence is read once, unless both sets have
the same files by their digests: a sequence is known by a hash of its tokens, so that the same one in another place is
told from another one, and a document by a hash of its id, with its tokens added up over all of its segments: how many,
and a sum of hashes of each with its place in the document, which is the same however the document was cut. So a
document changed if it has other tokens, not if it is packed otherwise. Held-back shards are not looked at.

Memory: a record batch (a million tokens, and 40 bytes for each) and what `dataproc.pairing` says. Disk: 24 bytes a
sequence and 40 a segment. Time: benchmarks/diff.py.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.pairing import Pairing, keys_of, mixed, pair, row_type
from corpusmill.dataproc.sequences.shards import ShardHeader, batch_tokens, open_reader
from corpusmill.pipelines.inspect.diff.datasets import FATES
from corpusmill.pipelines.inspect.diff.values import Change, output_digests, value_changes
from corpusmill.pipelines.inspect.places import Place

_SEQUENCE = row_type(("number", "<u8"))
_SEGMENT = row_type(("content", "<u8"), ("tokens", "<u4"), ("shard", "<u4"), ("row", "<u4"), ("source", "<u4"))
_DOCUMENT = row_type(("content", "<u8"), ("tokens", "<u8"), ("shard", "<u4"), ("row", "<u4"), ("source", "<u4"))

Advance = Callable[[int, int], None]
"""Is given the bytes of files and the documents that were read since it was last called."""


@dataclass(frozen=True, kw_only=True)
class DocumentTokens:
    """An example: a document that went, came or changed, and its tokens in each."""

    fate: str
    id: str
    source: str
    tokens: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Sequences by what became of them.

    Attributes:
        same_place: in both, at the same place.
        moved: in both, at another place.
        only_first, only_second: in one of them.
        first_difference: the first place at which the two differ; None if they never do.
    """

    same_place: int
    moved: int
    only_first: int
    only_second: int
    first_difference: int | None


@dataclass(frozen=True, kw_only=True)
class ShardsDiff:
    """Two shard sets.

    Attributes:
        settings: settings of the stage, and the header's, that differ.
        counts: counts of the manifests that differ.
        sequences, tokens: of each.
        by_group: {group: (sequences, sequences, tokens, tokens)} of either set.
        tokens_by: {source, kind or language: {name: (tokens, tokens)}}, as the manifests say.
        order: what became of the sequences; None where the sets have the same files, and nothing was read.
        documents: by fate.
        tokens_of: tokens of the documents of each fate; of changed ones, in the first.
        by_source: {source: documents by fate}.
        examples: some documents of each fate, always the same ones.
    """

    settings: Sequence[Change]
    counts: Sequence[Change]
    sequences: tuple[int, int]
    tokens: tuple[int, int]
    by_group: Mapping[str, tuple[int, int, int, int]]
    tokens_by: Mapping[str, Mapping[str, tuple[int, int]]]
    order: Sequences | None
    documents: Mapping[str, int]
    tokens_of: Mapping[str, int]
    by_source: Mapping[str, Mapping[str, int]]
    examples: Sequence[DocumentTokens]

    @property
    def differs(self) -> bool:
        return self.order is not None and (bool(self.settings) or self.order.first_difference is not None)


def shards_diff(
    first: Place, second: Place, examples: int = 3, advance: Advance = lambda size, rows: None
) -> ShardsDiff:
    """Compares two shard sets, or two shards."""
    sides = [_paths(place) for place in (first, second)]
    headers = [_header(paths) for paths in sides]
    manifests = first.manifest, second.manifest
    settings = value_changes(manifests[0].get("settings", {}), manifests[1].get("settings", {}))
    settings += value_changes(headers[0], headers[1], "header.")
    about: dict[str, Any] = {
        "settings": settings,
        "counts": value_changes(manifests[0].get("counts", {}), manifests[1].get("counts", {})),
        "by_group": _by_group(*manifests),
        "tokens_by": _tokens_by(*manifests),
    }
    same_files = all(manifests) and output_digests(manifests[0]) == output_digests(manifests[1])
    if same_files:
        rows, tokens = (sum(part.get(key, 0) for part in manifests[0]["parts"]) for key in ("rows", "tokens"))
        nothing: dict[str, Any] = {"documents": {}, "tokens_of": {}, "by_source": {}, "examples": []}
        return ShardsDiff(sequences=(rows, rows), tokens=(tokens, tokens), order=None, **nothing, **about)
    return _read_and_compare(sides, examples, advance, about)


def _read_and_compare(
    sides: Sequence[Sequence[str]], examples: int, advance: Advance, about: Mapping[str, Any]
) -> ShardsDiff:
    expected = sum(storage.size(path) for paths in sides for path in paths)
    sources: dict[str, int] = {}
    totals = []
    with (
        Pairing(_SEQUENCE, expected // 2048) as sequences,
        Pairing(_SEGMENT, expected // 1024) as segments,
    ):
        for side, paths in enumerate(sides):
            totals.append(_read(paths, side, sequences, segments, sources, advance))
        order = _order(sequences)
        fates = np.zeros((max(len(sources), 1), len(FATES)), np.int64)
        tokens_of = np.zeros(len(FATES), np.int64)
        chosen: dict[str, list[tuple[np.void | None, np.void | None]]] = {fate: [] for fate in FATES[1:]}
        for one, other in segments.partitions():
            for fate, before, after in _fates(_documents(one), _documents(other)):
                known = after if fate == "new" else before
                number = FATES.index(fate)
                fates[:, number] += np.bincount(known["source"], minlength=len(fates))
                tokens_of[number] += int(known["tokens"].sum())
                if fate in chosen:
                    room = max(examples - len(chosen[fate]), 0)
                    rows = zip(_or_none(before, len(known)), _or_none(after, len(known)), strict=True)
                    chosen[fate] += [pair for pair, _ in zip(rows, range(room), strict=False)]
    counted = sorted((name, dict(zip(FATES, fates[number].tolist(), strict=True))) for name, number in sources.items())
    return ShardsDiff(
        sequences=(totals[0][0], totals[1][0]),
        tokens=(totals[0][1], totals[1][1]),
        order=order,
        documents=dict(zip(FATES, fates.sum(axis=0).tolist(), strict=True)),
        tokens_of=dict(zip(FATES, tokens_of.tolist(), strict=True)),
        by_source=dict(counted),
        examples=[_example(fate, *rows, sides) for fate, pairs in chosen.items() for rows in pairs],
        **about,
    )


def _paths(place: Place) -> list[str]:
    if place.what == "shard":
        return [place.path]
    return [storage.join(place.path, part["path"]) for part in place.manifest["parts"]]


def _header(paths: Sequence[str]) -> dict[str, Any]:
    """The header of the first shard, without what only that shard has."""
    if not paths:
        return {}
    values: dict[str, Any] = json.loads(open_reader(paths[0])[0].to_json())
    return {key: value for key, value in values.items() if key != "group"}


def _by_group(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[int, int, int, int]]:
    counted: list[Counter[str]] = [Counter() for _ in range(4)]
    for side, manifest in enumerate((first, second)):
        for part in manifest.get("parts", ()):
            counted[side][part.get("group", "")] += part["rows"]
            counted[side + 2][part.get("group", "")] += part.get("tokens", 0)
    names = sorted({name for counter in counted for name in counter})
    return {name: (counted[0][name], counted[1][name], counted[2][name], counted[3][name]) for name in names}


def _tokens_by(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, dict[str, tuple[int, int]]]:
    one, other = (manifest.get("facts", {}).get("tokens_by", {}) for manifest in (first, second))
    return {
        key: {name: (one[key].get(name, 0), other[key].get(name, 0)) for name in sorted({*one[key], *other[key]})}
        for key in sorted({*one} & {*other})
    }


def _read(
    paths: Sequence[str],
    side: int,
    sequences: Pairing,
    segments: Pairing,
    sources: dict[str, int],
    advance: Advance,
) -> tuple[int, int]:
    """Hands sequences and segments on; gives how many sequences and tokens there are."""
    number = tokens = 0
    for shard, path in enumerate(paths):
        header, reader = open_reader(path)
        row = 0
        for at in range(reader.num_record_batches):
            batch = reader.get_batch(at)
            ids = batch_tokens(header, batch)
            rows = np.zeros(len(ids), _SEQUENCE)
            keys = b"".join(map(xxhash.xxh3_128_digest, np.ascontiguousarray(ids)))
            rows["high"], rows["low"] = np.frombuffer(keys, ">u8").reshape(-1, 2).T
            rows["number"] = np.arange(number, number + len(ids))
            sequences.add(side, rows)
            of_batch = _segments(header, batch, ids, sources)
            of_batch["shard"], of_batch["row"] = shard, of_batch["row"] + row
            segments.add(side, of_batch)
            tokens += int(of_batch["tokens"].sum())
            number, row = number + len(ids), row + len(ids)
            advance(batch.nbytes, len(of_batch))
    return number, tokens


def _segments(header: ShardHeader, batch: pa.RecordBatch, ids: np.ndarray, sources: dict[str, int]) -> np.ndarray:
    """`_SEGMENT` of each segment of a record batch; `row` counts from the batch's first."""
    column = batch.column("segments")
    flat, bounds = column.flatten(), column.offsets.to_numpy() - column.offsets[0].as_py()
    lengths = flat.field("length").to_numpy().astype(np.int64)
    rows = np.repeat(np.arange(len(column)), np.diff(bounds))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    before = ends[:-1] - ends[bounds[:-1]][rows]  # tokens of the sequence before the segment
    inside = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths)
    tokens = ids.reshape(-1)[np.repeat(rows * header.sequence_length + before, lengths) + inside]
    places = inside + np.repeat(flat.field("start").to_numpy(), lengths)
    hashes = mixed((places.astype(np.uint64) << np.uint64(32)) ^ tokens.astype(np.uint64))
    segments = np.zeros(len(flat), _SEGMENT)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes)])  # wraps round, and so do their differences
    segments["content"] = sums[ends[1:]] - sums[ends[:-1]]
    keys = keys_of(flat.field("document"))
    segments["high"], segments["low"] = keys[:, 0], keys[:, 1]
    segments["tokens"], segments["row"] = lengths, rows
    encoded = flat.field("source").dictionary_encode()
    known = [sources.setdefault(name, len(sources)) for name in encoded.dictionary.to_pylist()]
    segments["source"] = np.array([*known, 0], np.uint32)[encoded.indices.to_numpy()]
    return segments


def _documents(segments: np.ndarray) -> np.ndarray:
    """`_DOCUMENT` of each document, by key: its segments added up."""
    order = np.lexsort((segments["low"], segments["high"]))
    ordered = segments[order]
    first = np.ones(len(ordered), bool)
    first[1:] = (ordered["high"][1:] != ordered["high"][:-1]) | (ordered["low"][1:] != ordered["low"][:-1])
    starts = np.flatnonzero(first)
    documents = np.zeros(len(starts), _DOCUMENT)
    if len(starts):
        for name in ("high", "low", "shard", "row", "source"):
            documents[name] = ordered[name][starts]
        documents["tokens"] = np.add.reduceat(ordered["tokens"].astype(np.uint64), starts)
        documents["content"] = np.add.reduceat(ordered["content"], starts)
    return documents


def _fates(one: np.ndarray, other: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(fate, documents before, documents after), one of which may have none."""
    pairs = pair(one, other)
    before, after = one[pairs.first], other[pairs.second]
    same = (before["content"] == after["content"]) & (before["tokens"] == after["tokens"])
    yield "same", before[same], after[same]
    yield "changed", before[~same], after[~same]
    yield "gone", one[pairs.only_first], other[:0]
    yield "new", one[:0], other[pairs.only_second]


def _order(sequences: Pairing) -> Sequences:
    """What became of the sequences, by their places."""
    same = moved = only_first = only_second = 0
    places = [np.iinfo(np.int64).max]
    for one, other in sequences.partitions():
        pairs = pair(one, other)
        before, after = one["number"][pairs.first], other["number"][pairs.second]
        stayed = before == after
        same, moved = same + int(stayed.sum()), moved + int((~stayed).sum())
        only_first, only_second = only_first + len(pairs.only_first), only_second + len(pairs.only_second)
        lone = one["number"][pairs.only_first], other["number"][pairs.only_second]
        places += [int(array.min()) for array in (before[~stayed], after[~stayed], *lone) if len(array)]
    return Sequences(
        same_place=same,
        moved=moved,
        only_first=only_first,
        only_second=only_second,
        first_difference=min(places) if len(places) > 1 else None,
    )


def _or_none(documents: np.ndarray, count: int) -> Sequence[np.void | None]:
    return list(documents) if len(documents) else [None] * count


def _example(
    fate: str, before: np.void | None, after: np.void | None, sides: Sequence[Sequence[str]]
) -> DocumentTokens:
    """An example, with its id from the shard."""
    row = before if before is not None else after
    assert row is not None
    path = sides[0 if before is not None else 1][int(row["shard"])]
    _, reader = open_reader(path)
    at = int(row["row"])
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        if at < batch.num_rows:
            break
        at -= batch.num_rows
    flat = batch.column("segments")[at].values
    keys = keys_of(flat.field("document"))
    place = int(np.flatnonzero((keys[:, 0] == row["high"]) & (keys[:, 1] == row["low"]))[0])
    counts = tuple(0 if document is None else int(document["tokens"]) for document in (before, after))
    segment = flat[place].as_py()
    return DocumentTokens(fate=fate, id=segment["document"], source=segment["source"], tokens=(counts[0], counts[1]))
