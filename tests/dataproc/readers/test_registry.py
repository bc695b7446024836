"""Our readers: each entry leads to its function, and no ending means two formats."""

from dataclasses import replace

import pytest

from corpusmill.dataproc.readers.registry import FOLDERS, READERS, format_names, reader_of, reader_of_ending


@pytest.mark.parametrize("name", READERS)
def test_a_target_is_a_function(name: str) -> None:
    reader = reader_of(name)
    assert reader is READERS[name] and reader.name == name and callable(reader.load())


def test_no_ending_means_two_formats() -> None:
    endings = [ending for reader in READERS.values() for ending in reader.endings]
    assert len(endings) == len(set(endings))
    for reader in READERS.values():
        for ending in reader.endings:
            assert reader_of_ending(f"x{ending}") is reader


def test_what_nothing_reads() -> None:
    assert reader_of("nothing") is None and reader_of(FOLDERS[0]) is None
    assert set(format_names("nothing")) >= {*READERS, *FOLDERS} == set(format_names("jsonl"))


def test_a_target_that_is_not_there_is_a_bug() -> None:
    with pytest.raises(AttributeError):
        replace(READERS["text"], target="corpusmill.dataproc.readers.text:nothing").load()
