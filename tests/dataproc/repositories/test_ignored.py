"""`.gitignore` files are read as git reads them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.repositories.ignored import EXCLUDE_FOLDER, EXCLUDE_NAME, IgnoreFile, is_ignored
from corpusmill.dataproc.repositories.trees import ArchiveTree, FolderTree
from corpusmill.dataproc.repositories.walking import walk
from tests.dataproc.repositories.trees_on_disk import tar_bytes, write_tree


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


def test_what_lies_in_a_folder_is_not_the_folder() -> None:
    for patterns in ("d/*", "/d/*", "**/d/*", "d/**/*", "d/*/", "d/**", "d/[a-z]*", "d/?*"):
        assert ignored(patterns, "d/") is None
    assert ignored("d/*\n!d/keep.py", "d/keep.py") is False
    assert ignored("d/*\n!d/keep.py", "d/other.py")
    assert ignored("d/*\n!d/e/", "d/e/") is False
    assert ignored("*/x/*\n!*/x/keep", "a/x/keep") is False


def test_wildcards_are_for_bytes_as_gits_are() -> None:
    assert ignored("?", "é") is None and ignored("??", "é")
    assert ignored("[é]", "é") is None and ignored("é", "é")
    assert ignored("?", "é/b", folder="é/")


def test_a_line_of_spaces_and_backslashes_takes_no_time() -> None:
    assert ignored("a" + " " * 1_000_000, "a")
    assert ignored("\\ " * 10_000 + " " * 1_000_000, " ") is None


PIECES = st.sampled_from(
    ["a", "b", "ab", "*", "**", "/", "?", "[ab]", "[!a]", "[a-c]", "[]a]", "[^]]", "[[:alpha:]]", "\\a", "\\*", ".c",
     "!", " ", "#", "[a", "-", "[a-]", "[b-a]", "\\", "***", "/", "/*", "/**", "**/", "/*/", "é", "[!é]", "[a/]", "\\/",
     "[[:punct:]a]", "[[:space:]]", "[[:none:]]", "[a-[:digit:]]", "\r", "\t", "$", "("]
)  # fmt: skip
NAMES = ("a", "b", "ab", "a.c", "b.c", "c", "*", "#", "-", "]", "é", " ")
BACK = st.tuples(
    st.sampled_from(
        ["{0}/*\n!{0}/{1}", "/{0}/*\n!/{0}/{1}", "{0}/{1}/*\n!{0}/{1}/{2}", "*/{1}/*\n!*/{1}/{2}", "*\n!*/\n!{0}",
         "**/{1}/*\n!**/{1}/{2}", "{0}/**/*\n!{0}/{1}/\n!{0}/{1}/{2}", "/*\n!/{0}\n/{0}/*\n!/{0}/{1}",
         "{0}/**\n!{0}/{1}"]
    ),
    st.sampled_from(NAMES), st.sampled_from(["a", "b.c", "*", "a/"]), st.sampled_from(NAMES),
).map(lambda drawn: drawn[0].format(*drawn[1:]))  # fmt: skip
"""What is in a folder, and a part of it brought back."""
PATTERN = st.lists(PIECES, min_size=1, max_size=5).map("".join) | BACK


def tree(root: Path, patterns: list[str], below: list[str]) -> list[str]:
    """Files two folders deep, with a `.gitignore` on top and one in `a/`. All are code, by their endings."""
    paths = []
    for first in NAMES:
        paths.append(f"{first}.f.c")
        for second in ("a", "b.c", "*"):
            paths += [f"{first}/{second}/{third}" for third in NAMES if third.endswith(".c")]
            paths += [f"{first}/{second}/{third}.c" for third in NAMES if not third.endswith(".c")]
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (root / ".gitignore").write_text("\n".join(patterns))
    (root / "a/.gitignore").write_text("\n".join(below))
    return sorted(paths)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "-q", str(root)], check=True, capture_output=True)
    tree(root, [], [])
    return root


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(PATTERN, max_size=5), st.lists(PATTERN, max_size=3), st.lists(PATTERN, max_size=1), st.sampled_from("\n\r")
)
def test_what_is_ignored_is_what_git_ignores(
    repository: Path, patterns: list[str], below: list[str], excluded: list[str], end: str
) -> None:
    paths = tree(repository, patterns, below)
    (repository / ".gitignore").write_bytes(("\n" if end == "\n" else "\r\n").join(patterns).encode())
    (repository / EXCLUDE_FOLDER / EXCLUDE_NAME).write_text("\n".join(excluded))
    said = subprocess.run(
        ["git", "-c", "core.excludesFile=", "ls-files", "-o", "--exclude-standard", "-z"],
        cwd=repository, capture_output=True, check=True,
    )  # fmt: skip
    by_git = set(said.stdout.decode().split("\0")) & set(paths)
    assert set(walk(FolderTree(str(repository), 1 << 20), 1 << 20).files) & set(paths) == by_git


def test_an_archive_is_read_as_the_folder_is(tmp_path: Path) -> None:
    files = {
        ".gitignore": "config/*\n!config/default.py\nlib/**/*\n!lib/x/\n!lib/x/a.py\n", "config/default.py": "x = 1\n",
        "config/local.py": "x = 1\n", "lib/x/a.py": "x = 1\n", "lib/x/b.py": "x = 1\n", "lib/y/a.py": "x = 1\n",
        "own.py": "x = 1\n", ".git/info/exclude": "own.py\n",
    }  # fmt: skip
    write_tree(tmp_path / "tree", files)
    (tmp_path / "tree.tar").write_bytes(tar_bytes(files, "top/"))
    kept = [".gitignore", "config/default.py", "lib/x/a.py"]
    assert walk(FolderTree(str(tmp_path / "tree"), 1 << 20), 1 << 20).files == kept
    assert walk(ArchiveTree(str(tmp_path / "tree.tar"), 1 << 20, 1 << 30), 1 << 20).files == kept
