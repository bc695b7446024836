"""Which repositories a path names: itself, its folders, or theirs; and archives among them.

A folder with a `.git` in it is a repository. Where a `.git` is found one or two folders down (`repos/name`,
`repos/owner/name`), everything at that depth is one. Where none is found at all, a folder that holds files of its own
is a repository, and one that holds folders and archives only is taken for a folder of repositories. A setting says it
without looking. What a glob matches is a repository each. Behind a URL only archives are repositories: reading a
folder there would be a request for each of its files. Cost: a listing of the folders of those two depths; no file is
opened.
"""

import glob
import os
from collections.abc import Sequence
from fnmatch import fnmatch

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.finding import WILDCARD, find_files, fixed_root
from corpusmill.dataproc.repositories.trees import ARCHIVES
from corpusmill.dataproc.urls import without_query

DEPTHS = 2


def find_repositories(
    path: str, depth: int | None = None, exclude: Sequence[str] = (), left_out: list[str] | None = None
) -> list[tuple[str, str]]:
    """Sorted (path, name) of the repositories of a local folder, of a glob, or of a URL.

    What else lies beside repositories is listed with them, so that the reader can report it. Names are relative to
    `path` (to the part of a glob before its first wildcard); hidden names are left out.

    Args:
        depth: 0 where `path` is a repository, 1 where its folders are, 2 where theirs are; None to find out.
        left_out: gets the links among them, which are not followed: what they lead to may lie anywhere.

    Raises:
        UserError: there is nothing, a name is not UTF-8, or there is no archive behind a URL.
    """
    if storage.is_url(path):
        candidates = find_files(path)
        if not any(without_query(place).lower().endswith(ARCHIVES) for place, _ in candidates):
            raise UserError("this URL is not an archive", path, f"use one of the formats {', '.join(ARCHIVES)}")
    elif os.path.isfile(path):  # noqa: PTH113
        candidates = [(path, path.rsplit("/", 1)[-1])]
    elif os.path.isdir(path):  # noqa: PTH112
        candidates = _in_folder(path.rstrip("/") or "/", depth)
    elif WILDCARD.search(path):
        root = fixed_root(path)
        candidates = [(place, place[len(root) :]) for place in glob.glob(path.rstrip("/"))]  # noqa: PTH207
    else:
        raise UserError("neither a folder nor an archive", path, f"name a folder, or a file in {', '.join(ARCHIVES)}")
    links = {place for place, _ in candidates if place.rstrip("/") != path.rstrip("/") and _is_link(place)}
    if left_out is not None:
        left_out += sorted(links)
    kept = [
        (place, _checked(name, place))
        for place, name in candidates
        if place not in links and not any(fnmatch(name, pattern) for pattern in exclude)
    ]
    if not kept:
        raise UserError("no repository found", path, "check the path (and exclude)")
    return sorted(kept, key=lambda pair: pair[1])


def _in_folder(root: str, depth: int | None) -> list[tuple[str, str]]:
    if depth is None:
        depth = _depth(root)
    if depth == 0:
        return [(root, os.path.basename(os.path.abspath(root)) or "root")]  # noqa: PTH119, PTH100
    folders = [root]
    for left in range(depth, 0, -1):
        folders = [below for folder in folders for below in _below(folder, left == depth)]
    return [(folder, folder[len(root) :].lstrip("/")) for folder in folders]


def _checked(name: str, path: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = path.encode("utf-8", "backslashreplace").decode()
        raise UserError("the name of this repository is not UTF-8", shown, "rename it") from error
    return name


def is_folder(path: str) -> bool:
    """Whether this is a local folder, or a link to one."""
    return not storage.is_url(path) and os.path.isdir(path)  # noqa: PTH112


def name_of(path: str) -> str:
    """The name of a repository by its path below the others: that of an archive without its ending."""
    ending = max((ending for ending in ARCHIVES if path.lower().endswith(ending)), key=len, default="")
    return path[: len(path) - len(ending)] or path


def _below(path: str, first: bool) -> list[str]:
    """What a folder holds, except hidden names; a file passes through, so that it is seen at the end."""
    if not os.path.isdir(path) or (not first and _is_link(path)):  # noqa: PTH112
        return [path]
    return [storage.join(path, name) for name in storage.list_names(path) if not name.startswith(".")]


def _is_link(path: str) -> bool:
    return os.path.islink(path)  # noqa: PTH114


def _depth(root: str) -> int:
    level = [root]
    for depth in range(DEPTHS + 1):
        if any(os.path.lexists(storage.join(path, ".git")) for path in level):
            return depth
        if depth < DEPTHS:
            level = [below for path in level if os.path.isdir(path) for below in _below(path, depth == 0)]  # noqa: PTH112
    own = [name for name in storage.list_names(root) if not name.startswith(".")]
    files = [name for name in own if os.path.isfile(storage.join(root, name)) and not name.lower().endswith(ARCHIVES)]  # noqa: PTH113
    return 0 if files else 1
