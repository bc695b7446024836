"""A run whose folder is behind a URL: it trains in a local folder, and what it writes is uploaded as it goes.

The trainer renames and truncates files, which no object store can. So it works in a folder of its own on this machine,
and a thread looks once a second for a checkpoint that was committed: its files go up first, with the metrics that lead
to it, then `latest`, and only then what the trainer has removed is removed above. Whatever `latest` names there is
whole at any moment. Another machine begins by fetching that checkpoint and goes on, bit for bit.

Cost: the local folder holds what the run's own folder would. A kill loses the steps since the last checkpoint that
was uploaded. One rank only: several would need a folder that all of them see.
"""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from corpusmill.dataproc import storage
from corpusmill.pipelines.engine.state import STATE

CHECKPOINTS, LATEST = "checkpoints", "latest"
LOGS = ("metrics.jsonl", "spikes.jsonl")
TABLES = "rollouts"
"""A folder of files by step, which are written once (`training/reinforcement/rollouts.py`)."""
TIMING = "timing.jsonl"
LOOK_SECONDS = 1.0
CHUNK = 8 << 20


@contextmanager
def mirrored(url: str) -> Iterator[str]:
    """A local folder with what a run needs to go on from its last checkpoint; what it writes goes to the URL."""
    local = tempfile.mkdtemp(prefix="corpusmill-train-")
    try:
        _fetch_run(url, Path(local))
        with _Mirror(url, Path(local)):
            yield local
    finally:
        shutil.rmtree(local, ignore_errors=True)


def fetch_files(url: str, local: Path) -> None:
    """Copies the files that lie directly in a folder behind a URL."""
    for name in storage.list_names(url):
        path = storage.join(url, name)
        if "." in name:
            _copy(path, str(local / name))


def _fetch_run(url: str, local: Path) -> None:
    name = storage.read_if_there(storage.join(url, CHECKPOINTS, LATEST))
    if name is None:
        return
    checkpoint = name.decode().strip()
    fetch_files(storage.join(url, CHECKPOINTS, checkpoint), local / CHECKPOINTS / checkpoint)
    for log in LOGS:
        _fetch_log(storage.join(url, log), local / log)
    _fetch_log(storage.join(url, STATE, TIMING), local / STATE / TIMING)
    storage.commit_bytes(str(local / CHECKPOINTS / LATEST), name)


def _fetch_log(url: str, local: Path) -> None:
    data = storage.read_if_there(url)
    if data is not None:
        storage.commit_bytes(str(local), data)


def _copy(source: str, target: str) -> None:
    """Raises FileNotFoundError where a local source is gone: the trainer removes old checkpoints."""
    local = not storage.is_url(source)
    with (
        Path(source).open("rb") if local else storage.open_input(source) as reader,
        storage.commit_file(target, durable=False) as writer,
    ):
        while block := reader.read(CHUNK):
            writer.write(block)


class _Mirror:
    """Uploads checkpoints while the block runs, and the rest when it ends well."""

    def __init__(self, url: str, local: Path) -> None:
        self._url, self._local = url, local
        self._uploaded: dict[str, int] = {}
        """Files of checkpoints that are above, with what tells whether they were written anew."""
        self._tables: dict[str, int] = {}
        """The same of files by step."""
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._look_now_and_then, name="mirror", daemon=True)

    def __enter__(self) -> "_Mirror":
        self._latest = self._pointer()
        if self._latest is not None:
            self._uploaded = self._checkpoint_files()
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure
        if self._failure is None:
            self._upload_checkpoint()
        if error is None:
            self._upload_tables()
            for path in sorted(self._local.iterdir()):
                if path.is_file():
                    _copy(str(path), storage.join(self._url, path.name))
            self._upload_timing()

    def _pointer(self) -> tuple[str, int] | None:
        """What `latest` says, and when it was written: a checkpoint of the same step may be replaced."""
        path = self._local / CHECKPOINTS / LATEST
        try:
            return path.read_text().strip(), path.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _checkpoint_files(self) -> dict[str, int]:
        folder = self._local / CHECKPOINTS
        return {
            str(path.relative_to(folder)): path.stat().st_mtime_ns
            for path in sorted(folder.glob("step-*/*"))
            if path.is_file()
        }

    def _look_now_and_then(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                self._upload_checkpoint()
            except FileNotFoundError:
                continue  # the trainer has removed it: there is a newer one
            except Exception as error:
                self._failure = error
                return

    def _upload_checkpoint(self) -> None:
        pointer = self._pointer()
        if pointer is None or pointer == self._latest:
            return
        files = self._checkpoint_files()
        for name, written in files.items():
            if self._uploaded.get(name) != written:
                _copy(str(self._local / CHECKPOINTS / name), storage.join(self._url, CHECKPOINTS, name))
                self._uploaded[name] = written
        self._upload_tables()
        for log in LOGS:
            if (self._local / log).exists():
                _copy(str(self._local / log), storage.join(self._url, log))
        self._upload_timing()
        storage.commit_bytes(storage.join(self._url, CHECKPOINTS, LATEST), pointer[0].encode())
        self._latest = pointer
        for name in sorted(set(self._uploaded) - set(files)):
            storage.remove_file(storage.join(self._url, CHECKPOINTS, name))
            del self._uploaded[name]

    def _upload_tables(self) -> None:
        for path in sorted((self._local / TABLES).glob("*.parquet")):
            written = path.stat().st_mtime_ns
            if self._tables.get(path.name) != written:
                _copy(str(path), storage.join(self._url, TABLES, path.name))
                self._tables[path.name] = written

    def _upload_timing(self) -> None:
        if (self._local / STATE / TIMING).exists():
            _copy(str(self._local / STATE / TIMING), storage.join(self._url, STATE, TIMING))
