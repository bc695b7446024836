"""How a process of ours ended, in words."""

import signal


def describe_exit(code: int | None) -> str:
    """The cause of a process's death in words."""
    if code is None:
        return "ended without an exit code"
    if code == -signal.SIGKILL:
        return "killed by SIGKILL (by the kernel for want of memory, or by somebody)"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"
