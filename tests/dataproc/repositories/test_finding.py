"""Which repositories a path names."""

from pathlib import Path
from uuid import uuid4

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.repositories.finding import find_repositories, name_of
from tests.dataproc.repositories.trees_on_disk import write_tree


def names(path: object, depth: int | None = None, *exclude: str) -> list[str]:
    return [name for _, name in find_repositories(str(path), depth, exclude)]


def test_a_folder_with_a_git_folder_or_file_is_a_repository(tmp_path: Path) -> None:
    for name, marker in (("one", ".git/HEAD"), ("two", ".git")):
        write_tree(tmp_path / name, {marker: "x", "sub/a.py": "x"})
        assert find_repositories(f"{tmp_path}/{name}/") == [(f"{tmp_path}/{name}", name)]


def test_folders_of_repositories_are_found_by_the_first_git_folder(tmp_path: Path) -> None:
    write_tree(
        tmp_path, {"a/.git/HEAD": "", "b/x.py": "", "c.tar.gz": "", "README": "", ".hidden/x": "", "a/b/.git/HEAD": ""}
    )
    assert names(tmp_path) == ["README", "a", "b", "c.tar.gz"]
    write_tree(tmp_path / "deep", {"o/a/.git/HEAD": "", "p/b/x.py": "", "p/c.tar": ""})
    assert names(tmp_path / "deep") == ["o/a", "p/b", "p/c.tar"]


def test_without_any_a_folder_of_files_is_one_and_a_folder_of_folders_is_many(tmp_path: Path) -> None:
    write_tree(
        tmp_path, {"one/setup.py": "", "one/src/a.py": "", "many/a/x.py": "", "many/b/x.py": "", "many/c.tgz": ""}
    )
    assert names(tmp_path / "one") == ["one"]
    assert names(tmp_path / "many") == ["a", "b", "c.tgz"]


def test_a_depth_says_it(tmp_path: Path) -> None:
    write_tree(tmp_path / "r", {"a/b/x.py": "", "c/d/.git/HEAD": ""})
    assert names(tmp_path / "r", 0) == ["r"]
    assert names(tmp_path / "r", 1) == ["a", "c"]
    assert names(tmp_path / "r", 2) == ["a/b", "c/d"]
    assert names(tmp_path / "r", 2, "c/*") == ["a/b"]


def test_archives_and_globs(tmp_path: Path) -> None:
    write_tree(tmp_path, {"r/a-1.tar.zst": "", "r/b.tar": "", "r/c/x.py": "", "r/d": ""})
    assert find_repositories(f"{tmp_path}/r/b.tar") == [(f"{tmp_path}/r/b.tar", "b.tar")]
    assert names(f"{tmp_path}/r/*.tar*") == ["a-1.tar.zst", "b.tar"]
    assert names(f"{tmp_path}/r/c*") == ["c"]


def test_urls() -> None:
    import fsspec

    root = uuid4().hex
    for name in ("a.tar.gz", "o/b.tar"):
        fsspec.filesystem("memory").pipe(f"/{root}/{name}", b"x")
    assert names(f"memory://{root}") == ["a.tar.gz", "o/b.tar"]
    assert names(f"memory://{root}/*.gz") == names(f"memory://{root}/a.tar.gz") == ["a.tar.gz"]
    fsspec.filesystem("memory").pipe(f"/{root}/x/y.py", b"x")
    with pytest.raises(UserError, match="this URL is not an archive"):
        names(f"memory://{root}/x")


def test_mistakes(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_tree(tmp_path, {"file.py": ""})
    with pytest.raises(UserError, match="neither a folder nor an archive"):
        names(tmp_path / "none")
    with pytest.raises(UserError, match="no repository found"):
        names(tmp_path / "empty")
    assert names(tmp_path / "file.py") == ["file.py"]


def test_the_name_of_an_archive_is_its_file_without_the_ending() -> None:
    assert name_of("o/a-1.0.tar.gz") == "o/a-1.0"
    assert name_of("a.tgz") == "a"
    assert name_of(".tar") == ".tar"
    assert name_of("a.zip") == "a.zip"
