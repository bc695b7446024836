"""What Linux and other systems do differently, all of it, so that nobody else asks which system this is.

Everything runs on Linux, x86-64 or ARM. On macOS the local engine and training should: what stands here has an answer
for it, and the rest needs POSIX only (`flock`, `O_NOFOLLOW`, hard links, `fsync` of a folder). That has not been tried.
Windows lacks `fcntl`, and locks of output folders with it.
"""

import ctypes
import os
import platform
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil

_SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of `prctl`."""


def available_cores() -> int:
    """Cores that this process may use; where the system cannot say, those that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def die_with_parent(parent: int) -> None:
    """Asks Linux to end this process when its parent dies, so that a killed driver leaves no orphans computing.

    Elsewhere there is nobody to ask: a worker then finds its pipe closed after the call that it is on, and commits
    nothing from then on, since its driver's lease has run out.

    Args:
        parent: the process that started this one; when it is gone already, so is this one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


def loopback_interface() -> str | None:
    """The network interface of 127.0.0.1 where its name is known."""
    return {"linux": "lo", "darwin": "lo0"}.get(sys.platform)


def linux_machine() -> str:
    """The architecture where this is Linux (`x86_64`, `aarch64`), else "": what a filter of system calls is for."""
    return platform.machine() if sys.platform == "linux" else ""


def has_ray_clusters() -> bool:
    """Whether Ray makes clusters of several machines of this system unless its environment says so."""
    return sys.platform not in ("win32", "darwin")


def made_by_amd() -> bool:
    """Whether the processor says that AMD made it; False where Linux's list of processors is missing."""
    cpus = Path("/proc/cpuinfo")
    return cpus.exists() and "AuthenticAMD" in cpus.read_text()


def has_gpu_driver() -> bool:
    """Whether Linux has a driver of NVIDIA's or AMD's; what torch can use is not known without importing it."""
    return any(Path(path).exists() for path in ("/proc/driver/nvidia", "/dev/nvidia0", "/dev/kfd"))


def peak_memory_bytes() -> int:
    """The most memory that was resident in this program so far.

    Linux's `ru_maxrss` starts a program at the peak of the one that started it (`exec` does not reset it), so that a
    small worker of a large driver would show the driver's; `VmHWM` is the program's own. It is read from counters that
    are some pages off (`man proc_pid_status`), so the highest that was seen is kept.
    """
    process = os.getpid()  # one that was forked begins anew
    _highest[process] = max(_highest.get(process, 0), _resident_at_most())
    return _highest[process]


_highest: dict[int, int] = {}


def held_bytes(process: int) -> int:
    """Resident memory of a process that the system cannot take back by dropping it; 0 where nothing is known of it.

    Pages of files that are mapped do not count: they are read again when they are looked at.
    """
    with suppress(OSError, ValueError):
        status = Path(f"/proc/{process}/status").read_text()
        held = [int(line.split()[1]) for line in status.splitlines() if line.startswith(("RssAnon:", "RssShmem:"))]
        if held:
            return sum(held) * 1024
    with suppress(psutil.Error):
        return int(psutil.Process(process).memory_info().rss)
    return 0


def _resident_at_most() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
