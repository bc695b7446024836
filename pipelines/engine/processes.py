"""Our processes: how one ended, in words, and how none outlives the process that started it."""

import ctypes
import os
import signal
import sys


def describe_exit(code: int | None) -> str:
    """The cause of a process's death in words."""
    if code is None:
        return "ended without an exit code"
    if code == -signal.SIGKILL:
        return "killed by SIGKILL (by the kernel for want of memory, or by somebody)"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"


def die_with_parent(parent: int) -> None:
    """Asks Linux to end this process when its parent dies, so that a killed driver leaves no orphans computing."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
