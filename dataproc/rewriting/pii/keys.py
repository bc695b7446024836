"""Keys and tokens: what opens something for whoever reads it.

    tokens    what services mark by a beginning of their own, in the length and letters that they have: AWS, GitHub,
              GitLab, Slack, Stripe, Google, OpenAI and its like, Hugging Face, npm, PyPI, DigitalOcean, JSON Web Tokens
    blocks    a private key between -----BEGIN … PRIVATE KEY----- and its end, all of it
    secrets   20 letters and digits or more that are assigned to a name like "api_key", "password" or "client secret",
              that look random, and that are neither digests, paths, numbers nor placeholders

The first two are hardly ever anything else. The third is a guess, so it is made with care: a name of a secret right
before the = or :, three digits or more, upper and lower case (or 32 hexadecimal digits), at least 3.5 bits of entropy
a character (3 for hexadecimal), nothing called or indexed behind it. Examples and placeholders stay: what holds
"example", "xxxx" and such, or consists of few characters.
"""

import math
import re
from collections import Counter

from corpusmill.dataproc.rewriting.pii.window import Span, Window

_TOKENS = re.compile(
    rb"(?:(?:AKIA|ASIA)[A-Z2-7]{16}"
    rb"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"
    rb"|glpat-[A-Za-z0-9_-]{20,64}"
    rb"|xox[abeprs]-[A-Za-z0-9-]{10,250}"
    rb"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}"
    rb"|AIza[A-Za-z0-9_-]{35}"
    rb"|sk-(?:ant-|proj-|svcacct-|or-)[A-Za-z0-9_-]{20,250}|sk-[A-Za-z0-9]{32,64}"
    rb"|hf_[A-Za-z0-9]{30,40}"
    rb"|npm_[A-Za-z0-9]{36}"
    rb"|dop_v1_[0-9a-f]{64}"
    rb"|pypi-AgE[A-Za-z0-9_-]{50,320}"
    rb"|eyJ[A-Za-z0-9_-]{8,300}\.eyJ[A-Za-z0-9_-]{8,2000}\.[A-Za-z0-9_-]{10,1000})(?![A-Za-z0-9_])"
)
_LONGEST_MARK = 8
_BEGIN = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(rb"-----END (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(rb"(?:[\r\n\t \"'+,\\n]{0,8}[A-Za-z0-9+/=]{16,80}){1,1000}")
LONGEST_BLOCK = 1 << 16
"""Bytes that the end of a private key is looked for in."""

_FIRST_LOOK = 1 << 12

_NAME = re.compile(
    rb"(?:api|access|auth|authentication|secret|private|client|encryption|signing|session|bearer|webhook|account)"
    rb"[ _.-]?(?:key|token|secret|password)"
    rb"|(?:secret|token|password|passwd|passphrase|pwd|credential|credentials|apikey|api_key|accountkey)$",
    re.IGNORECASE,
)
_NAME_BACKWARDS = re.compile(rb"[A-Za-z0-9_. -]{1,48}")
_VALUE = re.compile(rb"[A-Za-z0-9+/_-]{20,200}={0,2}")
_PLACEHOLDER = re.compile(
    rb"example|sample|dummy|placeholder|changeme|your|insert|replace|redacted|fake|xxxx|0123456|1234567|abcdef|\*\*\*",
    re.IGNORECASE,
)
_DIGEST = re.compile(rb"sha|md5|hash|digest|checksum|integrity|fingerprint|commit|public", re.IGNORECASE)
_HEX = re.compile(rb"[0-9a-fA-F]{1,256}")
_SHORTEST_HEX = 32


def find_token(window: Window) -> Span | None:
    """The token of a service that begins at `window.at`, or None."""
    match = _TOKENS.match(window.data, window.at)
    if not match or len(set(match.group()[_LONGEST_MARK:])) < 6 or _is_placeholder(match.group()):
        return None
    return match.span()


def find_secret(window: Window) -> Span | None:
    """The assigned secret that begins at `window.at`, or None."""
    match = _VALUE.match(window.data, window.at)
    assigned = window.before(80).rstrip(b" \t\"'")
    named = assigned.rstrip(b"=:>").rstrip(b" \t\"']")
    name = _NAME_BACKWARDS.match(named[::-1])
    if not match or not name or not assigned.endswith((b"=", b":", b">")):
        return None
    words = name.group()[::-1].strip()
    if not _NAME.search(words) or _DIGEST.search(words):
        return None
    value = match.group().rstrip(b"=")
    following = window.data[match.end() : match.end() + 1]
    if following.isalnum() or following in (b"(", b"[", b".", b"*", b"$", b"{") or _PLACEHOLDER.search(value):
        return None
    return match.span() if _looks_random(value) else None


def find_block(text: memoryview, at: int) -> Span | None:
    """The private key whose last dash before "BEGIN" is at `at`; looks at no more than comes before the next dashes.

    A key that is cut off ends with its last whole stretch of letters.
    """
    head = _BEGIN.match(text, at - 4, min(at + 128, len(text))) if at >= 4 else None
    if not head:
        return None
    rest = bytes(text[head.end() : head.end() + _FIRST_LOOK])
    if b"-----" not in rest:
        rest = bytes(text[head.end() : head.end() + LONGEST_BLOCK])
    dashes = rest.find(b"-----")
    body = _BODY.search(rest, 0, dashes if dashes >= 0 else len(rest))  # a document on keys has dots there
    if not body:
        return None
    end = _END.match(text, head.end() + dashes, min(head.end() + dashes + 128, len(text))) if dashes >= 0 else None
    return head.start(), end.end() if end else head.end() + body.end()


def _is_placeholder(token: bytes) -> bool:
    return b"EXAMPLE" in token or b"xxxx" in token.lower()


def _looks_random(value: bytes) -> bool:
    if sum(value.count(digit) for digit in (b"%d" % number for number in range(10))) < 3 or value.isdigit():
        return False
    if _HEX.fullmatch(value):
        return len(value) >= _SHORTEST_HEX and _entropy(value) >= 3.0
    mixed = any(65 <= byte <= 90 for byte in value) and any(97 <= byte <= 122 for byte in value)
    return mixed and _entropy(value) >= 3.5


def _entropy(value: bytes) -> float:
    """Bits a byte, by the counts of bytes in the value itself."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())
