"""SIGTERM ends a process like Ctrl-C, and lets training leave a checkpoint in the time that it has."""

import subprocess
import sys
import time

import pytest

from tests.pipelines.road import environment

SCRIPT = """
import sys, time
from corpusmill.dataproc.stopping import catch_sigterm, is_stopping, set_grace, stop, stopping_gently
catch_sigterm()
set_grace(float(sys.argv[1]))
print("ready", flush=True)
try:
    with stopping_gently():
        while not is_stopping() or sys.argv[2] == "never":
            time.sleep(0.01)
        print("saved", flush=True)
        stop()
except KeyboardInterrupt:
    print("ended", flush=True)
"""


def ended_by_sigterm(*arguments: str, signals: int = 1) -> tuple[str, float]:
    """What the script printed, and how long it took to end."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    started = time.monotonic()
    for _ in range(signals):
        time.sleep(0.1)
        process.terminate()
    return process.communicate(timeout=20)[0], time.monotonic() - started


def test_work_saves_and_then_ends() -> None:
    assert ended_by_sigterm("10", "saves")[0] == "saved\nended\n"


@pytest.mark.parametrize(("grace", "signals"), [("0", 1), ("0.5", 1), ("60", 2)])
def test_work_that_does_not_save_ends_after_its_time_or_a_second_signal(grace: str, signals: int) -> None:
    said, seconds = ended_by_sigterm(grace, "never", signals=signals)
    assert said == "ended\n"
    assert seconds < 10
