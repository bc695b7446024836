"""The cache of compiled kernels: one per user, shared by all worker processes, filled once with a message to the user.

A kernel in it is used as long as no source that it is made of has changed (`dataproc/kernels/caching.py`). The folder's
name covers what all kernels depend on: Python, the compiler and NumPy.
"""

import contextlib
import fcntl
import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import xxhash

from corpusmill.dataproc.cache import user_cache_folder
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.sources import Sources
from corpusmill.pipelines.private_folder import make_private, require_private

FAMILIES: dict[str, tuple[str, ...]] = {
    "road": (
        "tokenizer.warmup",
        "dataproc.measures.warmup",
        "dataproc.dedup.warmup",
        "dataproc.lint.warmup",
        "training.warmup",
    ),
    "spans": ("dataproc.dedup.warmup_spans",),
    "contamination": ("dataproc.contamination.warmup",),
    "quality": ("dataproc.quality.warmup",),
    "rewriting": ("dataproc.rewriting.warmup",),
    "code": ("dataproc.measures.code_text.warmup",),
    "lists": ("dataproc.lists.warmup",),
    "extraction": ("dataproc.extraction.warmup",),
    "full-text": ("dataproc.search.warmup",),
}
"""Modules with a `compile_kernels()`, by what calls them; each is run in a child process of its own, two at a time.

The `road` is what a run from text to a trained model needs, compiled in one go; the rest when a stage first needs it.
"""

PARALLEL_COMPILES = 2


LOCATORS = ("corpusmill.dataproc.kernels.caching.SourceCacheLocator", "UserProvidedCacheLocator", "IPythonCacheLocator")
"""Numba's locators of a kernel's cache, in this order; the first one that applies is used."""


@cache
def cache_folder() -> Path:
    """`<user cache>/kernels-<digest of Python, compiler and NumPy>`."""
    state = xxhash.xxh3_64(f"{platform.machine()} {platform.python_version()}".encode())
    for name in ("numba", "llvmlite", "numpy"):
        from importlib.metadata import version

        state.update(f"{name} {version(name)}".encode())
    return user_cache_folder() / f"kernels-{state.hexdigest()}"


def configure() -> None:
    """Points numba at the cache; must run before numba is imported, and worker processes inherit it.

    Raises UserError for a cache that is another user's, or that others can write to.
    """
    require_private(user_cache_folder(), shared=True)
    for folder in (_folder(), user_cache_folder() / "unicode"):
        require_private(folder)
    with contextlib.suppress(OSError):  # whoever has to write there says so
        make_private(_folder())
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder()))
    os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", ",".join(LOCATORS))


def is_compiled(family: str = "road") -> bool:
    """Whether the cache holds a family's kernels as its sources are now."""
    return _done_marker(family).exists()


def _folder() -> Path:
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder())


@cache
def _sources(folder: Path) -> Sources:
    return Sources(folder)


def _place() -> str:
    """Where our sources lie, by which numba keeps kernels: a second working copy need not wait for the first."""
    return xxhash.xxh3_64_hexdigest(str(Path(__file__).absolute().parent.parent).encode())


def _done_marker(family: str) -> Path:
    """Named by the sources of all modules that the family's warm-ups import, and by where they lie, as numba has it."""
    state = xxhash.xxh3_64(_place().encode())
    for name in FAMILIES[family]:
        spec = importlib.util.find_spec(f"corpusmill.{name}")
        assert spec is not None and spec.origin is not None  # a module of ours
        state.update(_sources(_folder()).digest(spec.origin).encode())
    return _folder() / f"compiled-{family}-{state.hexdigest()}"


def compile_if_needed(say: Callable[[str], None], families: Sequence[str] = tuple(FAMILIES)) -> float:
    """Fills the cache with what is missing; of several processes one compiles, others wait. Gives the seconds."""
    if all(map(is_compiled, families)):
        return 0.0
    configure()
    folder = _folder()
    try:
        make_private(folder)
    except OSError as error:
        hint = "set CORPUSMILL_CACHE to another folder"
        raise UserError(f"the kernel cache cannot be created ({error.strerror})", str(folder), hint) from error
    started = time.monotonic()
    with (folder / f"lock-{_place()}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [family for family in families if not is_compiled(family)]
        if not missing:
            return 0.0
        say("compiling kernels (first use on this machine, under a minute; kept for later runs)")
        modules = [module for family in missing for module in FAMILIES[family]]
        _run_children(
            [[sys.executable, "-c", f"import corpusmill.{name} as w; w.compile_kernels()"] for name in modules]
        )
        seconds = time.monotonic() - started
        for family in missing:
            _done_marker(family).write_text(f"{seconds:.1f} s\n")
    say(f"compiled kernels in {seconds:.1f} s")
    return seconds


def _run_children(commands: list[list[str]]) -> None:
    waiting = list(commands)
    running: list[tuple[subprocess.Popen[str], list[str]]] = []
    while waiting or running:
        while waiting and len(running) < PARALLEL_COMPILES:
            command = waiting.pop(0)
            running.append(
                (subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True), command)
            )
        process, command = running.pop(0)
        output, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"compiling kernels failed: {' '.join(command)}\n{output}")
