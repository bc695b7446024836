"""What differs between systems stands in one module, and answers on a system that is not Linux, too."""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corpusmill.dataproc import operating_system
from tests.pipelines.road import environment

ROOT = Path(__file__).parents[2]
SIGNS = {"sys.platform", "os.name", "os.sched_getaffinity", "platform.system"}
MODULES = {"ctypes", "resource"}
FOR_PEOPLE = {"pipelines/cli/doctor.py"}
"""Prints the system's name and decides nothing by it."""
LINUX_ONLY = {"training/rewards/sandboxed.py"}
"""A script for Linux that imports nothing of ours; who runs it asks `operating_system` first."""


def signs_in(path: Path) -> set[str]:
    """What of a source file asks which system this is, or only some systems have."""
    tree = ast.parse(path.read_text())
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & SIGNS
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names} & MODULES
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(("/proc", "/sys/"))
    }
    return names | imports | texts


def test_no_other_module_asks_which_system_this_is() -> None:
    actual = {}
    for package in ("dataproc", "tokenizer", "training", "pipelines"):
        for path in (ROOT / package).rglob("*.py"):
            if signs := signs_in(path):
                actual[str(path.relative_to(ROOT))] = signs
    assert len(actual.pop("dataproc/operating_system.py")) > 3
    assert actual.keys() <= FOR_PEOPLE | LINUX_ONLY, actual


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "sched_getaffinity"):
        assert operating_system.available_cores() == len(os.sched_getaffinity(0))
        monkeypatch.delattr(os, "sched_getaffinity")
    assert operating_system.available_cores() == os.cpu_count()


def test_peak_memory_counts_what_was_given_back_and_is_a_program_s_own() -> None:
    """In a process of its own, since this one may have held more before; nor does it start at what this one holds."""
    code = (
        "from corpusmill.dataproc.operating_system import peak_memory_bytes as peak; before = peak(); "
        "assert before < 256 << 20, before; "
        "bytearray(64 << 20)[:] = b'1' * (64 << 20); assert before + (32 << 20) < peak() < 1 << 40, (before, peak())"
    )
    weight = bytearray(b"1") * (512 << 20)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(weight) == 512 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_process_dies_with_the_one_that_started_it() -> None:
    child = "import os, sys, time; from corpusmill.dataproc.operating_system import die_with_parent; "
    child += "die_with_parent(int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(60)"
    parent = "import os, subprocess, sys; p = subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid())], "
    parent += "stdout=subprocess.PIPE); print(p.stdout.readline().decode(), flush=True); os._exit(0)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    line = [sys.executable, "-c", parent, child]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=60)
    process = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(100):  # it may wait as a zombie for init to notice
        if not process.exists() or process.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("it lives on")


def test_another_system_is_asked_for_nothing_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    operating_system.die_with_parent(-1)  # on Linux this process would end here
    assert operating_system.loopback_interface() == "lo0"
    monkeypatch.setattr(sys, "platform", "sunos5")
    assert operating_system.loopback_interface() is None
