"""Registered domains by the public suffix rules: what somebody could buy, `example.co.uk` of `www.example.co.uk`.

The rules are those of https://publicsuffix.org, of its ICANN section, as they lie in the wheel of the library
publicsuffixlist; nothing is downloaded, and a newer release of the library brings newer rules. The private section
(`github.io`, `blogspot.com`) is left out: such a name is an ordinary domain here, so that one entry of a list can mean
all that is hosted below it.

The rules are sets of hashed names (`dataproc.lists.urls.keys`), and a kernel walks over each host once, from its end.

Cost: 250 ns a URL. Memory: 0.3 MB; reading the rules takes 50 ms.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.hashing import holds, make_set
from corpusmill.dataproc.lists.urls.canonical import Canonical, canonical_urls
from corpusmill.dataproc.lists.urls.keys import SEED, advance, host_keys, is_address, key_of

_BEGIN, _END = "// ===BEGIN ICANN DOMAINS===", "// ===END ICANN DOMAINS==="
_DOT = 0x2E


class Rules(NamedTuple):
    """Public suffix rules as sets of keys: suffixes, names that have a rule `*.name`, names that have `!name`."""

    names: np.ndarray
    parents: np.ndarray
    exceptions: np.ndarray


@functools.cache
def load_rules() -> Rules:
    """The rules of the installed publicsuffixlist."""
    from publicsuffixlist import PSLFILE

    lines = Path(PSLFILE).read_text(encoding="utf-8").split("\n")
    section = lines[lines.index(_BEGIN) + 1 : lines.index(_END)]
    rules = [line.split()[0] for line in section if line.strip() and not line.startswith("//")]
    named = {
        "": [rule for rule in rules if rule[0] not in "*!"],
        "*": [rule[2:] for rule in rules if rule.startswith("*.")],
        "!": [rule[1:] for rule in rules if rule[0] == "!"],
    }
    return Rules(*(make_set([_keys(names)]) for names in named.values()))


def _keys(names: list[str]) -> np.ndarray:
    canonical = canonical_urls(pa.array(names, pa.large_string()))
    return host_keys(canonical.data, canonical.bounds, canonical.host_bytes)[0]


def registered_domains(urls: pa.Array) -> pa.Array:
    """The registered domain of N URLs (strings or null) as a string array.

    Null where there is none: no URL, no host, a number for a host, or a public suffix itself.
    """
    canonical = canonical_urls(pc.fill_null(urls.cast(pa.large_string()), ""))
    starts = _registered_starts(canonical, load_rules())
    return _slices(canonical, starts).cast(pa.string())


def _slices(canonical: Canonical, starts: np.ndarray) -> pa.Array:
    """The hosts from `starts` on (-1 for null), large_string."""
    stops = canonical.bounds[:-1] + canonical.host_bytes
    lengths = np.where(starts >= 0, stops - starts, 0)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(np.maximum(starts, 0), lengths)
    valid = pa.array(starts >= 0).buffers()[1]
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(canonical.data[places]))]
    return pa.Array.from_buffers(pa.large_binary(), len(starts), buffers).cast(pa.large_string())


@kernel_step
def _registered_start(data, start, stop, names, parents, exceptions):
    """Where the registered domain of the host data[start:stop] begins; -1 where it has none."""
    if start == stop or is_address(data, start, stop):
        return np.int64(-1)
    # Labels are numbered from the end; `suffix` is how many the public suffix has. The longest rule is in force.
    labels, suffix = 0, 1
    state = SEED
    wild = False
    for place in range(stop - 1, start - 2, -1):
        if place >= start and data[place] != _DOT:
            state = advance(state, data[place])
            continue
        labels += 1
        key = key_of(state)
        if holds(exceptions, key):
            suffix = labels - 1
            break
        if wild or holds(names, key):
            suffix = labels
        wild = holds(parents, key)
        if wild:
            suffix = labels
        state = advance(state, _DOT)
    labels = 0
    for place in range(stop - 1, start - 2, -1):
        if place < start or data[place] == _DOT:
            labels += 1
            if labels == suffix + 1:
                return place + 1 if data[place + 1] != _DOT else np.int64(-1)
    return np.int64(-1)


@kernel
def _registered_starts(canonical, rules):
    """`_registered_start` of every address, int64."""
    data, bounds, host_bytes = canonical.data, canonical.bounds, canonical.host_bytes
    names, parents, exceptions = rules.names, rules.parents, rules.exceptions
    starts = np.empty(host_bytes.size, np.int64)
    for row in range(starts.size):
        starts[row] = _registered_start(data, bounds[row], bounds[row] + host_bytes[row], names, parents, exceptions)
    return starts
