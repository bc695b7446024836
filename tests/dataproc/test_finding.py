"""Which files a path, folder, glob or URL names."""

import os
from fnmatch import fnmatchcase
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.finding import _matches, find_files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.jsonl", "sub/c.txt", "sub/deep/d.txt", ".hidden", "sub/.git/e.txt", "odd [1]/f?.txt"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "tree"


def names(pattern: object, *exclude: str) -> list[str]:
    return [name for _, name in find_files(str(pattern), exclude)]


def test_a_folder_gives_all_below_it_but_hidden_ones(tree: Path) -> None:
    every = ["a.jsonl", "b.txt", "odd [1]/f?.txt", "sub/c.txt", "sub/deep/d.txt"]
    assert names(tree) == names(f"{tree}/") == every
    assert [Path(path).read_text() for path, _ in find_files(str(tree))] == every


def test_globs(tree: Path) -> None:
    assert names(f"{tree}/*.txt") == ["b.txt"]
    assert names(f"{tree}/**/*.txt") == ["b.txt", "odd [1]/f?.txt", "sub/c.txt", "sub/deep/d.txt"]
    assert names(f"{tree}/**/**/c.txt") == ["sub/c.txt"]
    assert names(f"{tree}/su*/c.txt") == ["sub/c.txt"]
    assert names(f"{tree}/sub/[cd].txt") == ["c.txt"]


def test_a_file_that_is_named_itself(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(tree / "sub" / "c.txt") == ["c.txt"]
    assert names(tree / ".hidden") == [".hidden"]
    assert names(tree / "odd [1]") == ["f?.txt"]
    assert names(tree / "odd [1]" / "f?.txt") == ["f?.txt"]
    monkeypatch.chdir(tree)
    assert find_files("b.txt") == [("b.txt", "b.txt")]
    assert find_files("*.txt") == [("b.txt", "b.txt")]


def test_exclude(tree: Path) -> None:
    assert names(tree, "*.txt") == ["a.jsonl"]
    assert names(tree, "sub/*", "odd*") == ["a.jsonl", "b.txt"]


@pytest.mark.parametrize("pattern", ["none", "none/*.txt", "*.none"])
def test_nothing_found_is_a_users_error(tree: Path, pattern: str) -> None:
    with pytest.raises(UserError, match="no file matches"):
        find_files(f"{tree}/{pattern}")
    with pytest.raises(UserError, match="no file matches"):
        find_files(str(tree), ["*"])


def test_a_name_that_is_not_utf8_is_a_users_error(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(UserError, match=r"xff\.txt: the name of this file is not UTF-8; rename it"):
        find_files(str(tmp_path))


def test_urls() -> None:
    import fsspec

    root = uuid4().hex
    memory = fsspec.filesystem("memory")
    for name in ("a.txt", "sub/b.txt", "sub/.hidden", ".git/c.txt"):
        memory.pipe(f"/{root}/{name}", b"x")
    assert find_files(f"memory://{root}/*.txt") == [(f"memory://{root}/a.txt", "a.txt")]
    assert names(f"memory://{root}/**") == names(f"memory://{root}") == ["a.txt", "sub/b.txt"]
    assert names(f"memory://{root}/*") == ["a.txt"]
    assert names(f"memory://{root}/a.txt") == ["a.txt"]
    with pytest.raises(UserError, match="no file matches"):
        find_files(f"memory://{root}/none")
    with pytest.raises(UserError, match="unsupported URL"):
        find_files("nonsense://x")


def test_file_urls_name_files_as_paths_do(tree: Path) -> None:
    assert names(f"file://{tree}/*.txt") == ["b.txt"]
    assert find_files(f"file://{tree}/b.txt") == [(f"file://{tree}/b.txt", "b.txt")]


def _slowly(steps: list[str], pattern: list[str]) -> bool:
    """`**` is any number of folders that are not hidden, tried one after the other; at the end it is all below."""
    if not pattern or not steps:
        return not pattern and not steps
    hidden = steps[0].startswith(".")
    if pattern == ["**"]:
        return not any(step.startswith(".") for step in steps)
    if pattern[0] == "**":
        return _slowly(steps, pattern[1:]) or (not hidden and _slowly(steps[1:], pattern))
    shown = not hidden or pattern[0].startswith(".")
    return shown and fnmatchcase(steps[0], pattern[0]) and _slowly(steps[1:], pattern[1:])


@given(
    st.lists(st.sampled_from(["a", "b", ".a", "ab"]), max_size=6),
    st.lists(st.sampled_from(["**", "*", "a", "b*", ".a", "[ab]"]), max_size=5),
)
def test_two_stars_stand_for_any_number_of_folders(steps: list[str], pattern: list[str]) -> None:
    assert _matches(steps, pattern) == _slowly(steps, pattern)
