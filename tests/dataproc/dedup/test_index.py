"""The index: what a query finds against brute force and against a joint run, and that nothing else changes it."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup import index, index_files, index_segment
from corpusmill.dataproc.dedup.banding import estimate_floor
from corpusmill.dataproc.dedup.bands import band_keys, key_rows
from corpusmill.dataproc.dedup.candidates import candidate_pairs
from corpusmill.dataproc.dedup.index import (
    BUCKET_MEMBERS,
    Index,
    find_matches,
    index_settings,
    match_digests,
    match_keys,
    require_matchable,
)
from corpusmill.dataproc.dedup.index_entries import DatasetEntry, SegmentEntry
from corpusmill.dataproc.dedup.index_files import ROW_BITS
from corpusmill.dataproc.dedup.index_matches import best_matches
from corpusmill.dataproc.dedup.minhash import similarity
from corpusmill.dataproc.dedup.shuffle import partition_order
from corpusmill.dataproc.errors import UserError

BANDS, ROWS, SLOTS, THRESHOLD = 4, 2, 8, 0.7
SETTINGS = index_settings(
    method=("minhash", "exact"),
    normalise=(),
    threshold=THRESHOLD,
    recall=0.5,
    permutations=SLOTS,
    shingle="word",
    ngram=5,
    seed=3,
) | {"bands": BANDS, "rows": ROWS}
FLOOR = estimate_floor(THRESHOLD, SLOTS)


def draw_signatures(seed: int, count: int, values: int = 3) -> np.ndarray:
    """Signatures over so few values that bands are shared, also by many."""
    return np.random.default_rng(seed).integers(0, values, (count, SLOTS), dtype=np.uint32)


def digests_of(signatures: np.ndarray) -> np.ndarray:
    """Equal signatures stand for equal texts here; the lower halves differ where the upper ones do not."""
    return np.stack([signatures[:, 0].astype(np.uint64), signatures @ (1 << np.arange(SLOTS) * 4)], axis=1).astype("u8")


def add(folder: str, name: str, signatures: np.ndarray, partitions: int = 3, block_rows: int = 7) -> SegmentEntry:
    """A segment of these documents, named `name/0`, `name/1`, …, as the stage would make it."""
    below = f"segments/{name}"
    target, count = storage.join(folder, below), len(signatures)
    rows = np.arange(count)
    blocks = [rows[start : start + block_rows] for start in range(0, count, block_rows)]
    for number, block in enumerate(blocks):
        index_segment.write_signatures(target, number, [np.ascontiguousarray(signatures[block])])
        index_segment.write_ids(target, number, pa.array([f"{name}/{row}" for row in block.tolist()]))
    keys, owners = key_rows(band_keys(signatures, BANDS, ROWS), rows.astype(np.uint64))
    for number, chosen in partitioned(keys, partitions):
        index_segment.write_keys(target, number, keys[chosen], owners[chosen].astype(np.int64), count)
    digests = digests_of(signatures)
    for number, chosen in partitioned(digests[:, 0], partitions):
        index_segment.write_digests(target, number, digests[chosen], rows[chosen], count)
    index_segment.write_segment(target, [len(block) for block in blocks], partitions=partitions, permutations=SLOTS)
    return index_files.list_segment(folder, SETTINGS, entry_of(folder, below, (name, count)))


def entry_of(folder: str, below: str, *datasets: tuple[str, int]) -> SegmentEntry:
    """The entry of a segment that was written, before it has a number."""
    listed = tuple(DatasetEntry(path=name, manifest=name, documents=count) for name, count in datasets)
    digest = storage.digest_file(storage.join(folder, below, "segment.json"))
    return SegmentEntry(number=0, folder=below, datasets=listed, bytes=0, digest=digest)


def partitioned(keys: np.ndarray, partitions: int) -> Iterator[tuple[int, np.ndarray]]:
    order, bounds = partition_order(keys, partitions)
    for number, (start, stop) in enumerate(pairwise(bounds.tolist())):
        yield number, order[start:stop]


def address(segment: int, row: int) -> int:
    return segment << ROW_BITS | row


def pairs_found(opened: Index, signatures: np.ndarray) -> set[tuple[int, int]]:
    documents = np.arange(len(signatures), dtype=np.uint64)
    keys, owners = key_rows(band_keys(signatures, BANDS, ROWS), documents)
    matches = match_keys(opened, keys, owners, lambda wanted: signatures[wanted.astype(int)])
    return set(zip(matches.documents.tolist(), matches.addresses.tolist(), strict=True))


def slow_pairs(old: dict[int, np.ndarray], new: np.ndarray, bound: int | None) -> set[tuple[int, int]]:
    """(new document, address) of all that share a band and are similar; of each bucket the first `bound`, and the last.

    Args:
        old: signature by address.
        bound: None for the whole bucket.
    """
    buckets = defaultdict(list)
    for where in sorted(old):
        for band in range(BANDS):
            buckets[band, old[where][band * ROWS : (band + 1) * ROWS].tobytes()].append(where)
    pairs = set()
    for document in range(len(new)):
        for band in range(BANDS):
            bucket = buckets[band, new[document][band * ROWS : (band + 1) * ROWS].tobytes()]
            chosen = bucket if bound is None else bucket[:bound] + bucket[-1:]
            pairs |= {(document, where) for where in chosen if (old[where] == new[document]).mean() >= FLOOR}
    return pairs


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "index") if request.param == "local" else f"memory://{uuid4().hex}/index"


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    values=st.integers(2, 6),
    partitions=st.integers(1, 4),
)
def test_a_query_finds_what_brute_force_finds_and_no_less_than_a_joint_run(seed, sizes, values, partitions):
    folder = f"memory://{uuid4().hex}"
    new = draw_signatures(seed, 25, values)
    old = {}
    for number, size in enumerate(sizes):
        signatures = draw_signatures(seed + 1 + number, size, values)
        add(folder, f"d{number}", signatures, partitions, block_rows=1 + seed % 9)
        old |= {address(number, row): signatures[row] for row in range(size)}
    pairs = pairs_found(Index(folder), new)
    assert pairs == slow_pairs(old, new, BUCKET_MEMBERS)

    # A joint run over old and new documents, the old ones first: its verified pairs of one of each
    everything = np.concatenate([np.array(list(old.values()), np.uint32).reshape(-1, SLOTS), new])
    places = [*old, *range(len(new))]
    keys, owners = key_rows(band_keys(everything, BANDS, ROWS), np.arange(len(everything), dtype=np.uint64))
    left, right = (side.astype(np.int64) for side in candidate_pairs(keys, owners))
    mixed = (left < len(old)) & (right >= len(old))
    left, right = left[mixed], right[mixed]
    similar = similarity(everything, everything, left, right) >= FLOOR
    joint = {(places[b], places[a]) for a, b in zip(left[similar].tolist(), right[similar].tolist(), strict=True)}
    assert joint <= pairs


def test_buckets_within_the_bound_are_compared_with_whole(folder):
    old, new = draw_signatures(1, 30, 40), draw_signatures(2, 5, 40)
    new[:3] = old[:3]
    new[3], new[4] = old[29], old[28]
    new[:, 0] ^= 77
    add(folder, "a", old)
    everything = slow_pairs({address(0, row): old[row] for row in range(30)}, new, None)
    assert pairs_found(Index(folder), new) == everything != set()


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 40), values=st.integers(2, 5))
def test_two_datasets_one_after_the_other_are_one_dataset_but_for_addresses(seed, cut, values):
    together, apart = f"memory://{uuid4().hex}", f"memory://{uuid4().hex}"
    old, new = draw_signatures(seed, 40, values), draw_signatures(seed + 1, 25, values)
    add(together, "both", old)
    add(apart, "first", old[:cut], partitions=2)
    add(apart, "second", old[cut:], partitions=5)

    def place(where: int) -> int:
        return where if where < cut else address(1, where - cut)

    assert pairs_found(Index(apart), new) == {(b, place(a)) for b, a in pairs_found(Index(together), new)}
    documents = np.arange(len(new), dtype=np.uint64)
    one = find_matches(Index(together), digests_of(new), new, documents)
    two = find_matches(Index(apart), digests_of(new), new, documents)
    assert [place(where) for where in one.addresses.tolist()] == two.addresses.tolist()
    assert all(np.array_equal(a, b) for a, b in ((one.documents, two.documents), (one.similarity, two.similarity)))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), dead=st.sets(st.integers(0, 29)), values=st.integers(2, 4))
def test_retracted_documents_are_as_if_they_had_never_been_there(seed, dead, values):
    folder = f"memory://{uuid4().hex}"
    old, new = draw_signatures(seed, 30, values), draw_signatures(seed + 1, 20, values)
    add(folder, "gone", draw_signatures(seed + 2, 30, values))
    add(folder, "stays", old)
    index_files.retract_dataset(folder, "gone")
    half = sorted(dead)[::2]
    assert index_files.retract_rows(folder, {1: np.array(half, np.int64)}) == len(half)
    assert index_files.retract_rows(folder, {1: np.array(sorted(dead), np.int64)}) == len(dead) - len(half)
    live = {address(1, row): old[row] for row in range(30) if row not in dead}
    assert pairs_found(Index(folder), new) == slow_pairs(live, new, BUCKET_MEMBERS)
    documents = np.arange(len(new), dtype=np.uint64)
    exact = match_digests(Index(folder), digests_of(new), documents)
    first = {old[row].tobytes(): address(1, row) for row in reversed(range(30)) if row not in dead}
    wanted = {row: first[new[row].tobytes()] for row in range(20) if new[row].tobytes() in first}
    assert dict(zip(exact.documents.tolist(), exact.addresses.tolist(), strict=True)) == wanted


def test_the_best_match_is_exact_before_similar_before_early(folder):
    old = draw_signatures(5, 3, 1000)
    old[1] = old[0]
    old[1, :2] += 1
    old[2] = old[0]
    add(folder, "a", old)
    new = np.stack([old[0], old[0]])
    new[1, 7] += 5
    digests = digests_of(new)
    digests[0] = digests_of(old)[2]
    matches = find_matches(Index(folder), digests, new, np.array([4, 9], np.uint64))
    assert matches.documents.tolist() == [4, 9]
    assert matches.addresses.tolist() == [0, 0]
    assert matches.exact.tolist() == [True, False] and matches.similarity.tolist() == [1.0, 7 / 8]
    ids, datasets = Index(folder).names(np.array([2, 0, 2, 1], np.uint64))
    assert ids.to_pylist() == ["a/2", "a/0", "a/2", "a/1"] and datasets.to_pylist() == ["a"] * 4
    assert len(best_matches([matches, matches]).documents) == 2


def test_a_hot_bucket_costs_each_document_a_bounded_number_of_pairs(folder):
    old = np.arange(500 * SLOTS, dtype=np.uint32).reshape(500, SLOTS)
    old[:, :ROWS] = 7  # boilerplate: one band in common and nothing else
    add(folder, "hot", old, block_rows=100)
    new = np.arange(10**6, 10**6 + 300 * SLOTS, dtype=np.uint32).reshape(300, SLOTS)
    new[:, :ROWS] = 7
    compared = []

    def take(wanted: np.ndarray) -> np.ndarray:
        compared.append(len(wanted))
        return new[wanted.astype(int)]

    opened = Index(folder)
    asked = []
    real = opened.signatures
    opened.signatures = lambda addresses: asked.extend(addresses.tolist()) or real(addresses)  # type: ignore[method-assign]
    keys, owners = key_rows(band_keys(new, BANDS, ROWS), np.arange(300, dtype=np.uint64))
    assert len(match_keys(opened, keys, owners, take, 0.9).documents) == 0
    assert sorted(set(asked)) == [*range(BUCKET_MEMBERS), 499] and sum(compared) == 300


def test_documents_without_words_match_nobody_by_signature(folder):
    old = np.full((4, SLOTS), 0xFFFFFFFF, np.uint32)
    add(folder, "empty", old)
    assert pairs_found(Index(folder), old) == set()


def test_an_index_of_empty_datasets_is_an_index(folder):
    add(folder, "none", np.zeros((0, SLOTS), np.uint32))
    assert pairs_found(Index(folder), draw_signatures(1, 5)) == set()
    ids, datasets = Index(folder).names(np.zeros(0, np.uint64))
    assert len(ids) == len(datasets) == 0


def test_rows_of_eight_bytes_find_the_same(folder, monkeypatch: pytest.MonkeyPatch):
    assert [index_segment.row_type(1 << 32), index_segment.row_type((1 << 32) + 1)] == [np.uint32, np.uint64]
    old, new = draw_signatures(1, 30), draw_signatures(2, 10)
    add(folder, "narrow", old)
    narrow = pairs_found(Index(folder), new)
    index_files.retract_dataset(folder, "narrow")
    monkeypatch.setattr(index_segment, "row_type", lambda documents: np.uint64)
    add(folder, "wide", old)
    assert {(b, a - address(1, 0)) for b, a in pairs_found(Index(folder), new)} == narrow != set()


def test_kernels_are_compiled_for_what_they_are_called_with(folder):
    index.call_kernels()
    kernels = index._collect_members, index._find_equal
    before = [len(kernel.signatures) for kernel in kernels]
    old = draw_signatures(1, 30)
    add(folder, "a", old)
    find_matches(Index(folder), digests_of(old), old, np.arange(30, dtype=np.uint64))
    assert [len(kernel.signatures) for kernel in kernels] == before


def test_documents_signed_otherwise_are_not_compared(folder):
    index_files.require_comparable(folder, SETTINGS, SETTINGS | {"method": ["exact"], "ngram": 9, "bands": 0})
    for changed in ({"ngram": 6}, {"seed": 4}, {"threshold": 0.9}, {"normalise": ["case"]}, {"hash_version": 1}):
        with pytest.raises(UserError, match="this index was made with"):
            index_files.require_comparable(folder, SETTINGS, SETTINGS | changed)
    with pytest.raises(UserError, match="was not built for 'minhash'"):
        index_files.require_comparable(folder, SETTINGS | {"method": ["exact"]}, SETTINGS)


def test_many_who_change_an_index_at_once_lose_nothing(tmp_path: Path):
    folder, signatures = str(tmp_path / "index"), draw_signatures(1, 5)
    failed = []

    def work(name: str) -> None:
        try:
            add(folder, name, signatures)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(f"d{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    generation = index_files.require_generation(folder)
    assert not failed
    assert [entry.number for entry in generation.segments] == list(range(12))
    assert {entry.dataset for entry in generation.segments} == {f"d{number}" for number in range(12)}
    assert generation.number == 11


def test_the_second_of_two_changes_is_made_on_top_of_the_first(folder):
    add(folder, "a", draw_signatures(1, 5))
    calls = []

    def slow(current):
        if not calls:
            add(folder, "b", draw_signatures(2, 5))  # somebody else, in between
        calls.append(current.number)
        return current

    changed = index_files.change_index(folder, slow)
    assert calls == [0, 1] and changed.number == 2
    assert [entry.dataset for entry in changed.segments] == ["a", "b"]


def test_numbers_are_never_given_again(folder):
    for name in ("a", "b"):
        add(folder, name, draw_signatures(1, 5))
    assert index_files.retract_dataset(folder, "b")[0].number == 1
    assert not storage.exists(storage.join(folder, "segments/b"))
    assert add(folder, "c", draw_signatures(1, 5)).number == 2
    with pytest.raises(UserError, match="not in the index"):
        index_files.retract_dataset(folder, "b")


def test_adding_what_is_there_changes_nothing(folder):
    add(folder, "a", draw_signatures(1, 5))
    assert add(folder, "a", draw_signatures(1, 5)).number == 0
    assert index_files.require_generation(folder).number == 0


def test_mistakes_are_told(folder):
    with pytest.raises(UserError, match="not an index"):
        Index(folder)
    add(folder, "a", draw_signatures(1, 5))
    with pytest.raises(UserError, match=r"threshold of 0\.7, not 0\.4"):
        require_matchable(Index(folder), 0.4)
    with pytest.raises(UserError, match="with ngram 5, not 6"):
        index_files.require_same_settings(folder, SETTINGS, SETTINGS | {"ngram": 6})
    other = DatasetEntry(path="a", manifest="other", documents=1)
    entry = SegmentEntry(number=0, folder="x", datasets=(other,), bytes=1, digest="")
    with pytest.raises(UserError, match="with different contents"):
        index_files.list_segment(folder, SETTINGS, entry)
    storage.remove(storage.join(folder, "segments/a/signatures"))
    with pytest.raises(UserError, match="is missing"):
        pairs_found(Index(folder), draw_signatures(1, 5))
    storage.commit_bytes(storage.join(folder, "generations/00000007.json"), b'{"schema": 9}')
    with pytest.raises(UserError, match="has schema 9"):
        Index(folder)
    storage.commit_bytes(
        storage.join(folder, "generations/00000008.json"), b'{"schema": 2, "digest": "", "segments": []}'
    )
    with pytest.raises(UserError, match="damaged: the digest in it differs"):
        Index(folder)
    storage.commit_bytes(storage.join(folder, "generations/00000008.json"), b"[]")
    with pytest.raises(UserError, match="not a generation"):
        Index(folder)
