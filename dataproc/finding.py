"""Files by path, folder, glob or URL: whatever reads raw files, lists or evaluation sets finds them here.

Local files are listed by the standard library, URLs by fsspec. Memory: the list of names.
"""

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError

COUNTED = 1000
WILDCARD = re.compile(r"[*?\[]")


def find_files(
    pattern: str, exclude: Sequence[str] = (), count: Callable[[int], None] | None = None
) -> list[tuple[str, str]]:
    """Sorted (path, name) of the files of a path, folder, glob or URL; names are relative to the pattern's fixed root.

    Hidden files (a name on the way begins with a dot) are left out, unless `pattern` names one itself. Raises UserError
    when nothing matches, and for a name that is not UTF-8, which no dataset could hold. `count` is called with the
    number of files so far, for each thousand of them.
    """
    root = fixed_root(pattern)
    paths = _list_urls(pattern) if storage.is_url(pattern) else _list_local(pattern, count)
    _check_names(paths)
    if storage.is_url(pattern) and not WILDCARD.search(pattern) and pattern not in paths:
        root = pattern.rstrip("/") + "/"  # it is a folder, as the listing shows
    named = ((path, path[len(root) :].lstrip("/") or path.rsplit("/", 1)[-1]) for path in sorted(set(paths)))
    matches = [(path, name) for path, name in named if not any(fnmatch(name, excluded) for excluded in exclude)]
    if not matches:
        raise UserError("no file matches", where=pattern, hint="check the path (and exclude)")
    return matches


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
    wild = None if _is_file(pattern) else WILDCARD.search(pattern)
    fixed = pattern[: wild.start()] if wild else pattern
    return fixed.rsplit("/", 1)[0] + "/" if "/" in fixed else ""


def _is_file(path: str) -> bool:
    """Whether this is a local file, whatever wildcards its name may seem to hold."""
    return not storage.is_url(path) and os.path.isfile(path)  # noqa: PTH113


def _list_local(pattern: str, count: Callable[[int], None] | None = None) -> list[str]:
    if _is_file(pattern):
        return [pattern]
    if os.path.isdir(pattern):  # noqa: PTH112
        matches = _walk(pattern.rstrip("/") or "/")
    else:
        matches = glob.iglob(pattern, recursive=True, include_hidden=False)  # noqa: PTH207 - strings, by the ten thousand
        matches = (path for path in matches if os.path.isfile(path))  # noqa: PTH113
    paths = []
    for path in matches:
        paths.append(path)
        if count and len(paths) % COUNTED == 0:
            count(len(paths))
    return paths


def _walk(folder: str) -> Iterator[str]:
    """The files of a folder and of those below it, hidden ones left out: one look at each folder, none at each file.

    Links are followed, but for those that lead back to a folder on the way. A folder or link that cannot be read is
    passed over, as the library's `glob` does.
    """
    waiting: list[tuple[str, tuple[str, ...]]] = [(folder, ())]  # with what the links on the way lead to
    while waiting:
        folder, followed = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_file():
                    yield entry.path
                elif entry.is_dir() and not entry.is_symlink():
                    waiting.append((entry.path, followed))
                elif entry.is_dir():
                    target, real = os.path.realpath(entry.path), os.path.realpath(folder)
                    if target not in followed and not f"{real}/".startswith(f"{target.rstrip('/')}/"):
                        waiting.append((entry.path, (*followed, target)))
            except OSError:  # a link in a circle
                continue


def _list_urls(pattern: str) -> list[str]:
    import fsspec

    try:
        filesystem, inner = fsspec.core.url_to_fs(pattern)
    except (ImportError, ValueError) as error:
        raise UserError(f"no file system for this URL ({error})", where=pattern) from error
    if not WILDCARD.search(inner) and filesystem.isfile(inner):
        return [pattern]
    matches = (filesystem.glob if WILDCARD.search(inner) else filesystem.find)(inner, detail=True)
    files = [str(path) for path, entry in matches.items() if entry["type"] == "file"]
    protocol, rest = pattern.split("://", 1)
    if protocol == "memory" and not rest.startswith("/"):
        files = [path.lstrip("/") for path in files]  # it lists all with a slash in front
    urls = [path if storage.is_url(path) else f"{protocol}://{path}" for path in files]
    root = fixed_root(pattern)
    return [url for url in urls if not any(name.startswith(".") for name in url[len(root) :].split("/"))]
