"""The sandbox: a program that passes its tests, and programs that attack it."""

import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.training.rewards import programs, sandboxed
from corpusmill.training.rewards.programs import Bounds, Programs, program_of

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in sandboxed.ARCHITECTURES, reason="confined by Linux alone"
)

ADD = "def add(a, b):\n    return a + b\n"
REFUSED = '''
import errno

def refused(call, *arguments):
    """Whether the kernel refuses a call."""
    try:
        call(*arguments)
    except PermissionError:
        return True
    except OSError as error:
        return error.errno == errno.EPERM
    except RuntimeError as error:
        return "start new thread" in str(error)
    return False
'''


@pytest.fixture(scope="module")
def sandbox() -> Programs:
    return Programs(Bounds(seconds=1))


def test_a_program_that_passes_its_tests_is_rewarded(sandbox: Programs) -> None:
    completions = [ADD, f"Here it is:\n```python\n{ADD}```\nDone.", "def add(a, b):\n    return a - b", "def add(", ""]
    assert sandbox.rewards(completions, ["assert add(1, 2) == 3"] * 5) == [1, 1, 0, 0, 0]
    imports = "import collections, datetime, functools, heapq, itertools, json, math, random, re, statistics, string"
    assert sandbox.passes(imports, "assert json.loads('[1]') == [1] and random.random() < 1")
    assert sandbox.passes("print('x' * 10**7)", ""), "what it prints goes nowhere"


def test_the_last_whole_block_is_the_program() -> None:
    assert program_of("a\n```\nx = 1\n```\nb\n```py\ny = 2\n```") == "y = 2\n"
    assert program_of("```py\nx = 1\n```\nand ```py\ny =") == "x = 1\n"
    assert program_of("x = 1") == "x = 1" and program_of("```py\nx") == "```py\nx"


@pytest.mark.parametrize(
    "program",
    [
        "import os; os._exit(0)",
        "raise SystemExit(0)",
        "import sys; sys.exit()",
        "import os; [os.write(fd, b'+' + bytes(32)) for fd in range(3, 20)]; os._exit(0)",
        "import os, sys; os.write(int(sys.argv[1]), b'+' * 10**6)",
        "import ctypes; ctypes.string_at(0)",
        "import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        "x = bytearray(10**10)",
        "x = [0]\nwhile True: x += x",
        "import os; os.closerange(0, 100)",
        "raise KeyboardInterrupt",
    ],
)
def test_a_program_that_ends_by_itself_has_passed_nothing(sandbox: Programs, program: str) -> None:
    assert not sandbox.passes(program, "")


@pytest.mark.parametrize("program", ["while True: pass", "import time; time.sleep(60)", "input()\n" * 3])
def test_time_is_bounded(sandbox: Programs, program: str) -> None:
    begun = time.monotonic()
    assert not sandbox.passes(program + "\nimport re; re.match('(a+)+b', 'a' * 50)", "assert False")
    assert time.monotonic() - begun < 8


def test_files_processes_network_signals_and_limits_are_out_of_reach(sandbox: Programs, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("untouched")
    attempts = f"""
import ctypes, os, resource, socket, subprocess, threading
path = {str(mine)!r}
libc = ctypes.CDLL(None, use_errno=True)

def raw(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

attempts = [
    lambda: open(path, "w"), lambda: open(path, "a"), lambda: open(path, "r+"), lambda: open(path + "2", "x"),
    lambda: os.open("/tmp", os.O_RDWR | 0o20200000),
    lambda: os.remove(path), lambda: os.rename(path, path + "2"), lambda: os.mkdir(path + "2"),
    lambda: os.symlink(path, path + "2"), lambda: os.link(path, path + "2"), lambda: os.chmod(path, 0),
    lambda: os.truncate(path, 0), lambda: os.utime(path), lambda: os.mkfifo(path + "2"),
    os.fork, lambda: subprocess.run(["/bin/true"]), lambda: os.execv("/bin/true", ["true"]),
    lambda: os.posix_spawn("/bin/true", ["true"], {{}}), lambda: threading.Thread(target=print).start(),
    socket.socket, lambda: socket.socket(socket.AF_UNIX), lambda: socket.socketpair(),
    lambda: os.kill(os.getppid(), 9), lambda: os.kill(-1, 9), os.setsid, lambda: os.chroot("/"), lambda: os.nice(-1),
    lambda: os.memfd_create("x"), lambda: raw(101, 16, os.getppid(), 0, 0),
]
held = [number for number, attempt in enumerate(attempts) if not refused(attempt)]
assert not held, held
try:
    resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
except ValueError:
    pass
else:
    raise AssertionError("limits can be raised")
assert not set(os.environ) - {{"PYTHONHASHSEED", "LC_CTYPE"}}, dict(os.environ)
descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
assert len(descriptors) <= 5, descriptors
"""
    assert sandbox.passes(REFUSED + attempts, "")
    assert mine.read_text() == "untouched" and [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_the_same_attempts_succeed_outside(tmp_path: Path) -> None:
    """So it is the sandbox that refuses them."""
    socket.socket().close()
    script = REFUSED + "import os\nassert not refused(open, 'made', 'w') and not refused(os.mkdir, 'folder')\n"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def test_nothing_of_a_program_is_left_behind(sandbox: Programs) -> None:
    def children() -> list[str]:
        return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()

    before, open_before = children(), len(list(Path("/proc/self/fd").iterdir()))
    for program in ("while True: pass", ADD):
        sandbox.passes(program, "assert add(1, 1) == 2")
    assert children() == before and len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_program_is_the_same_every_time(sandbox: Programs) -> None:
    program = "order = list({'alpha', 'beta', 'gamma', 'delta'})"
    results = {sandbox.passes(program, f"assert order[0] == {name!r}") for name in ("alpha", "beta")}
    again = {sandbox.passes(program, f"assert order[0] == {name!r}") for name in ("alpha", "beta")}
    assert results == again


def test_a_machine_that_cannot_confine_runs_nothing(monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(programs, "linux_machine", lambda: "riscv64")
        with pytest.raises(UserError, match="confined by Linux alone"):
            Programs()
    monkeypatch.setattr(programs, "_run", lambda given, seconds: b"")
    with pytest.raises(UserError, match="cannot confine programs"):
        Programs()


def test_both_machines_have_a_filter() -> None:
    for machine in sandboxed.ARCHITECTURES:
        made = sandboxed.filter_program(machine)
        assert len(made) % 8 == 0 and 60 < len(made) // 8 < 256, "jumps are of one byte"
