"""Lists by path: comments, compression, and what is wrong with a file told in one line."""

import gzip

import pytest
import zstandard

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.lists import files as list_files
from corpusmill.dataproc.lists.files import read_chunks, read_entries, stem

TEXT = "\ufeff# a list\r\nfoo\r\n\r\n  Bar baz  # why\n#no\nc#\ncafe\u0301\nlast"


def test_entries_and_their_lines(tmp_path):
    (tmp_path / "list").write_text(TEXT, encoding="utf-8", newline="")
    assert read_entries(str(tmp_path / "list")) == [(2, "foo"), (4, "Bar baz"), (6, "c#"), (7, "café"), (8, "last")]


def test_compressed_lists_are_read_as_plain_ones(tmp_path):
    (tmp_path / "a.txt").write_bytes(TEXT.encode())
    (tmp_path / "a.gz").write_bytes(gzip.compress(TEXT[:20].encode()) + gzip.compress(TEXT[20:].encode()))
    (tmp_path / "a.zst").write_bytes(zstandard.compress(TEXT.encode()))
    plain, *others = [read_entries(str(tmp_path / name)) for name in ("a.txt", "a.gz", "a.zst")]
    assert others == [plain, plain]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_list_that_is_cut_off_is_an_error(tmp_path, ending):
    text = "".join(f"entry{number * 7919 % 10007}\n" for number in range(20_000)).encode()
    whole = gzip.compress(text) if ending == "gz" else zstandard.compress(text)
    (tmp_path / f"a.{ending}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="broken or cut off") as caught:
        read_entries(str(tmp_path / f"a.{ending}"))
    assert "\n" not in str(caught.value)
    (tmp_path / f"b.{ending}").write_bytes(b"this is plain text")
    with pytest.raises(UserError, match="broken or cut off"):
        read_entries(str(tmp_path / f"b.{ending}"))


def test_mistakes_name_the_file_and_the_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_entries(str(tmp_path / "none"))
    (tmp_path / "latin1").write_bytes(b"foo\nna\xefve\n")
    with pytest.raises(UserError, match=r"latin1, line 2: bytes that are not UTF-8"):
        read_entries(str(tmp_path / "latin1"))
    (tmp_path / "empty").write_bytes(b"# nothing\n\n")
    with pytest.raises(UserError, match="has no entries"):
        read_entries(str(tmp_path / "empty"))


def test_chunks_are_whole_lines_however_small(tmp_path, monkeypatch):
    lines = [f"line {number} " + "x" * (number % 13) for number in range(500)]
    (tmp_path / "list").write_text("\n".join(lines))
    monkeypatch.setattr(list_files, "CHUNK_BYTES", 32)
    chunks = list(read_chunks(str(tmp_path / "list")))
    assert len(chunks) > 100
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert b"".join(chunks).decode().splitlines() == lines
    (tmp_path / "long").write_text("y" * 100)
    with pytest.raises(UserError, match="longer than"):
        list(read_chunks(str(tmp_path / "long")))


def test_names_without_endings():
    assert [stem(name) for name in ("a/de.txt.gz", "zh", "pt.zst", "s3://b/en.txt")] == ["de", "zh", "pt", "en"]
