"""The kernel that looks hosts and addresses up in sets of keys: one walk over each host, from its end."""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.kernels.hashing import holds
from corpusmill.dataproc.lists.urls.keys import SEED, address_key, advance, is_address, key_of

_DOT = 0x2E
DOMAIN, SUBDOMAIN, EXACT = range(3)
"""Columns of counts."""


class NameLists(NamedTuple):
    """Sets of keys (`dataproc.lists.urls.keys`); a list that is not given is an empty set, of one place."""

    domains_below: np.ndarray
    domains_exactly: np.ndarray
    allowed_below: np.ndarray
    allowed_exactly: np.ndarray
    hosts: np.ndarray
    addresses: np.ndarray


@kernel_step
def _look_up_host(data, start, stop, below, exactly, allowed_below, allowed_exactly, hosts):
    """(listed domains that the host is or lies below, 1 if it is listed itself, whether it is allowed)."""
    number = is_address(data, start, stop)
    domains = 0
    allowed = False
    state = SEED
    for place in range(stop - 1, start - 1, -1):
        byte = data[np.uint64(place)]
        if byte == _DOT and not number:
            key = key_of(state)
            domains += 1 if holds(below, key) else 0
            allowed = allowed or holds(allowed_below, key)
        state = advance(state, byte)
    key = key_of(state)
    domains += 1 if holds(below, key) or holds(exactly, key) else 0
    allowed = allowed or holds(allowed_below, key) or holds(allowed_exactly, key)
    return domains, 1 if holds(hosts, key) else 0, allowed


@kernel
def match_hosts(canonical, names, counts, allowed):
    """Fills the columns DOMAIN, SUBDOMAIN and EXACT of counts (int64, one row an address), and `allowed` (bool)."""
    # Arrays are taken out of their tuples once: each look at one counts references.
    data, bounds, host_bytes = canonical.data, canonical.bounds, canonical.host_bytes
    below, exactly = names.domains_below, names.domains_exactly
    allowed_below, allowed_exactly = names.allowed_below, names.allowed_exactly
    hosts, addresses = names.hosts, names.addresses
    for row in range(host_bytes.size):
        start, stop = bounds[row], bounds[row] + host_bytes[row]
        if start == stop:
            continue
        counts[row, DOMAIN], counts[row, SUBDOMAIN], allowed[row] = _look_up_host(
            data, start, stop, below, exactly, allowed_below, allowed_exactly, hosts
        )
        if addresses.size > 1:
            counts[row, EXACT] = holds(addresses, address_key(data, start, bounds[row + 1]))
