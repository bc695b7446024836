"""Whether a shard set holds every document once: what no shard can tell by itself.

A document's segments, wherever they stand, have to cover it from its first token to its end without a gap and without
an overlap; only the last of them ends with the end-of-sequence token; a rearranged document that was cut has each of
its markers in one segment, in order (`verify_shard` looks inside of segments); no document stands both among the
training sequences and among those held back; and there are as many documents as were kept. Each shard is
also checked against its manifest entry: its tokens, its group, and that all documents of a group by source are of
that source.

Documents are identified by 64 bits of xxh3 over their ids (two of a billion documents share them with probability
0.03, and would be reported as one document that occurs twice). A segment is 20 bytes: hash, start, and one word
of length and flags. All segments of a range of hashes are sorted together, so that a set of up to `MOST_SEGMENTS`
takes one pass over its shards, and a larger one as many as it is times larger. Memory: about 90 bytes times the
segments of a pass, 1.5 GB at the most, and one record batch. Cost: one read of all segments and one more for each
pass, about 1 us a segment.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from corpusmill.dataproc import storage
from corpusmill.dataproc.kernels.buffers import text_buffers
from corpusmill.dataproc.sequences.shard_folder import VALIDATION, is_held_back
from corpusmill.dataproc.sequences.shards import ShardHeader, open_reader, token_rows, unpack_rows
from corpusmill.pipelines.inspect.places import SHARD

MOST_SEGMENTS = 1 << 24
"""Segments in memory at once."""

MOST_NAMED = 3
MOST_BAD = 1 << 16
"""Documents remembered per kind of problem, so that some can be named; all are counted."""

BOTH_SIDES = "documents on both sides, in training and held back"

_LENGTH_BITS = 21
"""A segment is at most 2**20 tokens long; above its length stand the flags."""

_HELD_BACK, _ENDS, _FIM, _FIRST_MARKER = (1 << (_LENGTH_BITS + bit) for bit in range(4))


@dataclass
class _Coverage:
    """What the passes have gathered so far.

    Attributes:
        ends: whether documents end with the end-of-sequence token, as is the rule.
        empty: whether documents may have no token at all, and so no segment: with neither a beginning nor an end.
        lines: (path, what is wrong) of single shards.
        documents: how many there are, by side: among the training sequences, held back.
        bad: by kind of problem, how many documents and the hashes of some.
    """

    ends: bool = True
    empty: bool = False
    lines: list[tuple[str, str]] = field(default_factory=list)
    documents: list[int] = field(default_factory=lambda: [0, 0])
    bad: dict[str, tuple[int, np.ndarray]] = field(default_factory=dict)


def coverage_problems(folder: str, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(path, what is wrong) for a set of whole shards; none for one that holds every document once.

    Args:
        folder: of the shard set.
        manifest: its manifest; its shards can be read and are those that were written.
    """
    entries = [entry for entry in [*manifest["parts"], *manifest["files"]] if entry["path"].endswith(SHARD)]
    paths = [storage.join(folder, entry["path"]) for entry in entries]
    held_back = [is_held_back(entry["path"]) for entry in entries]
    settings = manifest["settings"]
    ends = settings.get("eos", settings.get("append_eos", True)) and not settings.get("chat", False)
    coverage = _Coverage(ends=ends, empty=not ends and not settings.get("bos", False))
    total = 0
    for path, entry in zip(paths, entries, strict=True):
        total += _check_shard(path, entry, _source_of(settings, entry), coverage)
    passes = max(1, -(-total // MOST_SEGMENTS))
    for number in range(passes):
        _check_range(paths, held_back, number, passes, coverage)
    lines = [*coverage.lines, *((folder, line) for line in _uneven(entries))]
    lines += [(folder, line) for line in _miscounted(manifest["counts"], coverage)]
    named = _names(folder, paths, coverage)
    lines += [
        (folder, f"{kind}: {count:,} ({_listed(named[kind], count)})") for kind, (count, _) in coverage.bad.items()
    ]
    return lines


def _listed(names: Sequence[str], count: int) -> str:
    return ", ".join(names) + (", …" if count > len(names) else "")


def _batches(path: str) -> Iterator[tuple[ShardHeader, int, pa.RecordBatch]]:
    """(header, number of its first row, batch) for each record batch of a shard."""
    header, reader = open_reader(path)
    row = 0
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        yield header, row, batch
        row += batch.num_rows


def _source_of(settings: Mapping[str, Any], entry: Mapping[str, Any]) -> str | None:
    """The source that all documents of a shard have to be of; None where sources are mixed."""
    group = entry.get("group", "")
    if not group or settings.get("group_by") != "source":
        return None
    return group.rpartition(":")[0] if settings.get("length_buckets") else group


def _check_shard(path: str, entry: Mapping[str, Any], source: str | None, coverage: _Coverage) -> int:
    """Checks one shard against its entry in the manifest; returns how many segments it has."""
    segments = tokens = strangers = 0
    group, example = "", ""
    for header, _, batch in _batches(path):
        flat = batch.column("segments").flatten()
        segments += len(flat)
        tokens += int(pc.sum(flat.field("length")).as_py() or 0)
        group = header.group
        if source is not None:
            strange = pc.not_equal(flat.field("source"), source)
            strangers += int(pc.sum(strange).as_py() or 0)
            if strangers and not example:
                example = flat.field("document").filter(strange)[0].as_py()
    if strangers:
        coverage.lines.append(
            (path, f"segments of other sources than its group's {source}: {strangers:,} ({example}, …)")
        )
    if tokens != entry.get("tokens", tokens):
        coverage.lines.append((path, f"its segments have {tokens:,} tokens, but the manifest says {entry['tokens']:,}"))
    if group != entry.get("group", group):
        coverage.lines.append((path, f"it is of group '{group}', but the manifest says '{entry['group']}'"))
    return segments


def _uneven(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Shards of a folder are equally long, except the last of each group, which may be shorter."""
    for side in (False, True):
        here = [entry for entry in entries if is_held_back(entry["path"]) == side]
        last = {entry.get("group", ""): entry["path"] for entry in here}
        full = {entry["rows"] for entry in here if entry["path"] != last[entry.get("group", "")]}
        if len(full) > 1:
            yield f"shards of different sizes: {', '.join(f'{rows:,}' for rows in sorted(full))} sequences"
        elif full:
            for entry in here:
                if entry["rows"] > max(full):
                    yield f"{entry['path']} has {entry['rows']:,} sequences, and the shards before it {max(full):,}"


def _miscounted(counts: Mapping[str, int], coverage: _Coverage) -> Iterator[str]:
    both = sum(count for kind, (count, _) in coverage.bad.items() if kind == BOTH_SIDES)
    documents = sum(coverage.documents) - both
    if documents > counts["kept"] or (documents < counts["kept"] and not coverage.empty):
        yield f"{counts['kept']:,} documents were kept, but {documents:,} are in the shards"
    held_back = counts.get("validation_documents", coverage.documents[1])
    if coverage.documents[1] != held_back and not both:
        yield f"{held_back:,} documents were held back and {coverage.documents[1]:,} are in {VALIDATION}/"


def _check_range(
    paths: Sequence[str], held_back: Sequence[bool], number: int, passes: int, coverage: _Coverage
) -> None:
    """Checks the documents whose hashes are in one of `passes` ranges."""
    low, high = (np.uint64(min((edge << 64) // passes, 2**64 - 1)) for edge in (number, number + 1))
    last = number == passes - 1
    kept: list[tuple[np.ndarray, ...]] = []
    for path, side in zip(paths, held_back, strict=True):
        for header, _, batch in _batches(path):
            flat = batch.column("segments").flatten()
            keys = _keys(flat.field("document"))
            words = _words(header, batch, flat) | np.int32(_HELD_BACK if side else 0)
            starts = flat.field("start").to_numpy()
            here = (keys >= low) & ((keys < high) | last)
            kept.append((keys[here], starts[here], words[here]))
    if not kept:
        return
    keys, starts, words = (np.concatenate([arrays[column] for arrays in kept]) for column in range(3))
    kept.clear()
    if len(keys):
        order = np.lexsort((starts, keys))
        keys, starts, words = keys[order], starts[order], words[order]
        del order
        _judge(keys, starts, words, coverage)


def _keys(documents: pa.Array) -> np.ndarray:
    """xxh3_64 of each id: uint64 of shape (G,). Each different id of the batch is hashed once."""
    encoded = documents.dictionary_encode()
    offsets, data = text_buffers(encoded.dictionary)
    view, digest = np.ascontiguousarray(data).data, xxhash.xxh3_64_intdigest
    hashed = np.array([digest(view[start:stop]) for start, stop in pairwise(offsets.tolist())], np.uint64)
    return hashed[encoded.indices.to_numpy()]


def _words(header: ShardHeader, batch: pa.RecordBatch, flat: pa.StructArray) -> np.ndarray:
    """Length and flags of each segment: int32 of shape (G,)."""
    if not len(flat):
        return np.zeros(0, np.int32)
    lengths = flat.field("length").to_numpy().astype(np.int64)
    starts = flat.field("start").to_numpy()
    fim = flat.field("fim").to_numpy(zero_copy_only=False)
    offsets = batch.column("segments").offsets.to_numpy().astype(np.int64)
    bounds = offsets - offsets[0]
    row = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    ahead = np.cumsum(lengths) - lengths
    first = row * header.sequence_length + ahead - ahead[bounds[:-1].clip(max=len(ahead) - 1)][row]
    special = header.special
    ends = _tokens_at(header, batch, first + lengths - 1) == special.eos
    if special.bos == special.eos:
        ends &= (starts > 0) | (lengths > 1)
    words = lengths.astype(np.int32) | np.where(ends, np.int32(_ENDS), 0) | np.where(fim, np.int32(_FIM), 0)
    pieces = np.flatnonzero(fim & ~((starts == 0) & ends))  # the whole ones are looked at shard by shard
    if len(pieces):
        inner = np.cumsum(lengths[pieces]) - lengths[pieces]
        owner = np.repeat(np.arange(len(pieces)), lengths[pieces])
        tokens = _tokens_at(header, batch, first[pieces][owner] + np.arange(len(owner)) - inner[owner])
        for number, marker in enumerate((special.fim_begin, special.fim_hole, special.fim_end)):
            if marker is not None:
                words[pieces[owner[tokens == marker]]] |= np.int32(_FIRST_MARKER << number)
    return words.astype(np.int32)


def _tokens_at(header: ShardHeader, batch: pa.RecordBatch, places: np.ndarray) -> np.ndarray:
    """Tokens at places of the flat batch, int32; a place outside of it (segments too long) gives its nearest one."""
    flat = token_rows(header, batch).reshape(-1)
    places = places.clip(0, batch.num_rows * header.sequence_length - 1)
    if header.storage != "packed":
        return flat[places]
    return unpack_rows(flat.reshape(-1, 3)[places].reshape(1, -1))[0]


def _judge(keys: np.ndarray, starts: np.ndarray, words: np.ndarray, coverage: _Coverage) -> None:
    """Judges whole documents by their segments, sorted by document and start. Each bad one has one kind of problem."""
    first_of_all = np.ones(1, bool)
    begin = np.flatnonzero(np.concatenate([first_of_all, keys[1:] != keys[:-1]]))
    last = np.append(begin[1:], len(keys)) - 1
    stops = starts[:-1] + (words[:-1] & ((1 << _LENGTH_BITS) - 1))
    gap, overlap = (np.concatenate([~first_of_all, flags]) for flags in (starts[1:] > stops, starts[1:] < stops))
    del stops
    again = np.concatenate([~first_of_all, starts[1:] == starts[:-1]])
    for flags in (gap, overlap, again):
        flags[begin] = False  # the segment before is another document's
    ends, fim, held_back = ((words & flag) > 0 for flag in (_ENDS, _FIM, _HELD_BACK))
    early = ends.copy()
    early[last] = False

    def any_of(flags: np.ndarray) -> np.ndarray:
        return np.logical_or.reduceat(flags, begin)

    some_held_back, all_held_back = any_of(held_back), ~any_of(~held_back)
    kinds = {
        BOTH_SIDES: some_held_back & ~all_held_back,
        "documents some of whose tokens occur twice": any_of(again),
        "documents without their beginning": starts[begin] != 0,
        "documents with a gap": any_of(gap),
        "documents with segments that overlap": any_of(overlap),
        "documents without their end": ~ends[last] & coverage.ends,
        "documents that go on after their end": any_of(early),
        "documents with unbalanced FIM tokens": _unbalanced(words, fim, begin, last),
    }
    coverage.documents[0] += int((~all_held_back).sum())
    coverage.documents[1] += int(some_held_back.sum())
    clean = np.ones(len(begin), bool)
    for kind, broken in kinds.items():
        bad = keys[begin[broken & clean]]
        clean &= ~broken
        if len(bad):
            count, some = coverage.bad.get(kind, (0, bad[:0]))
            coverage.bad[kind] = (count + len(bad), np.concatenate([some, bad[: MOST_BAD - len(some)]]))


def _unbalanced(words: np.ndarray, fim: np.ndarray, begin: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Whether a document in several segments is rearranged in part only, or lacks, repeats or mixes up its markers."""
    asked = (last > begin) & np.logical_or.reduceat(fim, begin)
    broken = np.zeros(len(begin), bool)
    if not asked.any():
        return broken
    sizes = last - begin + 1
    here, sizes = np.repeat(asked, sizes), sizes[asked]
    words, fim = words[here], fim[here]
    begin = np.cumsum(sizes) - sizes
    wrong = np.add.reduceat(fim.astype(np.int64), begin) < sizes
    previous = np.full(len(begin), -1, np.int64)
    for number in range(3):
        has = (words & (_FIRST_MARKER << number)) > 0
        at = np.maximum.reduceat(np.where(has, np.arange(len(words)), -1), begin)
        wrong |= (np.add.reduceat(has.astype(np.int64), begin) != 1) | (at < previous)
        previous = at
    broken[asked] = wrong
    return broken


def _names(folder: str, paths: Sequence[str], coverage: _Coverage) -> dict[str, list[str]]:
    """The first documents of each kind of problem, in the order of the shards: their ids and where they stand."""
    named: dict[str, dict[str, str]] = {kind: {} for kind in coverage.bad}
    wanted = {kind: min(count, MOST_NAMED) for kind, (count, _) in coverage.bad.items()}
    for path in paths:
        if all(len(named[kind]) == wanted[kind] for kind in named):
            break
        for _, row, batch in _batches(path):
            column = batch.column("segments")
            documents = column.flatten().field("document")
            keys, bounds = _keys(documents), column.offsets.to_numpy() - column.offsets[0].as_py()
            for kind, (_, bad) in coverage.bad.items():
                for at in np.flatnonzero(np.isin(keys, bad)):
                    if len(named[kind]) == wanted[kind]:
                        break
                    sequence = row + int(np.searchsorted(bounds, at, side="right")) - 1
                    named[kind].setdefault(
                        documents[int(at)].as_py(), f"{path[len(folder) :].lstrip('/')} row {sequence}"
                    )
    return {kind: [f"{name} in {where}" for name, where in places.items()] for kind, places in named.items()}
