"""A tar archive is a repository as its folder would be; a broken one gives what comes before the break."""

import gzip
import io
import tarfile
from pathlib import Path
from uuid import uuid4

import pytest
import zstandard

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.repositories.trees import ArchiveTree
from tests.dataproc.repositories.trees_on_disk import Read, tar_bytes, write_tree

FILES = {
    ".gitignore": "ignored/\n", "sub/.gitignore": "*.tmp.py\n", "b.py": "import a\n", "a.py": "A = 1\n" * 100,
    "sub/x.tmp.py": "x = 1\n", "sub/c.py": "c = 1\n", "ignored/d.py": "d = 1\n", "vendor/e.py": "e = 1\n",
    "exact.py": "#" * 511 + "\n", "LICENSE": "words\n",
}  # fmt: skip


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.zst"])
@pytest.mark.parametrize("folder", ["", "name-1.0/", "./"])
def test_an_archive_gives_what_its_folder_gives(tmp_path: Path, ending: str, folder: str) -> None:
    data = tar_bytes(FILES, folder)
    packed = {".tar": data, ".tar.zst": zstandard.compress(data)}.get(ending) or gzip.compress(data)
    (tmp_path / f"r{ending}").write_bytes(packed)
    archive, read = Read(tmp_path / f"r{ending}"), Read(write_tree(tmp_path / "r", FILES))
    assert archive.documents == read.documents and archive.documents
    assert archive.summary["repository"] == "r"
    assert archive.left_out == read.left_out == {"ignored": 2, "vendored": 1, "unknown_language": 3}
    assert archive.reports == []


def test_an_archive_behind_a_url() -> None:
    import fsspec

    root = uuid4().hex
    fsspec.filesystem("memory").pipe(f"/{root}/r.tar.gz", gzip.compress(tar_bytes(FILES)))
    assert ["a.py", "b.py"] in Read(f"memory://{root}/r.tar.gz").paths


def test_links_devices_and_names_that_lead_out_are_counted(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (
            ("l.py", tarfile.SYMTYPE),
            ("h.py", tarfile.LNKTYPE),
            ("d.py", tarfile.CHRTYPE),
            ("f", tarfile.DIRTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for name in ("../../out.py", "a/../../b.py", "/rooted.py", "x/y.py", "x/y.py"):
            member = tarfile.TarInfo(name)
            member.size = 6
            archive.addfile(member, io.BytesIO(b"x = 1\n"))
    (tmp_path / "r.tar").write_bytes(out.getvalue())
    read = Read(tmp_path / "r.tar")
    assert read.paths == [["rooted.py"], ["x/y.py"]]
    assert read.left_out == {"link": 2, "special_file": 3}


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.zst"])
@pytest.mark.parametrize("damage", ["cut", "cut at a header", "garbled", "garbled header", "empty", "no archive"])
def test_a_broken_archive_is_reported_and_what_came_before_survives(tmp_path: Path, ending: str, damage: str) -> None:
    import random

    noise = {
        f"f{number}.py": f"# {random.Random(number).randbytes(9000).hex()[:9000:97]}\n" * 30 for number in range(40)
    }
    data = bytearray(tar_bytes(noise))
    if damage == "garbled header":
        at = data.index(b"f30.py")
        data[at + 100 : at + 300] = b"?" * 200
    if damage == "cut at a header":
        del data[data.index(b"f30.py") :]
    packed = bytearray({".tar": data, ".tar.zst": zstandard.compress(bytes(data))}.get(ending) or gzip.compress(data))
    if damage == "cut":
        del packed[len(packed) * 3 // 4 :]
    if damage == "garbled":
        packed[len(packed) // 2 : len(packed) // 2 + 700] = bytes(700)
    if damage in ("empty", "no archive"):
        packed = bytearray(b"" if damage == "empty" else b"words" * 1000)
    (tmp_path / f"r{ending}").write_bytes(packed)
    read = Read(tmp_path / f"r{ending}")
    if not (damage == "garbled" and ending == ".tar" and read.reports == []):  # zeros within a file are that file's
        assert read.reasons and all("broken archive" in reason for reason in read.reasons.values())
        assert "" in read.reasons
        assert read.summary["quarantined"] == len(read.reports)
    good = [path for paths in read.paths for path in paths]
    assert good == sorted(good) and len(good) < 40
    assert all(f"# {path}\n{noise[path]}" in read.documents[at]["text"] for at, [path] in enumerate(read.paths))
    if damage.endswith("header"):
        assert len(good) == 30


def test_an_archive_that_holds_more_than_it_may_is_read_up_to_there(tmp_path: Path) -> None:
    data = tar_bytes({"a.py": "x = 1\n", "b.bin2": bytes(50 << 20), "c.py": "x = 1\n"})
    (tmp_path / "r.tar.zst").write_bytes(zstandard.compress(data))
    read = Read(tmp_path / "r.tar.zst", archive_bytes=1 << 20)
    assert read.paths == [["a.py"]]
    assert "more than 1048576 bytes uncompressed" in read.reasons[""]


def test_a_header_without_bounds_is_not_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 6 << 30
    (tmp_path / "r.tar").write_bytes(
        tar_bytes({"a.py": "x = 1\n"})[:1024] + member.tobuf(tarfile.GNU_FORMAT) + bytes(10240)
    )
    read = Read(tmp_path / "r.tar")
    assert read.paths == [["a.py"]]
    assert "a header of" in read.reasons[""]


def test_an_archive_that_is_not_there_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        ArchiveTree(str(tmp_path / "r.tar"), 1, 1)


def test_what_is_neither_folder_nor_archive_is_reported(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("x")
    read = Read(tmp_path / "README")
    assert read.documents == [] and read.reasons == {"": "neither a folder nor an archive: no repository"}
