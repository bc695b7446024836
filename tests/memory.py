"""The memory that a step of a test takes, whatever the process took before it."""

import gc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest


def peak_growth() -> Callable[[], int]:
    """Starts to measure; a call of the result gives the most bytes resident since, above those resident now.

    The process's lifetime peak says nothing after a test that took more, so Linux's is reset; elsewhere the test is
    skipped. What Arrow's pool still has of earlier work is given back first, or new work would fill it unseen.
    """
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        pytest.skip("only Linux resets a process's peak memory")

    def peak() -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    gc.collect()
    pa.default_memory_pool().release_unused()
    reset.write_text("5")
    before = peak()
    return lambda: peak() - before
