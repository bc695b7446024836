"""Merging segments: the merged index answers as the old one, by fewer segments; and damage is never a wrong answer."""

import math
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup import index_files, index_segment
from corpusmill.dataproc.dedup.index import Index, find_matches
from corpusmill.dataproc.dedup.index_entries import SegmentEntry
from corpusmill.dataproc.dedup.merging import Merging, first_to_merge
from corpusmill.dataproc.errors import UserError
from tests.dataproc.dedup.test_index import SETTINGS, SLOTS, add, digests_of, draw_signatures


@settings(max_examples=60)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_by_the_rule_as_many_segments_stay_as_the_logarithm_of_their_documents(added):
    segments: list[int] = []
    rewritten = 0
    for documents in added:
        segments.append(documents)
        place = first_to_merge(segments)
        if place < len(segments):
            rewritten += sum(segments[place:])
            segments[place:] = [sum(segments[place:])]
        assert all(count > sum(segments[after + 1 :]) for after, count in enumerate(segments[:-1]))
    total = sum(segments)
    assert total == sum(added)
    assert len(segments) <= 1 + math.log2(total + 1)
    assert rewritten <= total * (1 + math.log2(total + 1))


def merge(folder: str, block_rows: int, partitions: int) -> SegmentEntry:
    """All segments as one, as the stage would make it."""
    generation = index_files.require_generation(folder)
    merging = Merging(folder, generation.segments)
    below, bounds = "segments/merged", [*range(0, merging.documents, block_rows), merging.documents]
    target = storage.join(folder, below)
    sizes = []
    for block, (start, stop) in enumerate(pairwise(bounds)):
        index_segment.write_signatures(target, block, merging.signatures(start, stop))
        index_segment.write_ids(target, block, merging.ids(start, stop))
        sizes.append(stop - start)
    for number in range(partitions):
        index_segment.write_keys(target, number, *merging.keys(number, partitions), merging.documents)
        index_segment.write_digests(target, number, *merging.digests(number, partitions), merging.documents)
    index_segment.write_segment(target, sizes, partitions=partitions, permutations=merging.permutations)
    digest = storage.digest_file(storage.join(target, "segment.json"))
    entry = SegmentEntry(number=99, folder=below, datasets=tuple(merging.datasets), bytes=0, digest=digest)
    index_files.change_index(
        folder,
        lambda current: index_files.Generation(
            number=0, settings=SETTINGS, next_segment=100, segments=(entry,), merged=current.segments
        ),
    )
    return entry


def answers(folder: str, new: np.ndarray) -> list[tuple]:
    opened = Index(folder)
    matches = find_matches(opened, digests_of(new), new, np.arange(len(new), dtype=np.uint64))
    ids, datasets = opened.names(matches.addresses)
    return list(zip(matches.documents, ids.to_pylist(), datasets.to_pylist(), matches.similarity, strict=True))


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    values=st.integers(2, 5),
    block_rows=st.integers(1, 50),
    partitions=st.integers(1, 7),
    dead=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 39))),
)
def test_a_merged_index_answers_as_the_segments_it_was_made_of(seed, sizes, values, block_rows, partitions, dead):
    folder = f"memory://{uuid4().hex}"
    for number, size in enumerate(sizes):
        add(folder, f"d{number}", draw_signatures(seed + 1 + number, size, values), 1 + number, block_rows=1 + seed % 9)
    gone = [sorted(row for of, row in dead if of == number and row < size) for number, size in enumerate(sizes)]
    index_files.retract_rows(folder, {number: np.array(rows, np.int64) for number, rows in enumerate(gone) if rows})
    new = draw_signatures(seed, 25, values)
    before = answers(folder, new)
    entry = merge(folder, block_rows, partitions)
    assert answers(folder, new) == before
    assert [one.documents for one in entry.datasets] == [
        size - len(rows) for size, rows in zip(sizes, gone, strict=True)
    ]


def test_a_dataset_is_retracted_from_a_merged_segment_and_stays_out_of_the_next_one():
    folder, new = f"memory://{uuid4().hex}", draw_signatures(9, 25)
    for number in range(3):
        add(folder, f"d{number}", draw_signatures(1 + number, 20))
    without = f"memory://{uuid4().hex}"
    for number in (0, 2):
        add(without, f"d{number}", draw_signatures(1 + number, 20))
    merge(folder, 13, 2)
    entry, one = index_files.retract_dataset(folder, "d1")
    assert (entry.number, one.documents) == (99, 20)
    assert answers(folder, new) == answers(without, new) != []
    with pytest.raises(UserError, match="not in the index"):
        index_files.retract_dataset(folder, "d1")
    assert index_files.find_dataset(folder, index_files.require_generation(folder), "d1", "d1") is None
    again = Merging(folder, index_files.require_generation(folder).segments)
    assert [dataset.path for dataset in again.datasets] == ["d0", "d2"] and again.documents == 40
    for name in ("d0", "d2"):
        index_files.retract_dataset(folder, name)
    assert not index_files.require_generation(folder).segments


def test_a_damaged_file_of_an_index_is_one_line_and_never_a_wrong_answer(tmp_path: Path):
    folder = str(tmp_path / "index")
    add(folder, "a", draw_signatures(1, 30), block_rows=20)
    add(folder, "b", draw_signatures(2, 30))
    index_files.retract_rows(folder, {0: np.array([1, 3])})
    new = draw_signatures(3, 20)
    right = answers(folder, new)
    draw = np.random.default_rng(5)
    newest = sorted((tmp_path / "index/generations").iterdir())[-1]
    files = [path for path in sorted((tmp_path / "index").rglob("*")) if path.is_file()]
    files = [path for path in files if path.parent.name != "generations" or path == newest]
    assert {path.parent.name for path in files} >= {"keys", "digests", "signatures", "ids", "tombstones", "generations"}
    noticed = 0
    for path in files:
        whole = path.read_bytes()
        flips = []
        for place in draw.integers(0, len(whole), 6).tolist():
            changed = bytearray(whole)
            changed[place] ^= 1 << int(draw.integers(8))
            flips.append(bytes(changed))
        for damage in (*flips, whole[: len(whole) // 2], b"", whole + whole, bytes(len(whole)), None):
            path.unlink()
            if damage is not None:
                path.write_bytes(damage)
            try:
                after = answers(folder, new)
            except UserError as error:
                noticed += 1
                assert "\n" not in str(error)
            else:
                assert after == right or (damage is None and path == newest), path
            path.write_bytes(whole)
    assert noticed > 6 * len(files)
    assert answers(folder, new) == right


def test_slots_of_a_signature_are_taken_over():
    folder = f"memory://{uuid4().hex}"
    add(folder, "a", draw_signatures(1, 3))
    assert Merging(folder, index_files.require_generation(folder).segments).permutations == SLOTS
