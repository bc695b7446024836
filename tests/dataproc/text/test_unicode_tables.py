"""The class and case tables against `unicodedata`, and their cache against damage and concurrent builders."""

import subprocess
import sys
import time
import unicodedata

import numpy as np
import pytest

from corpusmill.dataproc.text import unicode_tables
from corpusmill.dataproc.text.unicode_tables import (
    ALONE,
    LETTER,
    MARK,
    NUMBER,
    PUNCTUATION,
    SPACE,
    TERMINAL,
    UNSPACED,
    build_tables,
    load_tables,
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and tables that are not loaded yet."""
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    load_tables.cache_clear()
    yield tmp_path / "unicode"
    load_tables.cache_clear()


def test_every_code_point_has_the_flags_of_its_category():
    flag_of = {"L": LETTER, "M": MARK, "N": NUMBER, "P": PUNCTUATION, "S": PUNCTUATION, "Z": 0, "C": 0}
    classes = load_tables().classes
    for code in range(0x110000):
        character = chr(code)
        assert classes[code] & (LETTER | MARK | NUMBER | PUNCTUATION) == flag_of[unicodedata.category(character)[0]]
        assert bool(classes[code] & SPACE) == character.isspace()


@pytest.mark.parametrize(
    ("characters", "flags"),
    [
        ("漢々あアｱ", LETTER | ALONE | UNSPACED),
        ("〇", NUMBER | ALONE | UNSPACED),
        ("กลມខ", LETTER | UNSPACED),
        ("ཀꦲᬩᥐᦀᨠꪀᜀㄅ", LETTER | UNSPACED),
        ("ꀀ𗀀𛅰", LETTER | ALONE | UNSPACED),
        ("\u0e31", MARK | UNSPACED),
        ("한aжक", LETTER),
        (".!?。！？।؟", PUNCTUATION | TERMINAL),
        (",;:…'\"・#+€", PUNCTUATION),
        ("3٣Ⅳ½", NUMBER),
        (" \n\t\u3000\x85", SPACE),
        ("\u200b\u200d\ufeff\ue000\ud800\x00", 0),
    ],
)
def test_flags(characters, flags):
    assert {int(load_tables().classes[ord(character)]) for character in characters} == {flags}


def test_lower_case_is_pythons_where_it_is_one_character():
    lower = load_tables().lower
    for code in range(0x110000):
        assert chr(lower[code]) == chr(code).lower()[0]


def test_tables_are_kept_and_read_again(cache):
    first = load_tables()
    assert [path.suffix for path in sorted(cache.iterdir())] == [".npy", ".npy"]
    assert all(unicodedata.unidata_version in path.name for path in cache.iterdir())
    load_tables.cache_clear()
    second = load_tables()
    assert second is not first
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(first, second, strict=True))


def test_kept_tables_are_not_built_again(cache, monkeypatch):
    load_tables()
    load_tables.cache_clear()
    monkeypatch.setattr(unicode_tables, "build_tables", lambda: pytest.fail("built again"))
    load_tables()


@pytest.mark.parametrize("damage", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_replaced(cache, damage):
    expected = load_tables().classes.copy()
    for path in cache.iterdir():
        path.write_bytes(damage)
    load_tables.cache_clear()
    assert np.array_equal(load_tables().classes, expected)
    assert all(path.stat().st_size > 1_000_000 for path in cache.iterdir())


def test_a_folder_that_cannot_be_made_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "file"))
    load_tables.cache_clear()
    assert load_tables().classes[ord("a")] == LETTER
    load_tables.cache_clear()


def test_processes_that_build_at_once_leave_whole_files(cache):
    command = [sys.executable, "-c", "from corpusmill.dataproc.text.unicode_tables import load_tables; load_tables()"]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert len(list(cache.iterdir())) == 2
    assert load_tables().lower.shape == (0x110000,)


def test_tables_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        load_tables().classes[0] = 1


def test_building_is_quick():
    started = time.process_time()
    build_tables()
    assert time.process_time() - started < 2
