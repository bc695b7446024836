"""Addresses of electronic mail: a name, an @, and a domain whose last part is a top-level domain.

Names and domains may be in any script (RFC 6531), and domains in any case (RFC 4343); what is a domain is said in
`domains.py`. Chinese, Japanese, Korean and Thai put no blank before a mailbox, so a name that ends in letters of
another script goes back to the first of theirs, and one that ends in theirs goes back to the first blank or mark.

The @ may be written as HTML and URLs have it (`&#64;`, `&commat;`, `%40`), or full-width. What escapes and quoting
leave in front of a name (`%3C`, `=20`, `\\n`, `\\u003c`) is none of it, nor are Markdown's underscores around an
address.

Left alone: code (`code.py`), domains that belong to nobody (RFC 2606: example.com, .test, .invalid and the like), which
documentation and our own replacements use, handles (`@anna@mastodon.social`), and git@, hg@ and svn@, which are names
of services in addresses of repositories, the same for everybody (git-clone(1), "GIT URLS").
"""

import re

from corpusmill.dataproc.rewriting.pii.code import is_code
from corpusmill.dataproc.rewriting.pii.domains import find_domain, is_letter, is_unspaced
from corpusmill.dataproc.rewriting.pii.window import Span, Window

AT_SIGNS = re.compile(rb"@|%40|&#0{0,4}64;|&#[xX]0{0,4}40;|&commat;|\xef\xbc\xa0")
_AT_SIGN = re.compile("@|%40|&#0{0,4}64;|&#[xX]0{0,4}40;|&commat;|＠")
_HAS_PARTS = re.compile(rb"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9\x80-\xff]|[\x80-\xff])|[\xc2-\xf4]")
"""What a domain begins with; a look that most of what is code does not outlive."""

_NAME_BACKWARDS = re.compile(r"[A-Za-z0-9._%+'-]{0,96}")
_NAME_MARKS = "._%+'-"
_LONGEST_NAME = 64
_DOMAIN_BYTES = 256
_NOT_LAST = (".", "'", "%")
"""What no name ends with: a quote before an @ closes a string ('root'@host.com). The scan looks for other ends only."""
_PERCENT = re.compile("%([0-9A-Fa-f]{2})")
_QUOTED_PRINTABLE = re.compile("(?:0[9AD]|2[0278C]|3[ACDE]|5[BD]|7C)")
_ESCAPE = re.compile(r"u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[nrt]")
_SERVICES = ("git", "hg", "svn")
_RESERVED = ("example.com", "example.net", "example.org")
_RESERVED_LAST = ("example", "test", "invalid", "localhost")


def find_email(window: Window) -> Span | None:
    """The address around the @ (or what stands for one) at `window.at`, or None."""
    sign = AT_SIGNS.match(window.data, window.at)
    if not sign or not _HAS_PARTS.match(window.data, sign.end()):
        return None
    before = window.data[: window.at].decode("utf-8", "surrogateescape")
    behind = window.data[sign.end() : sign.end() + _DOMAIN_BYTES].decode("utf-8", "surrogateescape")
    start = _name_start(before)
    name = before[start:]
    if not name or name.endswith(_NOT_LAST):
        return None
    domain = find_domain(behind)
    if not domain:
        return None
    following = behind[domain.length : domain.length + 8]
    start = _trimmed(before, start, following)
    name = before[start:]
    if not name or name in _SERVICES or _bytes(name) > _LONGEST_NAME:
        return None
    if before[:start].endswith(("@", "＠")) or _AT_SIGN.match(following) or _is_reserved(domain.labels):
        return None
    if is_code(before[:start].rpartition("\n")[2], name, domain.labels, following):
        return None
    return window.at - _bytes(name), sign.end() + _bytes(behind[: domain.length])


def _name_start(before: str) -> int:
    """Where the letters and marks of a name begin that end at the @."""
    ascii_size = _NAME_BACKWARDS.match(before[::-1]).end()  # type: ignore[union-attr]
    start = len(before) - ascii_size
    if not start or before[start - 1] < "\x80":
        return start
    unspaced = is_unspaced(before[-1])
    while start and (before[start - 1] in _NAME_MARKS or is_letter(before[start - 1])):
        if is_unspaced(before[start - 1]) and not unspaced:
            break
        start -= 1
    return start


def _trimmed(before: str, start: int, following: str) -> int:
    """Where the name begins without what an escape, a quotation or an emphasis has left in front of it."""
    for code in _PERCENT.finditer(before, start):
        character = chr(int(code[1], 16))
        if not character.isalnum() and character not in _NAME_MARKS:
            start = code.end()
    edge = before[start - 1 : start]
    escape = {"=": _QUOTED_PRINTABLE, "\\": _ESCAPE}.get(edge)
    left = escape.match(before, start) if escape else None
    if left and left.end() < len(before) and not before[: start - 1].endswith("\\"):
        start = left.end()
    while before[start : start + 1] and before[start] in ".%+'-":
        start += 1
    for _ in range(2):
        if following.startswith("_") and before.startswith("_", start):
            start, following = start + 1, following[1:]
    return start


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _is_reserved(labels: list[str]) -> bool:
    domain = ".".join(labels).lower()
    return labels[-1].lower() in _RESERVED_LAST or any(
        domain == known or domain.endswith("." + known) for known in _RESERVED
    )
