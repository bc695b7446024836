"""A repository's tree of files: a folder, or a tar archive that is read as a stream.

Both list a folder's entries and give the contents of chosen files. Links are listed and never followed, so that a loop
of links has no end to find and a link out of the tree leads nowhere. An archive is passed over twice, once for its
names and `.gitignore` files and once for the files that are wanted, so it is never unpacked to a disk; what it claims
to hold is bounded (`archive_bytes`), and so is every header of it.
"""

import os
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from corpusmill.dataproc import storage
from corpusmill.dataproc.decompression import GZIP, BrokenStream, codec_of, open_decompressed
from corpusmill.dataproc.urls import without_query

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.zstd")
"""Endings of archives that can hold a repository."""

FILE, FOLDER, LINK, SPECIAL = "file", "folder", "link", "special file"
PATTERN_FILES = ("/.gitignore", "/.git/info/exclude")
HEADER_BYTES = 1 << 20
IGNORE_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20
WINDOW_BYTES = 1 << 27


class BrokenArchive(Exception):
    """The archive ends early, is damaged, or holds more than it may; the message says which."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder: FILE, FOLDER, LINK or SPECIAL; a file's bytes."""

    name: str
    kind: str
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, or why it could not be read."""

    path: str
    data: bytes
    problem: str = ""


class Tree(Protocol):
    """Paths are relative to the root, with slashes; a folder's is "" or ends with a slash."""

    def entries(self, folder: str) -> tuple[list[Entry], str]:
        """The entries of a folder by name, and what is wrong with it where it cannot be listed."""
        ...

    def ignore_file(self, path: str) -> bytes | None:
        """A `.gitignore` or `.git/info/exclude`, or its first MiB; None where it cannot be read."""
        ...

    def contents(self, paths: Collection[str]) -> Iterator[Content]:
        """Contents of files, each once, in any order."""
        ...


class FolderTree:
    """A local folder, read as it is now."""

    def __init__(self, root: str, limit: int) -> None:
        self.root = root.rstrip("/") or "/"
        self._limit = limit

    def entries(self, folder: str) -> tuple[list[Entry], str]:
        entries: list[Entry] = []
        try:
            with os.scandir(storage.join(self.root, folder)) as listing:
                for item in listing:
                    entries.append(_entry(item))
        except OSError as error:
            return sorted(entries, key=lambda entry: entry.name), _reason(error)
        return sorted(entries, key=lambda entry: entry.name), ""

    def ignore_file(self, path: str) -> bytes | None:
        content = self._content(path, IGNORE_BYTES)
        return None if content.problem else content.data

    def contents(self, paths: Collection[str]) -> Iterator[Content]:
        for path in paths:
            yield self._content(path, self._limit + 1)

    def _content(self, path: str, limit: int) -> Content:
        try:
            # A file that has become a link or a pipe since it was listed is not opened as one, nor waited for.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(storage.join(self.root, path), flags), "rb", buffering=0) as file:  # noqa: PTH123
                return Content(path, _read(file, limit))
        except OSError as error:
            return Content(path, b"", _reason(error))


def _entry(item: "os.DirEntry[str]") -> Entry:
    if item.is_symlink():
        return Entry(item.name, LINK)
    if item.is_dir(follow_symlinks=False):
        return Entry(item.name, FOLDER)
    if not item.is_file(follow_symlinks=False):
        return Entry(item.name, SPECIAL)
    try:
        return Entry(item.name, FILE, item.stat(follow_symlinks=False).st_size)
    except OSError:  # it may be gone: reading it will say so
        return Entry(item.name, FILE)


def _reason(error: OSError) -> str:
    return f"cannot be read ({error.strerror or type(error).__name__})"


def _read(file: Any, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while size < limit and (piece := file.read(min(limit - size, CHUNK_BYTES))):
        pieces.append(piece)
        size += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class ArchiveTree:
    """A tar archive, plain or compressed, by path or URL; a single folder that holds all else is its root.

    The constructor passes over it once. Where it breaks, what came before is the tree, and `problem` says why.
    """

    def __init__(self, path: str, limit: int, archive_bytes: int) -> None:
        self.path = path
        self.problem = ""
        self._limit = limit
        self._archive_bytes = archive_bytes
        self._kinds: dict[str, Entry] = {}
        self._ignore_files: dict[str, bytes] = {}
        self._root = ""
        try:
            for member, data in self._members(lambda path: IGNORE_BYTES * f"/{path}".endswith(PATTERN_FILES)):
                self._note(member, data)
        except BrokenArchive as error:
            self.problem = str(error)
        self._root = _single_folder(self._kinds)
        self._folders = _folders(self._kinds, self._root)

    def entries(self, folder: str) -> tuple[list[Entry], str]:
        return self._folders.get(folder, []), ""

    def ignore_file(self, path: str) -> bytes | None:
        return self._ignore_files.get(self._root + path)

    def contents(self, paths: Collection[str]) -> Iterator[Content]:
        left = set(paths)
        try:
            for member, data in self._members(lambda path: (self._limit + 1) * (path.removeprefix(self._root) in left)):
                path = _clean(member.name).removeprefix(self._root)
                if path in left and data is not None:
                    left.discard(path)
                    yield Content(path, data)
                if not left:
                    return
        except BrokenArchive as error:
            problem = str(error)
        else:
            problem = "is not there any more"
        for path in sorted(left):
            yield Content(path, b"", problem)

    def _note(self, member: tarfile.TarInfo, data: bytes | None) -> None:
        path = _clean(member.name)
        if not path or path in self._kinds:
            return
        name = path.rsplit("/", 1)[-1]
        if ".." in path.split("/"):
            self._kinds[path.replace("..", "(..)")] = Entry(name, SPECIAL)
        elif member.isreg():
            self._kinds[path] = Entry(name, FILE, member.size)
            if data is not None:
                self._ignore_files[path] = data
        elif not member.isdir():
            self._kinds[path] = Entry(name, LINK if member.issym() or member.islnk() else SPECIAL)

    def _members(self, limit: Callable[[str], int]) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
        """All members with the contents of those files whose path has a limit, up to so many bytes."""
        codec = GZIP if without_query(self.path).lower().endswith(".tgz") else codec_of(self.path)
        with storage.open_input(self.path) as file:
            forward = _Forward(open_decompressed(file, codec, WINDOW_BYTES), self._archive_bytes)
            try:
                opened = tarfile.TarFile(fileobj=forward, encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
                with opened as archive:
                    while (member := archive.next()) is not None:
                        count = limit(_clean(member.name)) if member.isreg() else 0
                        stream = archive.extractfile(member) if count else None
                        yield member, _read(stream, count) if stream else None
                        archive.members = []  # type: ignore[attr-defined]  # it would keep all headers
                    if not forward.ended:
                        raise tarfile.ReadError("truncated or damaged: it has no end marker")
            except (tarfile.TarError, BrokenStream, EOFError, OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise BrokenArchive(f"broken archive at byte {forward.tell()} ({error})") from error


class _Forward:
    """A stream that tarfile takes for a seekable file: it seeks by reading, and back by a byte at most.

    `ended` says whether the last block read was of zeros, as at the end of every whole archive: tarfile takes a cut or
    damaged header after the first for the end.
    """

    def __init__(self, stream: Any, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._at = 0
        self._last = b""
        self._back = b""
        self.ended = False

    def tell(self) -> int:
        return self._at

    def seek(self, position: int, whence: int = 0) -> int:
        if position == self._at - 1 and self._last and not self._back:
            self._back, self._at = self._last, position
        if whence or position < self._at:
            raise tarfile.ReadError("its headers point backwards")
        while self._at < position and self.read(min(position - self._at, CHUNK_BYTES)):
            pass
        return self._at

    def read(self, count: int = -1) -> bytes:
        if count < 0 or count > HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {count} bytes")
        if self._at + count > self._limit:
            raise tarfile.ReadError(f"more than {self._limit} bytes uncompressed")
        back = self._back if count else b""
        data = back + _read(self._stream, count - len(back))
        self._back = self._back[len(back) :]
        self._at += len(data)
        self._last = data[-1:]
        self.ended = data == tarfile.NUL * tarfile.BLOCKSIZE
        return data


def _clean(name: str) -> str:
    """A member's name as a path below the root."""
    return "/".join(step for step in name.split("/") if step not in ("", "."))


def _single_folder(paths: Iterable[str]) -> str:
    """The folder, with its slash, that all paths lie in, where there is one: archives are made that way."""
    tops = {path.split("/", 1)[0] if "/" in path else "" for path in paths}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""


def _folders(kinds: dict[str, Entry], root: str) -> dict[str, list[Entry]]:
    """The entries of every folder below the root, by name."""
    folders: dict[str, dict[str, Entry]] = {"": {}}
    for path, entry in kinds.items():
        steps = path.removeprefix(root).split("/")
        folder = ""
        for step in steps[:-1]:
            folders[folder].setdefault(step, Entry(step, FOLDER))
            folder += f"{step}/"
            folders.setdefault(folder, {})
        folders[folder].setdefault(steps[-1], entry)
    return {folder: [names[name] for name in sorted(names)] for folder, names in folders.items()}
