"""Hunts for faults: a child for each family, watched for time and memory, and every fault written down to be run again.

A fault is an exception that is not ours, a lost record, a crash, a case of more than `CASE_SECONDS`, or a child of more
than `MOST_BYTES`. Each is kept as a folder with the damaged file and a test of it (`test_fault.py`), to be moved to the
reader's own tests once it is understood. Faults of one place in the code are kept once.
"""

import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.fuzz.child import Cases

CASE_SECONDS = 20.0
START_SECONDS = 240.0
"""For imports and seeds; a machine without kernels compiles them meanwhile."""
MOST_BYTES = 1 << 30
ROOT = Path(__file__).parent.parent.parent

TEST = '''"""A fault that fuzzing found: case {number} of {family}, in {name}."""

from pathlib import Path

from tests.fuzz.families import FAMILIES


def test_case_{number}_of_{family}() -> None:
    FAMILIES["{family}"].check(Path(__file__).parent, "{name}")
'''


@dataclass
class Hunted:
    """What came of a family: cases begun, and a fault of each kind with the first case that has it."""

    family: str
    cases: int = 0
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)


class _Child:
    def __init__(self, family: str, first: int) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-m", "tests.fuzz.child", family, str(first), "1"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.number, self.since, self.fault = first - 1, time.monotonic() + START_SECONDS - CASE_SECONDS, list[str]()
        self.selector = selectors.DefaultSelector()
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self._rest = ""

    def lines(self) -> list[str]:
        self.selector.select(0.2)
        assert self.process.stdout is not None
        try:
            read = os.read(self.process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return []
        *lines, self._rest = (self._rest + read.decode(errors="replace")).split("\n")
        return lines

    def trouble(self) -> str:
        """Why the child has to be ended, or how it ended; empty while it is well."""
        if (code := self.process.poll()) is not None:
            said = self.process.stderr.read() if self.process.stderr else ""
            return f"crash: exit code {code}: {said[-2000:]}"
        if time.monotonic() - self.since > CASE_SECONDS:
            return f"hang: more than {CASE_SECONDS:g} s"
        try:
            size = psutil.Process(self.process.pid).memory_info().rss
        except psutil.Error:
            return ""
        return f"memory: {size / 2**20:,.0f} MiB" if size > MOST_BYTES else ""

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def hunt(family: str, seconds: float, first: int = 0, most: int | None = None) -> Hunted:
    """Runs cases of a family for so long, or so many of them, from its case number `first` on."""
    hunted = Hunted(family)
    child, deadline = _Child(family, first), float("inf")
    try:
        while time.monotonic() < deadline and (most is None or hunted.cases <= most):
            for line in child.lines():
                if line.startswith("case "):
                    deadline = min(deadline, time.monotonic() + seconds)
                    _note(hunted, child)
                    child.number, child.since = int(line.split()[1]), time.monotonic()
                    hunted.cases += 1
                    if most is not None and hunted.cases > most:
                        break
                elif line.startswith("fault"):
                    child.fault.append(line.removeprefix("fault").removeprefix(" "))
            if trouble := child.trouble():
                child.fault.append(trouble)
                _note(hunted, child)
                child.end()
                child = _Child(family, child.number + 1)
        _note(hunted, child)
    finally:
        child.end()
    return hunted


def _note(hunted: Hunted, child: _Child) -> None:
    if child.fault:
        text, child.fault = "\n".join(child.fault), []
        hunted.faults.setdefault(kind_of(text), (child.number, text))


def kind_of(fault: str) -> str:
    """What makes two faults one: the place in our code and the type of the error; numbers do not count."""
    places = re.findall(r'File "[^"]*/((?:dataproc|tokenizer|training|pipelines)/[^"]*)", line (\d+)', fault)
    last = fault.strip().splitlines()[-1].partition(":")[0]
    return re.sub(r"\d+", "n", last) + (f" at {places[-1][0]}:{places[-1][1]}" if places else "")


def keep(hunted: Hunted, output: Path) -> list[Path]:
    """Writes each fault down as a folder: the damaged file with its neighbours, the error, and a test."""
    kept = []
    with tempfile.TemporaryDirectory(prefix="corpusmill-fuzz-") as scratch:
        cases = Cases(hunted.family, Path(scratch)) if hunted.faults else None
        for number, text in hunted.faults.values():
            assert cases is not None
            made, name = cases.make(number)
            folder = output / f"{hunted.family}-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            for path in made.rglob("*"):
                if path.is_file():
                    (folder / path.relative_to(made)).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path.relative_to(made)).write_bytes(path.read_bytes())
            (folder / "fault.txt").write_text(text + "\n")
            (folder / "test_fault.py").write_text(TEST.format(number=number, family=hunted.family, name=name))
            kept.append(folder)
    return kept
