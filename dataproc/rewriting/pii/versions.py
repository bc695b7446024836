"""Four numbers joined by dots that are a version, a clause or a drawing, and no address of the Internet.

Most say so: a word for a version or a release stands before them, a product's name and a slash, an operator of a
package's requirement (PEP 440, RubyGems, npm), a heading of a changelog; or they go on behind ("1.22.3.44-beta"), or
were released. What stands behind a decimal number is a drawing (".67-.21 2.2.82.64").

Where nothing is said, the numbers decide: versions have small ones, addresses seldom two below 10 (of all four-number
combinations 0.9 %). Such numbers, and those behind the name of a product with one of them, are versions unless
something speaks of addresses: a word like "host" or "from" before them, a scheme, a port, a network's size.
"""

import re
from collections.abc import Sequence

LINE_BYTES = 80
"""How much of the line before and behind is looked at."""

_WORDS = (
    rb"(?:\b|file|product|assembly)(?:v|ver|vers|version|versions|release|released|releases|revision|rev|build|firmware"
    rb"|update|section|chapter|figure|table|java|jdk|oid|tag|tags|tagged|changelog)[\s.:=#\"'`*|<>\[(-]{0,24}"
)
_BEFORE = re.compile(
    rb"(?:"
    + _WORDS
    + rb"|[A-Za-z][/_-]"
    + rb"|(?:^|[^0-9.])[0-9]{0,3}\.[0-9]{1,4}[ ,]{1,2}"
    + rb"|(?:~>|[<>~]=|\^)[ \t]{0,3}[\"']?"
    + rb"|[!=]==?[ \t]{0,3}"
    + rb"|~"
    + rb"|\b(?:bump|upgrade|update|downgrade)[a-z]{0,2} [^\n]{0,60}\b(?:from|to) [\"'`v]?"
    + rb"|^[ \t]{0,3}#{1,6} {0,3}\[|^[ \t]{0,3}#{2,6} {1,3}"
    + rb")$",
    re.IGNORECASE,
)
_GOES_ON = re.compile(rb"[-._+][0-9A-Za-z]")
_RELEASED = re.compile(
    rb"[\"'`\])*]{0,3}(?: {1,2}(?:(?:was|is|has been|will be) )?(?:released?|tagged|version|beta|alpha|rc[0-9]?)\b"
    rb"|\]: {1,3}https?://"
    rb"|(?:,? (?:[-/(]|\xe2\x80[\x93\x94]) ?|, )[12][0-9]{3}-[0-9]{2}-[0-9]{2}(?![T ]{1,2}[0-9]{1,2}:)"
    rb"|[ \t\r]{0,3}\n[=~-]{4,80})",
    re.IGNORECASE,
)
_ALONE = re.compile(rb"[ \t]{0,3}[\[\"'`*#-]{0,3} ?$")
_OF_ADDRESSES = re.compile(
    rb"(?:://|\b(?:ips?|ipv4|addr|address|addresses|host|hosts|hostname|server|servers|ping|ssh|scp|rsync|dns|gateway|from"
    rb"|by|via|at|client|clients|nameserver|route|curl|wget|telnet|traceroute|tracert|inet|allow|deny|listen|bind|proxy"
    rb"|remote|peer|src|dst|source|destination|subnet|netmask|network|node|router|url|rhost|lhost)"
    rb"[\s:=\"'`(<\[,]{1,4}(?:is |was |to |of |from |in )?[\"'`]?)$",
    re.IGNORECASE,
)
_NETWORK = re.compile(rb":[0-9]{2,5}(?![0-9])|/[0-9]{1,2}(?![0-9.])|\]? - - \[|:[/~]")
_PRODUCT = re.compile(rb"(?:^|[^A-Za-z0-9.])(?:[a-z]{1,3}[A-Z]|[A-Z])[A-Za-z]{1,24} $")


def is_version(before: bytes, numbers: Sequence[int], following: bytes) -> bool:
    """Whether four numbers are a version.

    Args:
        before, following: up to `LINE_BYTES` bytes around them, `before` of their line only.
        numbers: the four.
    """
    if _BEFORE.search(before) or _GOES_ON.match(following):
        return True
    if _RELEASED.match(following) and (not following.lstrip(b"\"'`])* ")[:1].isdigit() or _ALONE.match(before)):
        return not _OF_ADDRESSES.search(before)
    below_ten = sum(number < 10 for number in numbers)
    of_product = numbers[0] < 32 and below_ten and _PRODUCT.search(before)
    if below_ten < 2 and not of_product:
        return False
    return not _OF_ADDRESSES.search(before) and not _NETWORK.match(following)
