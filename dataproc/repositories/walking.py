"""Walks a repository: which files are candidates, and how many are left out for which reason.

Folders are judged before what is in them (left_out, ignored) and what is below one that is left out is counted, never
read. Cost: one listing a folder, about 2 us a name and 1 us for each `.gitignore` above it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

from corpusmill.dataproc.errors import is_utf8
from corpusmill.dataproc.repositories import left_out, trees
from corpusmill.dataproc.repositories.ignored import EXCLUDE_FOLDER, EXCLUDE_NAME, NAME, IgnoreFile, is_ignored
from corpusmill.dataproc.repositories.languages import is_candidate
from corpusmill.dataproc.repositories.trees import Tree


@dataclass(kw_only=True)
class Walk:
    """What a walk found.

    Attributes:
        files: paths of the files to read, sorted.
        left_out: files left out, by reason.
        problems: (path, reason) of what could not be listed, and of names that are not UTF-8.
    """

    files: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[str, str]] = field(default_factory=list)


def walk(tree: Tree, maximum_file_bytes: int, exclude: Sequence[str] = ()) -> Walk:
    """The candidates of a repository; `exclude` holds patterns of further paths to leave out."""
    walked = Walk()
    folders: list[tuple[str, list[IgnoreFile]]] = [("", _read_patterns(tree, EXCLUDE_FOLDER, EXCLUDE_NAME, "", walked))]
    while folders:
        folder, ignore_files = folders.pop()
        entries, problem = tree.entries(folder)
        if problem:
            walked.problems.append((folder or ".", problem))
        ignore_files = [*ignore_files, *_read_patterns(tree, folder, NAME, folder, walked, entries)]
        for entry in entries:
            path = folder + entry.name
            if not is_utf8(entry.name):
                walked.problems.append((path, "the name is not UTF-8"))
            elif entry.kind == trees.FOLDER:
                reason = _folder_reason(path + "/", ignore_files, exclude)
                if reason is None:
                    folders.append((path + "/", ignore_files))
                elif reason != left_out.VERSION_CONTROL:
                    walked.left_out += Counter({reason: _files_below(tree, path + "/")})  # none where nothing is there
            elif entry.name not in left_out.VERSION_CONTROL_NAMES:
                reason = _file_reason(path, entry, ignore_files, maximum_file_bytes, exclude)
                if reason is None:
                    walked.files.append(path)
                else:
                    walked.left_out[reason] += 1
    walked.files.sort()
    return walked


def _read_patterns(
    tree: Tree, folder: str, name: str, of_folder: str, walked: Walk, entries: Sequence[trees.Entry] | None = None
) -> list[IgnoreFile]:
    """The file of patterns `name` of a folder, for what is below `of_folder`; none where it is no file."""
    entries = tree.entries(folder)[0] if entries is None else entries
    if not any(entry.name == name and entry.kind == trees.FILE for entry in entries):
        return []
    text = tree.ignore_file(folder + name)
    if text is None:
        walked.problems.append((folder + name, "cannot be read: what it ignores is not known"))
        return []
    return [IgnoreFile(of_folder, text.decode("utf-8", "surrogateescape"))]


def _folder_reason(path: str, ignore_files: list[IgnoreFile], exclude: Sequence[str]) -> str | None:
    reason = left_out.folder_reason(path)
    if reason is None and is_ignored(path, ignore_files):
        reason = left_out.IGNORED
    return left_out.EXCLUDED if reason is None and _is_excluded(path[:-1], exclude) else reason


def _file_reason(
    path: str, entry: trees.Entry, ignore_files: list[IgnoreFile], maximum_file_bytes: int, exclude: Sequence[str]
) -> str | None:
    if entry.kind == trees.LINK:
        return left_out.LINK
    if entry.kind == trees.SPECIAL:
        return left_out.SPECIAL
    if is_ignored(path, ignore_files):
        return left_out.IGNORED
    if _is_excluded(path, exclude):
        return left_out.EXCLUDED
    if reason := left_out.name_reason(entry.name):
        return reason
    if not is_candidate(path):
        return left_out.UNKNOWN
    return left_out.OVERSIZED if entry.bytes > maximum_file_bytes else None


def _files_below(tree: Tree, top: str) -> int:
    """Files below a folder that is left out; a folder that cannot be listed counts as one."""
    files, folders = 0, [top]
    while folders:
        folder = folders.pop()
        entries, problem = tree.entries(folder)
        if problem:
            files += 1
        for entry in entries:
            if entry.kind != trees.FOLDER:
                files += 1
            elif entry.name not in left_out.VERSION_CONTROL_NAMES:
                folders.append(f"{folder}{entry.name}/")
    return files


def _is_excluded(path: str, exclude: Sequence[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in exclude)
