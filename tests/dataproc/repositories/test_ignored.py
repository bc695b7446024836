"""`.gitignore` files are read as git reads them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.repositories.ignored import IgnoreFile, is_ignored


def ignored(patterns: str, path: str, folder: str = "") -> bool | None:
    return IgnoreFile(folder, patterns).decides(path)


def test_the_last_pattern_that_matches_decides() -> None:
    assert ignored("*.log\n!keep.log\n", "a/b.log")
    assert ignored("*.log\n!keep.log\n", "a/keep.log") is False
    assert ignored("!keep.log\n*.log\n", "keep.log")
    assert ignored("*.log", "a.txt") is None


def test_comments_blank_lines_spaces_and_marks() -> None:
    assert ignored("# a\n\n", "# a") is None
    assert ignored("\\#a\n", "#a")
    assert ignored("\\!a\n", "!a")
    assert ignored("a  \n", "a")
    assert ignored("a\\ \n", "a ")
    assert ignored("\ufeffa\r\n", "a")


def test_a_slash_binds_a_pattern_to_its_folder() -> None:
    assert ignored("/a", "b/a") is None
    assert ignored("b/a", "x/b/a") is None
    assert ignored("a", "x/y/a")
    assert ignored("a/", "a") is None
    assert ignored("a/", "x/a/")
    assert ignored("/a", "sub/a", folder="sub/")


def test_two_stars_cross_folders() -> None:
    assert ignored("**/a", "a") and ignored("**/a", "x/y/a")
    assert ignored("a/**/b", "a/b") and ignored("a/**/b", "a/x/y/b")
    assert ignored("a/**", "a/x") and ignored("a/**", "a/") is None
    assert ignored("a*b", "a/b") is None


def test_the_deepest_file_that_says_something_decides() -> None:
    files = [IgnoreFile("", "*.c\n"), IgnoreFile("sub/", "!a.c\n")]
    assert not is_ignored("sub/a.c", files)
    assert is_ignored("sub/b.c", files)


PIECES = st.sampled_from(
    ["a", "b", "ab", "*", "**", "/", "?", "[ab]", "[!a]", "[a-c]", "[]a]", "[^]]", "[[:alpha:]]", "\\a", "\\*", ".c",
     "!", " ", "#", "[a", "-", "[a-]", "[b-a]", "\\"]
)  # fmt: skip
PATTERN = st.lists(PIECES, min_size=1, max_size=5).map("".join)
NAMES = ("a", "b", "ab", "a.c", "b.c", "c", "*", "#", "-", "]")


def tree(root: Path, patterns: list[str], below: list[str]) -> list[str]:
    """Files two folders deep, with a `.gitignore` on top and one in `a/`."""
    paths = []
    for first in NAMES:
        paths.append(f"{first}.f")
        for second in ("a", "b.c", "*"):
            paths += [f"{first}/{second}/{third}" for third in NAMES]
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (root / ".gitignore").write_text("\n".join(patterns))
    (root / "a/.gitignore").write_text("\n".join(below))
    return sorted(paths)


def kept_by_us(root: Path, folder: str, files: list[IgnoreFile]) -> list[str]:
    here = root / folder
    if (here / ".gitignore").exists():
        files = [*files, IgnoreFile(folder, (here / ".gitignore").read_text())]
    kept = []
    for path in sorted(here.iterdir()):
        name = folder + path.name + "/" * path.is_dir()
        if path.name not in (".git", ".gitignore") and not is_ignored(name, files):
            kept += kept_by_us(root, name, files) if path.is_dir() else [name]
    return kept


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", str(root)], check=True, capture_output=True)
    tree(root, [], [])
    return root


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PATTERN, max_size=5), st.lists(PATTERN, max_size=3))
def test_what_is_ignored_is_what_git_ignores(repository: Path, patterns: list[str], below: list[str]) -> None:
    paths = tree(repository, patterns, below)
    said = subprocess.run(
        ["git", "-c", "core.excludesFile=", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=repository, input="\0".join(paths).encode(), capture_output=True,
    )  # fmt: skip
    assert said.returncode in (0, 1), said.stderr
    by_git = set(said.stdout.decode().split("\0"))
    kept = set(kept_by_us(repository, "", [])) & set(paths)
    assert kept == set(paths) - by_git
