"""The cache of compiled kernels: one for each user, shared by all worker processes, filled once and said aloud.

numba checks a cached kernel against the file that holds it, but not against the files that it calls into; so the
folder's name carries a digest of the packages that hold kernels, and a change anywhere in them starts a fresh one.
"""

import fcntl
import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import xxhash

from dataproc.cache import user_cache_folder
from dataproc.errors import UserError

WARMUPS = (
    "tokenizer.warmup",
    "dataproc.text.warmup",
    "dataproc.dedup.warmup",
    "dataproc.dedup.warmup_spans",
    "training.warmup",
)
"""Modules with a `compile_kernels()`; each is run in a child process of its own, two at a time."""

PARALLEL_COMPILES = 2


@cache
def cache_folder() -> Path:
    """`<user cache>/numba-<digest of our kernels' packages and of the compiler>`."""
    state = xxhash.xxh3_64(f"{platform.machine()} {platform.python_version()}".encode())
    for name in ("numba", "llvmlite", "numpy"):
        from importlib.metadata import version

        state.update(f"{name} {version(name)}".encode())
    for package in ("dataproc", "tokenizer"):  # those of training call none but dataproc's
        spec = importlib.util.find_spec(package)
        root = Path(str(spec.origin)).parent if spec else Path()
        for path in sorted(root.rglob("*.py")):
            state.update(path.name.encode() + path.read_bytes())
    return user_cache_folder() / f"numba-{state.hexdigest()}"


def configure() -> None:
    """Points numba at the cache; must run before numba is imported, and worker processes inherit it."""
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder()))


def is_compiled() -> bool:
    """Whether the cache has been filled."""
    return _done_marker().exists()


def _done_marker() -> Path:
    return Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder()) / "compiled"


def compile_if_needed(say: Callable[[str], None]) -> float:
    """Fills the cache unless it is full; of several processes one compiles and the others wait. Gives the seconds."""
    if is_compiled():
        return 0.0
    configure()
    marker = _done_marker()
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        mend = "name another folder by CORPUSMILL_CACHE"
        raise UserError(f"the kernel cache cannot be made ({error.strerror})", str(marker.parent), mend) from error
    started = time.monotonic()
    with (marker.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_compiled():
            return 0.0
        say("compiling kernels (first use on this machine, under a minute; kept for later runs)")
        _run_children([[sys.executable, "-c", f"import {name} as w; w.compile_kernels()"] for name in WARMUPS])
        marker.write_text(f"{time.monotonic() - started:.1f} s\n")
    seconds = time.monotonic() - started
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
