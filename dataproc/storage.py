"""Files by path or URL, and the one way in which an output appears: whole, or not at all.

Local files are written under a temporary name of their own (`.tmp-<random>-<name>`), synced and renamed, so a reader
never sees half a file and two attempts never write to one name. An object store has no rename; there an object
appears by its own PUT, or the end of its upload in parts, when it is closed, and a failed write discards it
(`stores/`). (`file://` is written as a local path is.)
Digests (xxh3, 128 bits) are taken as bytes pass by, so that nothing is read twice.

Local paths never touch fsspec, whose import costs 0.3 s.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.urls import is_http, is_masked

TEMPORARY_PREFIX = ".tmp-"
READS_AT_A_TIME = 16
Answer = TypeVar("Answer")


def holds_memory_files() -> bool:
    """Whether this process has files of fsspec's `memory://`, which no other process sees."""
    loaded = sys.modules.get("fsspec.implementations.memory")
    return loaded is not None and bool(loaded.MemoryFileSystem.store)


def is_url(path: str) -> bool:
    """Whether `path` names something that fsspec has to open (`s3://…`), rather than a local file."""
    return "://" in path


def join(folder: str, *names: str) -> str:
    """A path below a folder, for local paths and URLs alike."""
    return "/".join([folder.rstrip("/"), *names]) if folder != "/" else "/" + "/".join(names)


def absolute(path: str) -> str:
    """The path from the root, for people; a URL is that already."""
    return path if is_url(path) else os.path.abspath(path)  # noqa: PTH100


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it. Raises UserError where there is none."""
    from corpusmill.dataproc.stores.clients import open_client

    if is_masked(url):
        raise UserError("the credentials of this URL were not stored", where=url, hint="give the full URL again")
    return open_client(url)


def _ask(url: str, request: Callable[[Any, str], Answer]) -> Answer:
    """What a request to a remote file system gives, asked again after faults that pass (`stores/attempts.py`)."""
    from corpusmill.dataproc.stores.attempts import attempt
    from corpusmill.dataproc.stores.clients import renew

    filesystem, inner = file_system(url)
    return attempt(url, lambda: request(filesystem, inner), lambda: renew(filesystem))


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Turns what a remote file system raises into a line: a UserError for what its user can mend, `Unreachable` for
    faults that pass, of which an engine makes another attempt.

    What says that a file is not there, that a disk is full, or has a number of its own, stays as it is.
    """
    from corpusmill.dataproc.stores.attempts import as_passing

    try:
        yield
    except Exception as error:
        raise as_passing(url, error) from error


def counted_requests() -> Mapping[str, int]:
    """Requests that this process made of stores, by kind, and those made `again`; nothing where it made none."""
    loaded = sys.modules.get("corpusmill.dataproc.stores.attempts")
    return loaded.counted() if loaded is not None else {}


def require_bucket(url: str) -> None:
    """Raises UserError where the bucket of a URL is not there, may not be listed, or cannot be reached."""
    from corpusmill.dataproc.stores import clients, listing

    if clients.protocol_of(url) in clients.EXTRAS:
        listing.require_bucket(*file_system(url), url)


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    if not is_url(path):
        return os.path.exists(path)  # noqa: PTH110 - called thousands of times in a plan
    if is_http(path):
        from corpusmill.dataproc import http_files

        return http_files.exists(path)
    from corpusmill.dataproc.stores.listing import is_there

    return is_there(*file_system(path), path)


def size(path: str) -> int:
    """Bytes of a file. Raises FileNotFoundError."""
    if not is_url(path):
        return os.stat(path).st_size  # noqa: PTH116
    if is_http(path):
        from corpusmill.dataproc import http_files

        return http_files.measure_file(path)[0]
    return int(_ask(path, lambda filesystem, inner: filesystem.info(inner))["size"])


def identity(path: str) -> list[int | str]:
    """What shows that a file is the same as before: [bytes, modification time in ns]; of an object [bytes, etag]."""
    if not is_url(path):
        status = os.stat(path)  # noqa: PTH116
        return [status.st_size, status.st_mtime_ns]
    if is_http(path):
        from corpusmill.dataproc import http_files

        return list(http_files.measure_file(path))
    from corpusmill.dataproc.stores.listing import mark_of

    info = _ask(path, lambda filesystem, inner: filesystem.info(inner))
    return [int(info["size"]), mark_of(info)]


def list_names(folder: str) -> list[str]:
    """The sorted names directly in a folder, temporary ones left out; empty where there is no such folder."""
    if not is_url(folder):
        if not os.path.isdir(folder):  # noqa: PTH112
            return []
        names = os.listdir(folder)  # noqa: PTH208
    else:
        from corpusmill.dataproc.stores.listing import list_folder

        names = [entry.name for entry in list_folder(*file_system(folder), folder)]
    return sorted(name for name in names if not name.startswith(TEMPORARY_PREFIX))


def file_sizes(folder: str, names: Sequence[str]) -> dict[str, int]:
    """Bytes of those of these files that are directly in a folder: of a remote one by listings, not by a request for
    each."""
    if not is_url(folder):
        sizes = {}
        for name in names:
            with suppress(FileNotFoundError, NotADirectoryError):
                sizes[name] = os.stat(join(folder, name)).st_size  # noqa: PTH116
        return sizes
    from corpusmill.dataproc.stores.listing import list_known

    entries = list_known(*file_system(folder), folder, names)
    return {name: entries[name].size for name in names if name in entries}


def open_input(path: str) -> BinaryIO:
    """Opens a file for reading bytes. Raises UserError when it is not there or may not be read."""
    try:
        if not is_url(path):
            return open(path, "rb")  # noqa: PTH123 - the caller closes it
        if is_http(path):
            from corpusmill.dataproc import http_files

            return http_files.open_http(path)
        return _open_remote(path)
    except FileNotFoundError as error:
        raise UserError("no such file", where=path) from error
    except PermissionError as error:
        raise UserError("this file cannot be read", where=path, hint="check its permissions") from error


def _open_remote(path: str) -> Any:
    """A file of a store, read ahead by ranges; one of any other file system as fsspec opens it."""
    from corpusmill.dataproc.stores import clients
    from corpusmill.dataproc.stores.reading import ObjectReader

    filesystem, inner = file_system(path)
    if clients.protocol_of(path) in clients.EXTRAS:
        return ObjectReader(filesystem, inner, path)
    with reached(path):
        return filesystem.open(inner, "rb")


def read_bytes(path: str) -> bytes:
    """A whole small file."""
    with open_input(path) as file:
        return file.read()


def read_if_there(path: str) -> bytes | None:
    """A whole small file; None where there is none: of a store by one request."""
    if not is_url(path) or is_http(path):
        return read_bytes(path) if exists(path) else None
    try:
        with _open_remote(path) as file:
            return bytes(file.read())
    except (FileNotFoundError, NotADirectoryError, FileExistsError):  # memory:// says the last of a path below a file
        return None


def read_range(url: str, start: int, count: int) -> bytes:
    """So many bytes of a remote file, by one request. Raises ValueError where it is shorter."""
    data = bytes(_ask(url, lambda filesystem, inner: filesystem.cat_file(inner, start=start, end=start + count)))
    if len(data) != count:
        raise ValueError("it is truncated")
    return data


def read_end(url: str, count: int) -> bytes:
    """The last bytes of a remote file, by one request: so many, or all that it has."""
    return bytes(_ask(url, lambda filesystem, inner: filesystem.cat_file(inner, start=-count)))


def read_each(paths: Sequence[str]) -> list[bytes]:
    """Whole small files, in order; remote ones several at a time."""
    if len(paths) < 2 or not is_url(paths[0]) or paths[0].startswith("memory://"):
        return [read_bytes(path) for path in paths]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(READS_AT_A_TIME) as pool:
        return list(pool.map(read_bytes, paths))


class DigestedFile:
    """A binary file being written that counts its bytes and takes their xxh3 digest. Not seekable."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._state = xxhash.xxh3_128()
        self.bytes = 0
        self.closed = False

    @property
    def digest(self) -> str:
        return self._state.hexdigest()

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._file.write(view)
        self._state.update(view)
        self.bytes += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        self._file.flush()

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """Does nothing: libraries close the file that they write, but only the commit ends it."""


_may_commit: Callable[[], None] | None = None


@contextmanager
def commits_only_while(check: Callable[[], None]) -> Iterator[None]:
    """Calls `check` before and after anything is written in the block, in every thread of this process; a check that
    raises stops the commit. An engine says by it that a worker still works for somebody."""
    global _may_commit
    before, _may_commit = _may_commit, check
    try:
        yield
    finally:
        _may_commit = before


def require_commit() -> None:
    """Raises when what this process works for is over (`commits_only_while`); called at both ends of a commit."""
    if _may_commit is not None:
        _may_commit()


@contextmanager
def commit_file(path: str, *, durable: bool = True) -> Iterator[DigestedFile]:
    """Writes `path` so that it appears whole when the block ends, or not at all when the block raises.

    Local: a temporary name in the same folder, fsync (unless not `durable`: it then survives the death of the process
    but not of the machine), rename. Object store: one PUT on close, or parts that become an object then. Folders are
    made.
    """
    require_commit()
    if is_url(path):
        if is_http(path):
            raise UserError("HTTP URLs are read-only", where=path, hint="use a local folder, or an object store")
        filesystem, inner = file_system(path)
        if filesystem.protocol != ("file", "local"):
            yield from _commit_object(filesystem, inner, path)
            return
        path = inner
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{target.name}")
    try:
        with temporary.open("xb", buffering=1 << 20) as file:
            yield DigestedFile(file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        require_commit()
        temporary.replace(target)
        if durable:
            sync_path(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _commit_object(filesystem: Any, inner: str, url: str) -> Iterator[DigestedFile]:
    from corpusmill.dataproc.stores.writing import ObjectWriter

    file = ObjectWriter(filesystem, inner, url)
    try:
        yield DigestedFile(file)
        require_commit()
        file.close()
    except BaseException as error:
        file.discard()
        if isinstance(error, FileNotFoundError):
            require_bucket(url)
        raise


def sync_path(path: Path) -> None:
    """Makes a file, or the renames in a folder, survive a loss of power: no marker may outlive what it marks."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit_bytes(path: str, data: bytes, *, durable: bool = True) -> str:
    """Writes a small file whole; returns its digest."""
    with commit_file(path, durable=durable) as file:
        file.write(data)
    return file.digest


def digest_file(path: str, chunk: int = 1 << 22) -> str:
    """The xxh3-128 hex digest of a file, read in bounded chunks."""
    state = xxhash.xxh3_128()
    with open_input(path) as file:
        while block := file.read(chunk):
            state.update(block)
    return state.hexdigest()


def remove(path: str) -> None:
    """Removes a file or a whole folder; nothing happens when it is not there."""
    if is_url(path):
        from corpusmill.dataproc.stores import clients, listing

        filesystem, inner = file_system(path)
        if clients.is_s3(filesystem):
            listing.remove_tree(filesystem, inner, path)
            return
        with suppress(FileNotFoundError):
            _ask(path, lambda filesystem, inner: filesystem.rm(inner, recursive=True))
        return
    target = Path(path)
    if target.is_dir() and not target.is_symlink():
        import shutil

        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)


def remove_file(path: str) -> None:
    """Removes one file; nothing happens when it is not there. Of a store, one request."""
    if not is_url(path):
        Path(path).unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError):
        _ask(path, lambda filesystem, inner: filesystem.rm_file(inner))


def remove_temporaries(folder: str) -> int:
    """Removes what killed attempts left in a local folder and below it; returns how many files and folders."""
    if is_url(folder) or not Path(folder).is_dir():
        return 0
    stale = list(Path(folder).rglob(f"{TEMPORARY_PREFIX}*"))
    for path in stale:
        remove(str(path))
    return len(stale)
