"""Rewards for a program that passes tests: run in a child process that can compute, and next to nothing else.

What the sandbox holds, on Linux (x86-64 and ARM) with seccomp, by the kernel and not by Python's good will:

    time        CPU seconds (a limit of the process) and wall seconds (the parent kills it)
    memory      address space; more is a MemoryError
    processes   none, and no threads: clone, fork and exec are refused
    files       no write, creation, renaming or removal: open is for reading only
    network     no socket of any kind
    others      no signals, no ptrace, no terminal, none of this process's environment or descriptors

What it does not hold: the program may *read* files that the user may read (it has no way to send them anywhere, and its
output is thrown away); a program and its tests share one interpreter, so one that sets out to falsify its tests, by
rewriting what they call or by searching memory for the word that says "passed", can; it is as safe as Linux' filter is.
A program near its time limit may pass on one machine and fail on another.

Where the kernel has no such filter, `Programs` raises UserError: nothing runs unconfined.

Cost: a new interpreter for each program, some 20 ms, as many side by side as `workers`.
"""

import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.operating_system import linux_machine
from corpusmill.training.rewards import sandboxed

_FENCE = "```"
_STARTED = b"+"
_BLOCK = 1 << 16
_MOST_SAID = 64


@dataclass(frozen=True)
class Bounds:
    """Of one program with its tests."""

    seconds: int = 2
    """CPU time; wall time is twice that, and a second to start."""
    memory_bytes: int = 512 << 20
    """Address space, the interpreter's some 30 MB included."""


def program_of(completion: str) -> str:
    """The last block between fences (```), its language left out; all of a completion without a whole block."""
    blocks = completion.split(_FENCE)[1::2]
    if completion.count(_FENCE) % 2:
        blocks.pop()
    if not blocks:
        return completion
    first, newline, rest = blocks[-1].partition("\n")
    return rest if newline and len(first.split()) < 2 else blocks[-1]


class Programs:
    """Runs programs with tests. Raises UserError where this machine cannot confine them."""

    def __init__(self, bounds: Bounds = Bounds(), workers: int = 2) -> None:
        self.bounds, self.workers = bounds, workers
        self.machine = linux_machine()
        if self.machine not in sandboxed.ARCHITECTURES:
            what = "programs are confined by Linux alone, on x86-64 and ARM, and this is another system"
            raise UserError(what, hint="use another reward")
        if not self.passes("", ""):
            what = "this machine cannot confine programs: its kernel takes no filter of system calls (seccomp)"
            raise UserError(what, hint="use another reward, or allow seccomp in the container")

    def rewards(self, completions: Sequence[str], tests: Sequence[str]) -> list[float]:
        """1 for each completion whose program passes its tests, several side by side."""
        with ThreadPoolExecutor(self.workers) as pool:
            passed = pool.map(
                lambda pair: self.passes(program_of(pair[0]), pair[1]), zip(completions, tests, strict=True)
            )
            return [float(one) for one in passed]

    def passes(self, program: str, tests: str) -> bool:
        """Whether a program, and then its tests, run to their end."""
        word = secrets.token_bytes(32)
        parts = [text.encode("utf-8", "replace") for text in (program, tests)]
        settings = {
            "seconds": self.bounds.seconds,
            "memory_bytes": self.bounds.memory_bytes,
            "machine": self.machine,
            "program_bytes": len(parts[0]),
            "tests_bytes": len(parts[1]),
            "word_bytes": len(word),
        }
        given = json.dumps(settings).encode() + b"\n" + b"".join(parts) + word
        return _run(given, 2 * self.bounds.seconds + 1) == _STARTED + word


def _run(given: bytes, seconds: float) -> bytes:
    """What the child sends to its result descriptor before it ends, or is killed."""
    reading, writing = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-S", "-s", "-P", "-B", sandboxed.__file__, str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(writing,),
            env={"PYTHONHASHSEED": "0"},
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(writing)
    try:
        return _exchange(child, reading, given, time.monotonic() + seconds)
    finally:
        child.kill()
        assert child.stdin is not None
        with suppress(OSError):
            child.stdin.close()
        child.wait()
        os.close(reading)


def _exchange(child: "subprocess.Popen[bytes]", reading: int, given: bytes, deadline: float) -> bytes:
    """Gives the child its input, and takes what it says: until it ends, says too much, or time is up."""
    assert child.stdin is not None
    writing = child.stdin.fileno()
    os.set_blocking(writing, False)
    said, left = b"", memoryview(given)
    while len(said) <= _MOST_SAID:
        readable, writable, _ = select.select(
            [reading], [writing] if left else [], [], max(0.0, deadline - time.monotonic())
        )
        if not readable and not writable:
            break  # time is up
        if writable:
            try:
                left = left[os.write(writing, left[:_BLOCK]) :]
            except BrokenPipeError:
                left = left[:0]
        if readable:
            new = os.read(reading, _MOST_SAID + 1)
            if not new:
                break
            said += new
    return said
