"""One spelling for all spellings of an address: URLs taken apart and written down again by a kernel.

    HTTP://user:pw@Www.Example.COM.:80/A%20b/?q=1#top  →  www.example.com/A b/?q=1
    example.com/                                       →  example.com
    https://bücher.example/%C3%BC                      →  xn--bcher-kva.example/ü
    //[2001:DB8::1]:8080/x                             →  [2001:db8::1]:8080/x

Scheme, user, fragment and the ports 80 and 443 go, with dots behind the host and slashes behind the path; the host is
in lower case and in IDNA's ASCII form (UTS 46, not transitional, as browsers have it); percent-encoding is decoded
everywhere, so that what is written in two ways is one. A list's entry without a scheme is read as a host with a path.
An address without a host (`mailto:`, `data:`, `/path`) becomes empty.

It is meant for comparing, not for fetching: decoding `%2F` can make two addresses one.

Cost: 100 ns a URL of 70 bytes. Hosts outside ASCII take 20 us each, in Python. Memory: the URLs once more.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

_SPACE, _PERCENT, _AT, _COLON, _SLASH, _BACKSLASH, _DOT = 0x20, 0x25, 0x40, 0x3A, 0x2F, 0x5C, 0x2E
_QUESTION, _HASH_MARK, _OPEN, _CLOSE = 0x3F, 0x23, 0x5B, 0x5D


class Canonical(NamedTuple):
    """N addresses: data[bounds[i] : bounds[i + 1]], uint8 and int64 of shape (N + 1,); read-only.

    The host of each is its first `host_bytes[i]` bytes (int64); 0 where there is none, and then the address is empty.
    """

    data: np.ndarray
    bounds: np.ndarray
    host_bytes: np.ndarray


def canonical_urls(urls: pa.Array) -> Canonical:
    """The addresses of N URLs (strings without nulls)."""
    offsets, data = text_buffers(urls)
    return canonical_spans(data, offsets[:-1], offsets[1:])


def canonical_spans(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> Canonical:
    """The addresses of the URLs data[starts[i] : stops[i]]: uint8, and int64 of shape (N,)."""
    starts, stops = read_only(starts, np.int64), read_only(stops, np.int64)
    room = int((stops - starts).sum())
    out, bounds = np.empty(room, np.uint8), np.zeros(len(starts) + 1, np.int64)
    host_bytes, wide = np.zeros(len(starts), np.int64), np.zeros(len(starts), np.bool_)
    _write_canonical(read_only(data, np.uint8), starts, stops, out, bounds, host_bytes, wide)
    if wide.any():
        out, bounds = _with_ascii_hosts(out, bounds, host_bytes, np.flatnonzero(wide))
    return Canonical(
        read_only(out[: bounds[-1]], np.uint8), read_only(bounds, np.int64), read_only(host_bytes, np.int64)
    )


def _with_ascii_hosts(
    data: np.ndarray, bounds: np.ndarray, host_bytes: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The addresses with the hosts of `rows` in ASCII; their new lengths are written into `host_bytes`."""
    pieces, done = [], 0
    lengths = np.diff(bounds)
    for row in rows:
        start, host_stop = bounds[row], bounds[row] + host_bytes[row]
        host = ascii_host(data[start:host_stop].tobytes())
        pieces += [data[done:start], np.frombuffer(host, np.uint8)]
        lengths[row] += len(host) - host_bytes[row]
        host_bytes[row] = len(host)
        done = host_stop
    pieces.append(data[done : bounds[-1]])
    return np.concatenate(pieces), np.append(0, np.cumsum(lengths))


def ascii_host(host: bytes) -> bytes:
    """A host outside ASCII in its ASCII form; one that IDNA 2008 does not allow (emoji) has its labels in Punycode.

    Bytes that are not UTF-8 count as U+FFFD.
    """
    import idna

    text = host.decode("utf-8", "replace")
    try:
        return idna.encode(text, uts46=True).lower().rstrip(b".")
    except (idna.IDNAError, UnicodeError):
        labels = text.lower().replace("\u3002", ".").split(".")
        coded = [label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in labels]
        return ".".join(coded).encode("ascii")


@kernel_step
def _hex(byte):
    if 48 <= byte <= 57:
        return byte - 48
    if 65 <= byte <= 70 or 97 <= byte <= 102:
        return (byte | 0x20) - 87
    return np.int64(-1)


@kernel_step
def _decoded(data, position, stop):
    """(byte, how many bytes it takes) at `position`, a percent-encoded byte decoded."""
    byte = np.int64(data[position])
    if byte == _PERCENT and position + 2 < stop:
        high, low = _hex(np.int64(data[position + 1])), _hex(np.int64(data[position + 2]))
        if high >= 0 and low >= 0:
            return high * 16 + low, np.int64(3)
    return byte, np.int64(1)


@kernel_step
def _ends_authority(byte):
    return byte in (_SLASH, _QUESTION, _HASH_MARK, _BACKSLASH)


@kernel_step
def _is_scheme(byte, first):
    letter = 97 <= (byte | 0x20) <= 122
    return letter or (not first and (48 <= byte <= 57 or byte == 43 or byte == 45 or byte == _DOT))


@kernel_step
def _all_digits(data, start, stop):
    for place in range(start, stop):  # noqa: SIM110 - numba compiles no generator expression
        if not 48 <= data[place] <= 57:
            return False
    return True


@kernel_step
def _authority(data, start, stop):
    """Where the host, or the user before it, begins; -1 where there is none."""
    if start >= stop:
        return np.int64(-1)
    position = start
    while position < stop and _is_scheme(np.int64(data[position]), position == start):
        position += 1
    if position < stop and data[position] == _COLON and position > start:
        slashes = 0
        while slashes < 2 and position + 1 + slashes < stop:
            byte = data[position + 1 + slashes]
            if byte != _SLASH and byte != _BACKSLASH:
                break
            slashes += 1
        if slashes == 2:
            return position + 3
        end = position + 1
        while end < stop and not _ends_authority(data[end]):
            end += 1
        return start if _all_digits(data, position + 1, end) else np.int64(-1)  # example.com:8080, or mailto:
    if data[start] == _SLASH:
        return start + 2 if start + 1 < stop and data[start + 1] == _SLASH else np.int64(-1)
    return start


@kernel
def _write_canonical(data, starts, stops, out, bounds, host_bytes, wide):
    """Writes the addresses into `out` one behind the other; `wide` tells hosts outside ASCII."""
    written = np.int64(0)
    for url in range(starts.size):
        start, stop = starts[url], stops[url]
        while start < stop and data[start] <= _SPACE:
            start += 1
        while start < stop and data[stop - 1] <= _SPACE:
            stop -= 1
        start = _authority(data, start, stop)
        begun = written
        if start >= 0:
            end = start
            while end < stop and not _ends_authority(data[end]):
                if data[end] == _AT:
                    start = end + 1
                end += 1
            # The port: behind the last colon, but not inside an IPv6 address.
            host_stop, port = end, end
            colon = end - 1
            while colon >= start and data[colon] != _COLON and data[colon] != _CLOSE:
                colon -= 1
            if colon >= start and data[colon] == _COLON and _all_digits(data, colon + 1, end):
                host_stop, port = colon, colon + 1
            is_wide = False
            position = start
            while position < host_stop:
                byte, length = _decoded(data, position, host_stop)
                position += length
                out[written] = byte | 0x20 if 65 <= byte <= 90 else byte
                written += 1
                is_wide = is_wide or byte >= 128
            while written > begun and out[written - 1] == _DOT:
                written -= 1
            host_bytes[url] = written - begun
            if written > begun:
                wide[url] = is_wide
                size = end - port
                usual = size == 2 and data[port] == 56 and data[port + 1] == 48
                usual = usual or (size == 3 and data[port] == 52 and data[port + 1] == 52 and data[port + 2] == 51)
                if size and not usual:
                    for place in range(port - 1, end):
                        out[written] = data[place]
                        written += 1
                position = end
                while position < stop and data[position] != _HASH_MARK:
                    byte, length = _decoded(data, position, stop)
                    position += length
                    out[written] = _SLASH if byte == _BACKSLASH else byte
                    written += 1
                rest = begun + host_bytes[url]
                while written > rest and (out[written - 1] == _SLASH or out[written - 1] == _QUESTION):
                    written -= 1
        bounds[url + 1] = written
