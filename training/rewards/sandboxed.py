"""The child's side of the sandbox: limits and a filter of system calls first, and only then the untrusted program.

A script by itself: the parent (`programs.py`) runs it by path, in an interpreter without site-packages, environment or
controlling terminal, and it imports nothing of ours. It reads from standard input a line of limits, a program and its
tests, each behind its length, and says that all ran by sending the last thing it reads, a secret word, to the
descriptor that its argument names. Whatever else happens (an exception, an exit, a signal, silence) is a failure.

What the filter (seccomp, by Linux) leaves are the calls named below: memory, clocks, reading, writing to what is open
already. All others fail with EPERM, by the kernel: no sockets, no clone, fork or exec, no signals to others, no open
for writing, no file made, renamed or removed, no other process looked into by ptrace.
"""

import ctypes
import json
import os
import resource
import struct
import sys

_READ_ONLY = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000
"""Flags of open that must not be set: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND."""
_FCNTL = (0, 1, 2, 3, 1030)
"""Commands of fcntl: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC."""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_PLAIN = {
    "x86_64": (
        "0 1 3 4 5 6 7 8 9 10 11 12 13 14 15 17 19 20 21 24 25 28 32 33 35 39 60 63 79 89 96 98 99 102 104 107 108 110 "
        "131 158 186 201 202 204 217 218 228 229 230 231 262 267 269 271 273 292 318 324 332 334 439"
    ),
    "aarch64": (
        "17 23 24 48 57 61 62 63 64 65 66 67 73 78 79 80 93 94 96 98 99 101 113 114 115 123 124 132 134 135 139 160 "
        "165 169 172 173 174 175 176 177 178 179 214 215 216 222 226 233 278 283 291 293 439"
    ),
}
"""Numbers of the system calls that are allowed whatever their arguments, by machine."""
_OPEN = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}
"""Those that open a file, and which argument has the flags."""
_CONTROL = {"x86_64": (72, 1), "aarch64": (25, 1)}
"""fcntl, and which argument has the command."""

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000


def filter_program(machine: str) -> bytes:
    """The filter as the kernel takes it: instructions of 8 bytes."""
    out = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, ARCHITECTURES[machine]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    for number, argument in _OPEN[machine]:
        out += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, 16 + 8 * argument), (_ANY_BIT, 0, 1, _READ_ONLY)]
        out += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    number, argument = _CONTROL[machine]
    tests = [(_EQUAL, len(_FCNTL) - place, 0, command) for place, command in enumerate(_FCNTL)]
    out += [(_EQUAL, 0, 3 + len(tests), number), (_LOAD, 0, 0, 16 + 8 * argument), *tests]
    out += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    for number in map(int, _PLAIN[machine].split()):
        out += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    out.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in out)


def set_limits(seconds: int, memory_bytes: int) -> None:
    """Limits of this process, which it cannot raise again."""
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def close_the_door(machine: str) -> None:
    """Puts the filter in force, for good. Raises OSError where the kernel does not."""
    program = filter_program(machine)
    code = ctypes.create_string_buffer(program, len(program))

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    described = Filter(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(described), 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


def main() -> None:
    """Runs what standard input holds."""
    source, result = sys.stdin.buffer, int(sys.argv[1])
    settings = json.loads(source.readline())
    set_limits(settings["seconds"], settings["memory_bytes"])
    close_the_door(settings["machine"])
    os.write(result, b"+")
    space = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(compile(source.read(settings["program_bytes"]), "<program>", "exec"), space)
    exec(compile(source.read(settings["tests_bytes"]), "<tests>", "exec"), space)
    os.write(result, source.read(settings["word_bytes"]))
    os._exit(0)


if __name__ == "__main__":
    main()
