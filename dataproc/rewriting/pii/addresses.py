"""Public addresses of the Internet Protocol: those under which a host can be reached from anywhere.

Private, shared, link-local, loopback, documentation, benchmarking, multicast and reserved addresses say nothing about
anybody and stay (IANA's special-purpose registries, RFC 6890, written down here: Python's own list changes between its
versions, and the same text must give the same bytes).

What looks like an address and is a version, a clause or a drawing stays, too (`versions.py`), and small numbers: four
of one digit (and with them the public resolvers 1.1.1.1 and 8.8.8.8), four below 32, or two of one digit in front. Of
all addresses 0.2 % are so small, and of what is no address most; with a scheme before or a port behind it, such a one
is an address all the same.
Of IPv6, addresses that are shortened to fewer than three groups are left, since "2001::b" may be anything.
"""

import ipaddress
import re

from corpusmill.dataproc.rewriting.pii.versions import LINE_BYTES, is_version
from corpusmill.dataproc.rewriting.pii.window import Span, Window

_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "3fff::/20")
)
_FOUR = re.compile(rb"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_])")
_JOINED = re.compile(rb"[0-9A-Za-z_:]")
_SIX = re.compile(rb"[0-9A-Fa-f:]{4,39}")
_PORT = re.compile(rb":[0-9]{2,5}(?![0-9])")


def find_address(window: Window) -> Span | None:
    """The public address that begins at `window.at` (IPv4), or whose first colon is there (IPv6); or None."""
    return _find_six(window) if window.data[window.at : window.at + 1] == b":" else _find_four(window)


def _find_four(window: Window) -> Span | None:
    match = _FOUR.match(window.data, window.at)
    if not match:
        return None
    parts = match.group().split(b".")
    if any(len(part) > 1 and part.startswith(b"0") for part in parts) or max(map(int, parts)) > 255:
        return None
    before, following = window.before(LINE_BYTES), window.data[match.end() : match.end() + LINE_BYTES]
    numbers = [int(part) for part in parts]
    if _is_small(numbers) and not (before.endswith(b"://") or _PORT.match(following)):
        return None
    if is_version(before, numbers, following):
        return None
    address = ipaddress.IPv4Address(bytes(map(int, parts)))
    return None if any(address in network for network in _SPECIAL) else match.span()


def _is_small(parts: list[int]) -> bool:
    return max(parts) < 32 or max(parts[:2]) < 10


def _find_six(window: Window) -> Span | None:
    start = window.at - 4
    match = _SIX.match(window.data, start) if start >= 0 else None
    if not match or _JOINED.match(window.data[max(start - 1, 0) : start]):
        return None
    text = match.group().decode()
    if text.endswith(":") and not text.endswith("::"):
        text = text[:-1]
    end = match.start() + len(text)
    if window.data[end : end + 1].isalnum() or window.data[end : end + 1] == b"_":
        return None
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    if len([group for group in text.split(":") if group]) < 3:
        return None
    public = address in _GLOBAL_6 and not any(address in network for network in _SPECIAL_6)
    return (match.start(), end) if public else None
