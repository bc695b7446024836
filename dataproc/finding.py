"""Files by path, folder, glob or URL: whatever reads raw files, lists or evaluation sets finds them here.

Local files are listed here, URLs by fsspec. Memory: the list of names.

A folder that is listed may be anybody's, and a link in it may lead anywhere: to a secret, or back to a folder above it,
which never ends. So links to folders are not followed, and links to files only where they lead to a file below the
fixed root of the pattern (or in a cache of Hugging Face, whose snapshots are links to blobs beside them, below that).
What the pattern itself names is followed: a file, or the folders up to its first wildcard.
"""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch, translate
from functools import cache
from urllib.parse import unquote

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.urls import is_http, without_query

COUNTED = 1000
NOT_UTF8 = "the name of this file is not UTF-8"
WILDCARD = re.compile(r"[*?\[]")


def find_files(
    pattern: str,
    exclude: Sequence[str] = (),
    left_out: list[str] | None = None,
    count: Callable[[int], None] | None = None,
    misnamed: list[tuple[str, str]] | None = None,
) -> list[tuple[str, str]]:
    """Sorted (path, name) of the files of a path, folder, glob or URL; names are relative to the pattern's fixed root.

    Hidden files (a name on the way begins with a dot) are left out, unless `pattern` names one itself. Raises UserError
    when nothing matches, and for a name that is not UTF-8, which no dataset could hold.

    Args:
        left_out: gets the links that are not followed, the folders that may not be listed, and pipes, sockets and
            devices.
        count: is called with the number of files so far, for each thousand of them.
        misnamed: gets (path, name) where they are not UTF-8, their bytes spelled out, instead of the error.
    """
    if _is_http_file(pattern):
        return _http_file(pattern, exclude)
    root, passed = fixed_root(pattern), list[str]()
    paths = _list_urls(pattern) if storage.is_url(pattern) else _list_local(pattern, root, passed, count)
    if misnamed is not None:
        bad = {path: _spelled(_name_below(root, path)) for path in paths if not _is_utf8(path)}
        misnamed += [
            (_spelled(path), name)
            for path, name in sorted(bad.items())
            if not any(fnmatch(name, excluded) for excluded in exclude)
        ]
        paths = [path for path in paths if path not in bad]
    _check_names(paths)
    if storage.is_url(pattern) and not WILDCARD.search(pattern) and pattern not in paths:
        root = pattern.rstrip("/") + "/"  # it is a folder, as the listing shows
    named = ((path, _name_below(root, path)) for path in sorted(set(paths)))
    matches = [(path, name) for path, name in named if not any(fnmatch(name, excluded) for excluded in exclude)]
    if left_out is not None:
        left_out += passed
    if not matches and not misnamed:
        also = f"; left out: {passed[0]}, as a link, pipe or device" if passed else ""
        raise UserError(f"no file matches{also}", where=pattern, hint="check the path (and exclude)")
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
    if path := next((path for path in paths if not _is_utf8(path)), None):
        raise UserError(NOT_UTF8, where=_spelled(path), hint="rename it")


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spelled(path: str) -> str:
    """A name with the bytes that are not UTF-8 spelled out, as in `bad\\xff.jsonl`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


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


def _list_local(pattern: str, root: str, left_out: list[str], count: Callable[[int], None] | None = None) -> list[str]:
    if _is_file(pattern):
        return [pattern]
    allowed = os.path.realpath(_allowed_root(root or ".")) + "/"
    if os.path.isdir(pattern):  # noqa: PTH112
        return list(_counted(_walk(root, allowed, left_out), count))
    steps = pattern[len(root) :].split("/")
    if "**" in steps:
        hidden = any(step.startswith(".") for step in steps)
        listed = _counted(_walk(root, allowed, left_out, hidden=hidden), count)
        return [path for path in listed if _matches(path[len(root) :].split("/"), steps)]
    matches = glob.iglob(pattern, include_hidden=False)  # noqa: PTH207 - strings, by the ten thousand
    linked = cache(lambda folder: len(folder) > len(root) and (_is_link(folder) or linked(folder.rpartition("/")[0])))
    files: list[str] = []
    for path in _counted(matches, count):
        if linked(path.rpartition("/")[0]) or (_is_link(path) and not _leads_below(path, allowed)):
            left_out.append(path)
        elif os.path.isfile(path):  # noqa: PTH113
            files.append(path)
        elif not os.path.isdir(path):  # noqa: PTH112
            left_out.append(path)
    return files


def _counted(paths: Iterator[str], count: Callable[[int], None] | None) -> Iterator[str]:
    """The paths, telling how many there were for each thousand of them."""
    for number, path in enumerate(paths, 1):
        if count and number % COUNTED == 0:
            count(number)
        yield path


def _walk(root: str, allowed: str, left_out: list[str], *, hidden: bool = False) -> Iterator[str]:
    """The files below a folder, by the listing of each folder alone: no file is looked at but through a link."""
    pending = [root or "./"]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    path = f"{folder}{entry.name}".removeprefix("./") if not root else f"{folder}{entry.name}"
                    if entry.name.startswith(".") and not hidden:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{folder}{entry.name}/")
                    elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and _leads_below(path, allowed)):
                        yield path
                    else:  # a link, or a pipe, socket or device, which could be read for ever
                        left_out.append(path)
        except PermissionError:
            left_out.append(folder)


def _leads_below(link: str, allowed: str) -> bool:
    """Whether a link leads to a file below a folder."""
    return os.path.isfile(link) and os.path.realpath(link).startswith(allowed)  # noqa: PTH113


def _matches(steps: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path matches a pattern, step by step; `**` stands for any number of folders, or for all below."""
    if not pattern:
        return not steps
    if pattern[0] == "**":
        below = next((at for at, step in enumerate(steps) if step.startswith(".")), len(steps))
        if len(pattern) == 1:
            return 0 < len(steps) == below
        if "**" not in pattern[1:]:  # then there is one place where the rest can begin
            at = len(steps) - len(pattern) + 1
            return 0 <= at <= below and _matches(steps[at:], pattern[1:])
        return any(_matches(steps[at:], pattern[1:]) for at in range(min(below, len(steps) - 1) + 1))
    if not steps or (steps[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return _step(pattern[0])(steps[0]) is not None and _matches(steps[1:], pattern[1:])


@cache
def _step(pattern: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(translate(pattern)).match


def _is_link(path: str) -> bool:
    return os.path.islink(path)  # noqa: PTH114


def _allowed_root(root: str) -> str:
    """Where links may lead: below the root; in a snapshot of Hugging Face's cache, below its repository's cache."""
    whole = os.path.abspath(root)  # noqa: PTH100
    above, separator, _ = whole.partition("/snapshots/")
    return above if separator and os.path.isdir(f"{above}/blobs") else whole  # noqa: PTH112


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
