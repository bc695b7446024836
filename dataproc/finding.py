"""Files by path, folder, glob or URL: whatever reads raw files, lists or evaluation sets finds them here.

Local files are listed by the standard library, URLs by fsspec. Memory: the list of names.
"""

import glob
import os
import re
from collections.abc import Sequence
from fnmatch import fnmatch
from urllib.parse import unquote

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.urls import is_http, without_query

WILDCARD = re.compile(r"[*?\[]")


def find_files(pattern: str, exclude: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Sorted (path, name) of the files of a path, folder, glob or URL; names are relative to the pattern's fixed root.

    Hidden files (a name on the way begins with a dot) are left out, unless `pattern` names one itself. Raises UserError
    when nothing matches, and for a name that is not UTF-8, which no dataset could hold.
    """
    if _is_http_file(pattern):
        return _http_file(pattern, exclude)
    root = fixed_root(pattern)
    paths = _list_urls(pattern) if storage.is_url(pattern) else _list_local(pattern)
    _check_names(paths)
    if storage.is_url(pattern) and not WILDCARD.search(pattern) and pattern not in paths:
        root = pattern.rstrip("/") + "/"  # it is a folder, as the listing shows
    named = ((path, _name_below(root, path)) for path in sorted(set(paths)))
    matches = [(path, name) for path, name in named if not any(fnmatch(name, excluded) for excluded in exclude)]
    if not matches:
        raise UserError("no file matches", where=pattern, hint="check the path (and exclude)")
    return matches


def _name_below(root: str, path: str) -> str:
    path = without_query(path)
    return path[len(root) :].lstrip("/") or path.rsplit("/", 1)[-1]


def _is_http_file(pattern: str) -> bool:
    """Whether this is the URL of one file behind HTTP, where `?` begins a query and only folders end with a slash."""
    path = without_query(pattern)
    return is_http(pattern) and not path.endswith("/") and "*" not in path


def _http_file(url: str, exclude: Sequence[str]) -> list[tuple[str, str]]:
    """The one file of a URL, once it is known to be there; its name is the last step of the path."""
    from corpusmill.dataproc.http_files import describe_file

    name = unquote(without_query(url).rsplit("/", 1)[-1])
    if "://" not in without_query(url).rsplit("/", 1)[0] + "/":
        raise UserError("this URL names no file", where=url, hint="give the URL of a file")
    _check_names([name])
    if any(fnmatch(name, excluded) for excluded in exclude):
        raise UserError("no file matches", where=url, hint="check the URL (and exclude)")
    describe_file(url)
    return [(url, name)]


def _check_names(paths: Sequence[str]) -> None:
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError as error:
            shown = path.encode("utf-8", "backslashreplace").decode()
            raise UserError("the name of this file is not UTF-8", where=shown, hint="rename it") from error


def fixed_root(pattern: str) -> str:
    """The folder part before the first wildcard; for a plain file its folder, for a plain folder itself."""
    if not storage.is_url(pattern) and os.path.isdir(pattern):  # noqa: PTH112
        return pattern.rstrip("/") + "/"
    pattern = without_query(pattern)
    wild = None if _is_file(pattern) else WILDCARD.search(pattern)
    fixed = pattern[: wild.start()] if wild else pattern
    return fixed.rsplit("/", 1)[0] + "/" if "/" in fixed else ""


def _is_file(path: str) -> bool:
    """Whether this is a local file, whatever wildcards its name may seem to hold."""
    return not storage.is_url(path) and os.path.isfile(path)  # noqa: PTH113


def _list_local(pattern: str) -> list[str]:
    if _is_file(pattern):
        return [pattern]
    if os.path.isdir(pattern):  # noqa: PTH112
        pattern = f"{glob.escape(pattern.rstrip('/'))}/**"
    matches = glob.iglob(pattern, recursive=True, include_hidden=False)  # noqa: PTH207 - strings, by the ten thousand
    return [path for path in matches if os.path.isfile(path)]  # noqa: PTH113


def _list_urls(pattern: str) -> list[str]:
    filesystem, inner = storage.file_system(pattern)
    with storage.reached(pattern):
        try:
            entry = None if WILDCARD.search(inner) else filesystem.info(inner)
        except FileNotFoundError:
            entry = None  # of an object store: a folder may be no object
        if entry and entry["type"] == "file":
            return [pattern]
        matches = (filesystem.glob if WILDCARD.search(inner) else filesystem.find)(inner, detail=True)
    files = [str(path) for path, entry in matches.items() if entry["type"] == "file"]
    protocol, rest = pattern.split("://", 1)
    if protocol == "memory" and not rest.startswith("/"):
        files = [path.lstrip("/") for path in files]  # it lists all with a slash in front
    urls = [path if storage.is_url(path) else f"{protocol}://{path}" for path in files]
    root = fixed_root(pattern)
    return [url for url in urls if not any(name.startswith(".") for name in url[len(root) :].split("/"))]
