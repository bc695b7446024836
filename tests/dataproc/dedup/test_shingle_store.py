"""Sets of shingles in one array: the same sets in memory and by way of a file."""

import gc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.dedup.shingle_store import store_sets

LISTS = [[[1, 5], [], [7]], [], [[2, 2**63]], [[3]] * 4]


def arrays() -> list[pa.LargeListArray]:
    return [pa.array(sets, pa.large_list(pa.uint64())) for sets in LISTS]


@pytest.mark.parametrize("held_bytes", [1 << 20, 0])
def test_every_document_finds_its_set(tmp_path: Path, held_bytes: int) -> None:
    stored = store_sets(arrays(), str(tmp_path), held_bytes)
    sets = [stored.hashes[start:stop].tolist() for start, stop in zip(stored.starts, stored.stops, strict=True)]
    assert sets == [one for some in LISTS for one in some]


def test_a_slice_of_an_array_is_not_the_whole(tmp_path: Path) -> None:
    stored = store_sets([arrays()[0].slice(2), arrays()[3].slice(1, 2)], str(tmp_path))
    assert stored.hashes.tolist() == [7, 3, 3]
    assert np.diff(stored.starts).tolist() == [1, 1]


def test_the_file_has_no_name_and_is_gone_with_the_array(tmp_path: Path) -> None:
    stored = store_sets(arrays(), str(tmp_path), 0)
    assert not list(tmp_path.iterdir())
    assert stored.hashes.sum() > 0
    del stored
    gc.collect()
