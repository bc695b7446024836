"""Asks an index which of its documents a new document duplicates: look up, verify on signatures, keep the best.

An index is a list of immutable segments (`index_files`, `index_segment`), so a new crawl costs itself: adding writes
one segment, whatever is there already, and merging keeps them few (`merging`). A query brings band keys and digests of
new documents, sorted; each segment's sorted keys are walked by galloping search, log2 of the distance a key, so a small
query reads little of a large index and a large query reads it once, in order. What shares a key is verified on full
signatures, by the same floor as in a joint run.

A hot bucket (boilerplate shared by a million documents) is not compared with whole: a new document is compared with
the bucket's first `BUCKET_MEMBERS` documents by address, over all segments, and with its last. First and last are what
the star and the chain of `candidates` compare it with, so every pair of a new and an old document that a joint run
verifies is found here, too, and in buckets of up to `BUCKET_MEMBERS` + 1 old documents every pair there is. What that
loses is a document whose only similar ones lie in the middle of a hot bucket in every band that they share; at the
threshold, with 18 bands of 6 rows, two documents share 4.7 bands on average, and those of real text are rarely hot.
Work is linear: each key of the index is passed at most once for a partition's queries, each query row verifies at most
`BUCKET_MEMBERS` + 1 pairs.

Cost, measured in memory: 40 ns a query key for sorting, then 16 ns a key and segment where the query has a tenth of the
segment's keys and 350 ns where it has one in 10,000. Memory: 88 bytes a different query key, and blocks of
`VERIFY_BLOCK` pairs with their signatures (64 MiB at 128 slots).
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup.banding import Banding, choose_bands, estimate_floor
from corpusmill.dataproc.dedup.bands import band_keys, key_rows
from corpusmill.dataproc.dedup.index_entries import Generation
from corpusmill.dataproc.dedup.index_files import ROW_BITS, read_tombstone, require_generation
from corpusmill.dataproc.dedup.index_matches import (
    Matches,
    best_matches,
    joined_matches,
    no_matches,
    sorted_matches,
    unique_matches,
)
from corpusmill.dataproc.dedup.index_segment import DIGESTS, KEYS, Segment
from corpusmill.dataproc.dedup.minhash import MinHashSettings, similarity
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part

EXACT, MINHASH = "exact", "minhash"
BUCKET_MEMBERS = 8
VERIFY_BLOCK = 1 << 16
NOBODY = np.uint64(0xFFFFFFFFFFFFFFFF)
"""No document's address: segment numbers stay below their greatest value."""


def index_settings(
    *,
    method: Sequence[str],
    normalise: Sequence[str],
    threshold: float,
    recall: float,
    permutations: int,
    shingle: Literal["word", "character"],
    ngram: int,
    seed: int,
) -> dict[str, Any]:
    """What an index is made by, to be written down with it; bands and rows follow from the rest."""
    signed = MinHashSettings(permutations=permutations, ngram=ngram, seed=seed & 0xFFFFFFFF, shingle=shingle)
    banding = choose_bands(threshold, permutations, recall) if MINHASH in method else Banding(0, 0)
    return {
        "method": sorted(set(method)),
        "normalise": sorted(set(normalise)),
        "threshold": threshold,
        "recall": recall,
        "permutations": signed.permutations,
        "shingle": signed.shingle,
        "ngram": signed.ngram,
        "seed": signed.seed,
        "hash_version": signed.version,
        "bands": banding.bands,
        "rows": banding.rows,
    }


def minhash_settings(settings: dict[str, Any]) -> MinHashSettings:
    """How an index's documents were signed. Raises UserError for a version of the hashes that is not ours."""
    return MinHashSettings(
        permutations=settings["permutations"],
        shingle=settings["shingle"],
        ngram=settings["ngram"],
        seed=settings["seed"],
        version=settings["hash_version"],
    )


@kernel_part
def _gallop(values, start, wanted):
    """The first place from `start` on whose value is not below the wanted one, in log2 of the distance."""
    low, high, step = start, start, 1
    while high < values.shape[0] and values[high] < wanted:
        low = high + 1
        high += step
        step *= 2
    high = min(high, values.shape[0])
    while low < high:
        middle = (low + high) // 2
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@kernel_part
def _holds(rows, row):
    """Whether sorted rows hold one."""
    at = _gallop(rows, 0, row) if rows.shape[0] else 0
    return at < rows.shape[0] and rows[at] == row


@kernel
def _collect_members(keys, rows, dead, base, queries, members, counts, last):
    """Adds a sorted run's buckets to those of the queries.

    `members`, uint64 of shape (Q, B), gets the first addresses of each bucket, `counts` says how many, and `last`,
    uint64 of shape (Q,), gets the last one. Runs come in the order of their addresses.
    """
    position = 0
    for query in range(queries.shape[0]):
        position = _gallop(keys, position, queries[query])
        member = position
        while member < keys.shape[0] and keys[member] == queries[query]:
            row = np.uint64(rows[member])
            member += 1
            if _holds(dead, row):
                continue
            last[query] = base | row
            if counts[query] < members.shape[1]:
                members[query, counts[query]] = base | row
                counts[query] += 1


@kernel
def _find_equal(high, low, rows, dead, base, query_high, query_low, addresses):
    """Sets `addresses`, uint64 of shape (Q,), to the first address with each query's digest, where it is NOBODY."""
    position = 0
    for query in range(query_high.shape[0]):
        position = _gallop(high, position, query_high[query])
        place = position
        while addresses[query] == NOBODY and place < high.shape[0] and high[place] == query_high[query]:
            row = np.uint64(rows[place])
            if low[place] == query_low[query] and not _holds(dead, row):
                addresses[query] = base | row
            place += 1


def call_kernels() -> None:
    """For the warm-up: a call of each kernel with the types of a segment of fewer than 2^32 documents."""
    keys = read_only(np.zeros(1), np.uint64)
    rows, base = read_only(np.zeros(1), np.uint32), np.uint64(0)
    members, counts, last = np.zeros((1, BUCKET_MEMBERS), np.uint64), np.zeros(1, np.int64), np.zeros(1, np.uint64)
    _collect_members(keys, rows, keys, base, keys, members, counts, last)
    _find_equal(keys, keys, rows, keys, base, keys, keys, np.full(1, NOBODY))


class Index:
    """An index for reading, as of one generation. Holds 8 bytes a block of its datasets and a retracted row.

    Args:
        folder: of the index.
        generation: its number; the newest if None.

    Raises UserError where there is no index, or one by hashes of another version.
    """

    def __init__(self, folder: str, generation: int | None = None) -> None:
        self.folder = folder
        self.generation: Generation = require_generation(folder, generation)
        self.settings = self.generation.settings
        self.minhash = minhash_settings(self.settings)
        entries = self.generation.segments
        self.segments = {entry.number: Segment(storage.join(folder, entry.folder), entry.digest) for entry in entries}
        self._dead = {entry.number: read_only(read_tombstone(folder, entry), np.uint64) for entry in entries}

    def signatures(self, addresses: np.ndarray) -> np.ndarray:
        """The signatures of rising addresses: uint32 of shape (N, K)."""
        taken = np.empty((len(addresses), self.minhash.permutations), np.uint32)
        for number, which, rows in _by_segment(addresses):
            taken[which] = self.segments[number].take_signatures(rows)
        return taken

    def names(self, addresses: np.ndarray) -> tuple[pa.Array, pa.Array]:
        """(ids, datasets), string arrays: who the documents at any addresses are."""
        entries = {entry.number: entry for entry in self.generation.segments}
        unique, places = np.unique(addresses, return_inverse=True)
        ids: list[pa.Array] = []
        named: list[str] = []
        for number, _, rows in _by_segment(unique):
            ids.extend(self.segments[number].take_ids(rows).chunks)
            datasets = entries[number].datasets
            ends = np.cumsum([dataset.documents for dataset in datasets])
            named.extend(datasets[place].path for place in np.searchsorted(ends, rows, side="right").tolist())
        taken = pa.array(places)
        return (
            pa.chunked_array(ids, pa.string()).combine_chunks().take(taken),
            pa.array(named, pa.string()).take(taken),
        )


def _by_segment(addresses: np.ndarray) -> Iterator[tuple[int, slice, np.ndarray]]:
    """(segment, which of the addresses lie in it, their rows int64) of rising addresses."""
    number = (addresses >> np.uint64(ROW_BITS)).astype(np.int64)
    rows = (addresses & np.uint64((1 << ROW_BITS) - 1)).astype(np.int64)
    edges = [*np.flatnonzero(np.diff(number, prepend=-1)).tolist(), len(addresses)]
    for start, stop in pairwise(edges):
        yield int(number[start]), slice(start, stop), rows[start:stop]


def match_digests(index: Index, digests: np.ndarray, documents: np.ndarray) -> Matches:
    """The first document of the index with each digest, if there is one.

    Args:
        digests: uint64 of shape (N, 2), from `exact.text_digests`.
        documents: uint64 of shape (N,), the caller's numbers.
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    high, low = read_only(digests[order, 0], np.uint64), read_only(digests[order, 1], np.uint64)
    matched = np.full(len(order), NOBODY)
    for number, segment in index.segments.items():
        base = np.uint64(number << ROW_BITS)
        for which, columns in segment.runs(DIGESTS, high):
            run = [read_only(column, column.dtype) for column in columns]
            _find_equal(*run, index._dead[number], base, high[which], low[which], matched[which])
    hit = matched != NOBODY
    owners, addresses = documents[order[hit]], matched[hit]
    return sorted_matches(Matches(owners, addresses, np.ones(len(owners)), np.ones(len(owners), bool)))


def match_keys(
    index: Index,
    keys: np.ndarray,
    documents: np.ndarray,
    signatures: Callable[[np.ndarray], np.ndarray],
    threshold: float | None = None,
) -> Matches:
    """All documents of the index that share a key with one of the caller's and pass verification (hot buckets: above).

    Args:
        keys, documents: uint64 of shape (M,), rows of the shuffle: a key, and the caller's number of who has it.
        signatures: gives the signatures, uint32 of shape (n, K), of the caller's rising documents.
        threshold: Jaccard similarity to verify at; that of the index if None.
    """
    floor = estimate_floor(index.settings["threshold"] if threshold is None else threshold, index.minhash.permutations)
    queries, owner_keys = np.unique(keys, return_inverse=True)
    queries = read_only(queries, np.uint64)
    members = np.empty((len(queries), BUCKET_MEMBERS), np.uint64)
    counts, last = np.zeros(len(queries), np.int64), np.zeros(len(queries), np.uint64)
    for number, segment in index.segments.items():
        base = np.uint64(number << ROW_BITS)
        for which, columns in segment.runs(KEYS, queries):
            run = [read_only(column, column.dtype) for column in columns]
            _collect_members(
                *run, index._dead[number], base, queries[which], members[which], counts[which], last[which]
            )
    hit = np.flatnonzero(counts[owner_keys])
    passed = [no_matches()]
    rows_a_block = max(1, 4 * VERIFY_BLOCK // (BUCKET_MEMBERS + 1))
    for start in range(0, len(hit), rows_a_block):
        rows = hit[start : start + rows_a_block]
        pairs = _expand(documents[rows], members, counts, last, owner_keys[rows])
        passed.extend(_verify(index, *pairs, signatures, floor))
    return unique_matches(joined_matches(passed))


def _expand(
    documents: np.ndarray, members: np.ndarray, counts: np.ndarray, last: np.ndarray, buckets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The different pairs (documents, addresses) of documents and the members of their buckets, by (address, document).

    By address, so that signatures of neighbours in the index are read together.
    """
    inside = np.arange(BUCKET_MEMBERS) < counts[buckets, None]
    full = np.flatnonzero(counts[buckets] == BUCKET_MEMBERS)
    beyond = full[last[buckets[full]] > members[buckets[full], -1]]
    owners = np.concatenate([np.repeat(documents, inside.sum(axis=1)), documents[beyond]])
    addresses = np.concatenate([members[buckets][inside], last[buckets[beyond]]])
    order = np.lexsort((owners, addresses))
    owners, addresses = owners[order], addresses[order]
    fresh = np.ones(len(owners), bool)
    fresh[1:] = (owners[1:] != owners[:-1]) | (addresses[1:] != addresses[:-1])
    return owners[fresh], addresses[fresh]


def _verify(
    index: Index,
    documents: np.ndarray,
    addresses: np.ndarray,
    signatures: Callable[[np.ndarray], np.ndarray],
    floor: float,
) -> Iterator[Matches]:
    """Those of the pairs whose signatures are similar enough, a block at a time."""
    for start in range(0, len(documents), VERIFY_BLOCK):
        block = slice(start, start + VERIFY_BLOCK)
        new, new_row = np.unique(documents[block], return_inverse=True)
        old, old_row = np.unique(addresses[block], return_inverse=True)
        similar = similarity(signatures(new), index.signatures(old), new_row, old_row)
        enough = similar >= floor
        yield Matches(
            documents[block][enough], addresses[block][enough], similar[enough], np.zeros(int(enough.sum()), bool)
        )


def find_matches(
    index: Index, digests: np.ndarray, signatures: np.ndarray, documents: np.ndarray, threshold: float | None = None
) -> Matches:
    """The best match of each document that has one, by the methods of the index; what a notebook or a part needs.

    Args:
        digests: uint64 of shape (N, 2).
        signatures: uint32 of shape (N, K), by `index.minhash`.
        documents: uint64 of shape (N,), rising: the caller's numbers, as rows of a part.
        threshold: as in `match_keys`.
    """
    by_method: list[Matches] = []
    if EXACT in index.settings["method"]:
        by_method.append(match_digests(index, digests, documents))
    if MINHASH in index.settings["method"]:
        keys = band_keys(signatures, index.settings["bands"], index.settings["rows"])

        def take(wanted: np.ndarray) -> np.ndarray:
            return signatures[np.searchsorted(documents, wanted)]

        by_method.append(match_keys(index, *key_rows(keys, documents), take, threshold))
    return best_matches(by_method)


def require_matchable(index: Index, threshold: float) -> None:
    """Raises UserError for a threshold below the index's, at which its bands overlook more pairs than was promised."""
    least = index.settings["threshold"]
    if threshold < least:
        what = f"this index was made for a threshold of {least}, not {threshold}"
        raise UserError(what, where=index.folder, hint=f"ask for {least} or more, or make a new index")
