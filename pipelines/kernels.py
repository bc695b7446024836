"""The cache of compiled kernels: one per user, shared by all worker processes, filled once with a message to the user.

What is compiled ahead is named by whoever calls it: a stage's `kernels`, and a measure's or rewriter's `warmup`, are
names of modules with a `compile_kernels()`, which calls a package's kernels on tiny inputs. There is no list of kernels
and their types: the types are those of the calls. A list would repeat the casts of 184 callers, and an entry that
differs in one read-only array would compile a kernel that nobody calls. What a stage or a warm-up forgets is caught by
`tests/dataproc/kernels/test_warmups.py`, which finds every kernel in the sources.

A kernel in the cache is used as long as no source that it is made of has changed (`dataproc/kernels/caching.py`). The
folder's name covers what all kernels depend on: Python, the compiler and NumPy.
"""

import contextlib
import fcntl
import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import xxhash

from corpusmill.dataproc.cache import user_cache_folder
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.sources import Sources
from corpusmill.pipelines.private_folder import make_private, require_private

PARALLEL_COMPILES = 2
"""Warm-ups that run at once, each in a process of its own."""

PARTS = ("dataproc", "tokenizer", "training")
"""Packages of ours that have kernels."""

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


def is_compiled(warmup: str) -> bool:
    """Whether the cache holds the kernels of a warm-up module as its sources are now."""
    return _done_marker(warmup).exists()


def warmups() -> list[str]:
    """All warm-up modules of ours, by the names of their files."""
    root = Path(__file__).absolute().parents[1]
    files = sorted(path for part in PARTS for path in (root / part).rglob("warmup*.py"))
    return [".".join(("corpusmill", *path.relative_to(root).with_suffix("").parts)) for path in files]


def _folder() -> Path:
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder())


@cache
def _sources(folder: Path) -> Sources:
    return Sources(folder)


def _place() -> str:
    """Where our sources lie, by which numba keeps kernels: a second working copy need not wait for the first."""
    return xxhash.xxh3_64_hexdigest(str(Path(__file__).absolute().parent.parent).encode())


def _done_marker(warmup: str) -> Path:
    """Named by the sources of all that a warm-up imports, and by where they lie, as numba has it."""
    spec = importlib.util.find_spec(warmup)
    if spec is None or spec.origin is None:
        raise UserError(
            "there is no such warm-up module", where=warmup, hint="correct the stage or measure that names it"
        )
    state = xxhash.xxh3_64(_place().encode())
    state.update(_sources(_folder()).digest(spec.origin).encode())
    return _folder() / f"compiled-{warmup}-{state.hexdigest()}"


def compile_if_needed(say: Callable[[str], None], wanted: Iterable[str] | None = None) -> float:
    """Fills the cache with what is missing; of several processes one compiles, others wait. Gives the seconds.

    Args:
        say: prints a line for the user.
        wanted: names of warm-up modules; all of ours if None.
    """
    wanted = warmups() if wanted is None else list(dict.fromkeys(wanted))
    if all(map(is_compiled, wanted)):
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
        missing = [warmup for warmup in wanted if not is_compiled(warmup)]
        if not missing:
            return 0.0
        say("compiling kernels (first use on this machine, under a minute; kept for later runs)")
        _run_children([[sys.executable, "-c", f"import {name} as w; w.compile_kernels()"] for name in missing])
        seconds = time.monotonic() - started
        for warmup in missing:
            _done_marker(warmup).write_text(f"{seconds:.1f} s\n")
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
