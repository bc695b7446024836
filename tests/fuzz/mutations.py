"""Damage to bytes: what disks, networks, careless programs and hostile people do, each drawn from a generator."""

import random
from collections.abc import Callable

INTERESTING = (
    b"\x00", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x00" * 8, b"\r\n", b"\n",
    b'"', b"\\", b"'", b"<", b"</", b"<!--", b"{", b"[" * 50, b"}", b",", b"\t", b"-1", b"1e999", b"9" * 30, b"NaN",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\\ud800", b"null", b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd", b"../", b"\x1b[31m", b": ", b"- ", b"&a *a ", b"!!python/object:os.system ", b"0\r\n\r\n",
)  # fmt: skip
"""Bytes that mean something to some format."""


def _flip(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 1, 2, 8))):
        if data:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _overwrite(data: bytearray, draw: random.Random) -> None:
    at, new = draw.randrange(len(data) + 1), draw.choice(INTERESTING)
    data[at : at + len(new)] = new


def _insert(data: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    data[at:at] = draw.choice(INTERESTING) * draw.choice((1, 1, 1, 3, 100))


def _delete(data: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    del data[at : at + draw.choice((1, 2, 8, 64, 512))]


def _cut(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data) + 1) :]


def _repeat(data: bytearray, draw: random.Random) -> None:
    at = draw.randrange(len(data) + 1)
    stretch = data[at : at + draw.choice((1, 4, 32, 256))]
    data[at:at] = stretch * draw.choice((1, 2, 50))


def _move(data: bytearray, draw: random.Random) -> None:
    at, to = draw.randrange(len(data) + 1), draw.randrange(len(data) + 1)
    stretch = data[at : at + draw.choice((4, 32, 256))]
    data[to : to + len(stretch)] = stretch


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _flip, _overwrite, _insert, _delete, _cut, _repeat, _move
)  # fmt: skip


def mutate(data: bytes, draw: random.Random) -> bytes:
    """The bytes with one to four kinds of damage; the same for the same state of the generator."""
    damaged = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        draw.choice(MUTATIONS)(damaged, draw)
    return bytes(damaged)
