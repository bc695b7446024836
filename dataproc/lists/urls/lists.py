"""List files of domains and addresses, to sets of keys: read in chunks, one spelling for all, every bad line told.

A line is a domain (`example.com`), an address (`https://example.com/page`; of a list of domains its host is taken), or,
in the format of hosts files, a number and the names that it stands for (`0.0.0.0 ads.example`). `*.example` and
`.example` are everything below a name, even if that is a public suffix.

An entry of a list of domains means a name and everything below it, unless the name is a public suffix: `co.uk` alone
must not take a country's companies along, so such an entry is the host of that name and no other.

Cost: 1 to 2 s for 4.6 million domains. Memory while loading: 8 bytes an entry, the set itself, and 60 MB for a chunk.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.hashing import holds, make_set
from corpusmill.dataproc.lists.files import list_paths, no_entries, read_chunks
from corpusmill.dataproc.lists.urls.canonical import Canonical, canonical_spans
from corpusmill.dataproc.lists.urls.keys import address_keys, host_keys
from corpusmill.dataproc.lists.urls.suffixes import load_rules

_SPACE, _NEWLINE, _HASH_MARK, _DOT, _COLON, _STAR = 0x20, 0x0A, 0x23, 0x2E, 0x3A, 0x2A
_HYPHEN, _UNDERSCORE, _OPEN, _CLOSE = 0x2D, 0x5F, 0x5B, 0x5D
_SHOWN = 60


class Names(NamedTuple):
    """A list of domains as two sets of keys: `below` are names with all that lies below them, `exactly` hosts alone."""

    below: np.ndarray
    exactly: np.ndarray


def no_names() -> Names:
    """A list that holds nothing."""
    return Names(make_set([]), make_set([]))


def read_domains(path: str) -> Names:
    """The domains of a file, a folder or a glob of files. Raises UserError as `_entries`, and for no host."""
    rules = load_rules()
    below, exactly = [], []
    for chunk in _entries(path, addresses=False):
        canonical = canonical_spans(chunk.data, chunk.starts, chunk.stops)
        _check_hosts(canonical, chunk)
        keys, above = host_keys(canonical.data, canonical.bounds, canonical.host_bytes)
        alone = _are_suffixes(keys, above, rules.names, rules.parents, rules.exceptions) & ~chunk.wild
        below.append(keys[~alone])
        exactly.append(keys[alone])
    return Names(make_set(below), make_set(exactly))


def read_hosts(path: str) -> np.ndarray:
    """The hosts of a file, a folder or a glob of files, each for itself alone: a set. Raises as `read_domains`."""
    keys = []
    for chunk in _entries(path, addresses=False):
        canonical = canonical_spans(chunk.data, chunk.starts, chunk.stops)
        _check_hosts(canonical, chunk)
        keys.append(host_keys(canonical.data, canonical.bounds, canonical.host_bytes)[0])
    return make_set(keys)


def read_addresses(path: str) -> np.ndarray:
    """The addresses of a file, a folder or a glob of files: a set. Raises as `read_domains`."""
    keys = []
    for chunk in _entries(path, addresses=True):
        canonical = canonical_spans(chunk.data, chunk.starts, chunk.stops)
        _check_hosts(canonical, chunk)
        keys.append(address_keys(canonical.data, canonical.bounds))
    return make_set(keys)


class _Chunk(NamedTuple):
    """Entries of some lines: data[starts[i] : stops[i]], on which line, and whether it was written `*.name`."""

    path: str
    data: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    lines: np.ndarray
    wild: np.ndarray


def _entries(pattern: str, *, addresses: bool) -> Iterator[_Chunk]:
    """The entries of all files of a pattern, in chunks.

    Raises:
        UserError: no file, one that cannot be read, one without entries, or a line of several words that does not begin
            with a number.
    """
    for path in list_paths(pattern):
        line, entries = 0, 0
        for chunk in read_chunks(path):
            data = read_only(np.frombuffer(chunk, np.uint8), np.uint8)
            room = _count_words(data) + 1
            starts, stops, lines = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
            wild = np.zeros(room, np.bool_)
            count, line, bad = _find_entries(data, line, addresses, starts, stops, lines, wild)
            if bad >= 0:
                shown = chunk[bad:].split(b"\n", 1)[0].decode("utf-8", "backslashreplace")[:_SHOWN]
                raise UserError(f"'{shown}' is not a valid entry", f"{path}, line {line}", "write one entry a line")
            entries += count
            if count:
                yield _Chunk(path, data, starts[:count], stops[:count], lines[:count], wild[:count])
        if not entries:
            raise no_entries(path)


def _check_hosts(canonical: Canonical, chunk: _Chunk) -> None:
    """Raises UserError for the first entry that has no host, or one with what no host may hold."""
    bad = _first_bad_host(canonical.data, canonical.bounds, canonical.host_bytes)
    if bad >= 0:
        entry = chunk.data[chunk.starts[bad] : chunk.stops[bad]].tobytes().decode("utf-8", "backslashreplace")[:_SHOWN]
        where = f"{chunk.path}, line {chunk.lines[bad]}"
        raise UserError(f"'{entry}' has no host", where, "write a domain or an address, such as example.com")


@kernel_step
def _is_host(data, start, stop):
    """Whether data[start:stop] has what hosts consist of: letters, digits, `-`, `_` and dots, or IPv6 in brackets."""
    if start == stop:
        return False
    bracketed = data[start] == _OPEN
    for place in range(start, stop):
        byte = data[place]
        usual = 97 <= byte <= 122 or 48 <= byte <= 57 or byte in (_DOT, _HYPHEN, _UNDERSCORE)
        if not (usual or (bracketed and byte in (_COLON, _OPEN, _CLOSE))):
            return False
    return True


@kernel
def _first_bad_host(data, bounds, host_bytes):
    """The first address whose host cannot be one (`ads*.example`, or `||ads.example^` of another format), or -1."""
    for row in range(host_bytes.size):
        if not _is_host(data, bounds[row], bounds[row] + host_bytes[row]):
            return row
    return -1


@kernel
def _are_suffixes(keys, above, names, parents, exceptions):
    """Whether each host is a public suffix: named by a rule, the parent of a wildcard or below one, or one label."""
    matches = np.zeros(keys.size, np.bool_)
    for row in range(keys.size):
        if holds(exceptions, keys[row]):
            continue
        single = above[row] == 0
        under = not single and holds(parents, above[row])
        matches[row] = single or under or holds(names, keys[row]) or holds(parents, keys[row])
    return matches


@kernel
def _count_words(data):
    """How many words lie between white space: no fewer than entries."""
    words = 0
    inside = False
    for byte in data:
        words += 1 if byte > _SPACE and not inside else 0
        inside = byte > _SPACE
    return words


@kernel_step
def _is_number(data, start, stop):
    """Whether a word is an address of the internet, as it stands first in a line of a hosts file."""
    dots = colons = 0
    for place in range(start, stop):
        byte = data[place]
        dots += 1 if byte == _DOT else 0
        colons += 1 if byte == _COLON else 0
        if not (48 <= byte <= 58 or byte == _DOT or 97 <= (byte | 0x20) <= 102):
            return False
    return (dots == 3 and colons == 0) or colons >= 2


@kernel
def _find_entries(data, line, addresses, starts, stops, lines, wild):
    """Fills the entries of all lines; gives (how many, the number of the last line, where a bad line begins or -1).

    An address is a whole line, since it may hold spaces; of a line of domains each word counts behind a number.
    """
    count = 0
    position = 0
    while position < data.size:
        line += 1
        begin = position
        while position < data.size and data[position] != _NEWLINE:
            position += 1
        stop = position
        position += 1
        start = begin
        while start < stop and data[start] <= _SPACE:
            start += 1
        for place in range(start, stop):
            if data[place] == _HASH_MARK and (place == start or data[place - 1] <= _SPACE):
                stop = place
                break
        while stop > start and data[stop - 1] <= _SPACE:
            stop -= 1
        if start == stop:
            continue
        if addresses:
            starts[count], stops[count], lines[count] = start, stop, line
            count += 1
            continue
        words = 0
        hosts_file = False
        while start < stop:
            end = start
            while end < stop and data[end] > _SPACE:
                end += 1
            words += 1
            following = end
            while following < stop and data[following] <= _SPACE:
                following += 1
            if words == 1 and following < stop:
                hosts_file = _is_number(data, start, end)
                if not hosts_file:
                    return count, line, begin
            else:
                star = data[start] == _STAR and end - start > 1 and data[start + 1] == _DOT
                wild[count] = star or data[start] == _DOT
                starts[count] = start + 2 if star else (start + 1 if data[start] == _DOT else start)
                stops[count] = end
                lines[count] = line
                count += 1
            start = following
    return count, line, -1
