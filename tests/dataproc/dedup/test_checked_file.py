"""Files with a checksum for each 64 KiB: what is read is what was written, or an error, whatever became of the file."""

from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc import storage
from corpusmill.dataproc.dedup.checked_file import CHUNK_BYTES, CheckedFile, write_checked
from corpusmill.dataproc.errors import UserError

NAME = "keys/partition-0000.bin"


def drawn(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def read(path: str, start: int, stop: int, name: str = NAME) -> bytes:
    file = CheckedFile(path, name)
    file.check_range(start, stop)
    return file.array(np.uint8)[start:stop].tobytes()


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3 * CHUNK_BYTES), max_size=4),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_any_range_is_what_was_written_however_it_was_cut(sizes, where):
    path = f"memory://{uuid4().hex}/file"
    data = drawn(sum(sizes))
    cuts = np.cumsum([0, *sizes])
    write_checked(path, NAME, [data[a:b] for a, b in pairwise(cuts)])
    start, stop = sorted(int(share * len(data)) for share in where)
    assert read(path, start, stop) == data[start:stop].tobytes()
    firsts = CheckedFile(path, NAME).first_words
    padded = np.concatenate([data, np.zeros(8, np.uint8)])
    assert firsts.tolist() == [
        int.from_bytes(padded[place : place + 8].tobytes(), "little") for place in range(0, len(data), CHUNK_BYTES)
    ]


@pytest.mark.parametrize("size", [1, 100, CHUNK_BYTES, 2 * CHUNK_BYTES + 77])
def test_a_changed_byte_anywhere_is_an_error_or_was_not_read(tmp_path: Path, size: int):
    path = tmp_path / "file"
    data = drawn(size)
    write_checked(str(path), NAME, [data])
    whole = path.read_bytes()
    places = {*range(0, len(whole), max(1, len(whole) // 150)), *range(len(whole) - 60, len(whole))}
    for place in sorted(place for place in places if 0 <= place < len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(UserError, match="damaged"):
            read(str(path), 0, size)
        try:
            assert read(str(path), 0, min(size, 10)) == data[:10].tobytes()
        except UserError:
            assert place < CHUNK_BYTES or place >= size


def test_a_file_that_is_cut_off_grown_gone_or_of_another_name_is_an_error(tmp_path: Path):
    path = tmp_path / "file"
    write_checked(str(path), NAME, [drawn(CHUNK_BYTES + 5)])
    whole = path.read_bytes()
    for changed in [whole[:length] for length in range(0, len(whole), 997)] + [whole + b"\0", b"", whole[5:]]:
        path.write_bytes(changed)
        with pytest.raises(UserError, match="damaged"):
            read(str(path), 0, 5)
    path.write_bytes(whole)
    with pytest.raises(UserError, match="checksums"):
        read(str(path), 0, 5, "keys/partition-0001.bin")
    with pytest.raises(UserError, match="holds less"):
        read(str(path), 0, CHUNK_BYTES + 6)
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        read(str(path), 0, 5)


def test_of_an_object_the_chunks_that_are_needed_are_fetched(monkeypatch: pytest.MonkeyPatch):
    path = f"memory://{uuid4().hex}/file"
    data = drawn(40 * CHUNK_BYTES)
    write_checked(path, NAME, [data])
    file = CheckedFile(path, NAME)
    filesystem, _ = storage.file_system(path)
    asked: list[tuple[int, int]] = []
    real = type(filesystem).cat_ranges
    monkeypatch.setattr(
        type(filesystem),
        "cat_ranges",
        lambda self, paths, starts, ends, **more: (
            asked.extend(zip(starts, ends, strict=True)) or real(self, paths, starts, ends, **more)
        ),
    )
    starts = np.array([5, CHUNK_BYTES - 1, 30 * CHUNK_BYTES])
    file.check(starts, starts + 2)
    file.check(starts, starts + 2)
    assert asked == [(0, 2 * CHUNK_BYTES), (30 * CHUNK_BYTES, 31 * CHUNK_BYTES)]
    assert file.array(np.uint8)[30 * CHUNK_BYTES] == data[30 * CHUNK_BYTES]
