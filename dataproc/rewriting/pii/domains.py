"""The domain behind an @: how far it goes, and that its last part is a top-level domain.

Top-level domains are the last parts of the ICANN section of the public suffix list, as it lies in the wheel of the
library publicsuffixlist, in Unicode and in their ASCII form (`рф`, `xn--p1ai`); a newer release of the library brings
newer ones. They have no case (RFC 4343), and full-width letters and dots count as what they stand for (UTS 46).

Sentences run into domains. In "a@b.org.Next we go" the last part is a word, though `.next` exists: a part in mixed
case behind what is a domain already is taken only where it is likely to belong to it. Chinese, Japanese, Korean and
Thai put no blank behind an address, so a top-level domain may end where another script, or the rest of a clause,
begins.
"""

import functools
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from corpusmill.dataproc.text.unicode_tables import LETTER, MARK, NUMBER, UNSPACED, load_tables

MOST_LABELS = 9
LONGEST_LABEL = 63
_BEGIN, _END = "// ===BEGIN ICANN DOMAINS===", "// ===END ICANN DOMAINS==="
_ASCII_RUN = re.compile(r"[A-Za-z0-9.-]{1,255}")
_ASCII_PART = re.compile(r"[A-Za-z0-9-]{1,63}")
_DOTS = re.compile("[.．]")
_COMMON = frozenset(("com", "net", "org", "edu", "gov"))
_LATIN_ENDS = 0x250
_TIBETAN, _HANGUL_JAMO, _HANGUL = (0xF00, 0xFFF), (0x1100, 0x11FF), (0xAC00, 0xD7FF)


class Domain(NamedTuple):
    """A domain at the beginning of a text: its parts as they are written, and how many characters it takes."""

    labels: list[str]
    length: int


@functools.cache
def top_level_domains() -> frozenset[str]:
    """All top-level domains in lower case, internationalised ones in both forms."""
    import idna
    from publicsuffixlist import PSLFILE

    lines = Path(PSLFILE).read_text(encoding="utf-8").split("\n")
    section = lines[lines.index(_BEGIN) + 1 : lines.index(_END)]
    last = {line.split()[0].rpartition(".")[2] for line in section if line.strip() and not line.startswith("//")}
    return frozenset(last | {idna.encode(label).decode() for label in last if not label.isascii()})


def is_letter(character: str) -> bool:
    """Whether a character is a letter, a mark or a digit of any script."""
    if character < "\x80":
        return character.isalnum()
    return bool(load_tables().classes[ord(character)] & (LETTER | MARK | NUMBER))


def is_unspaced(character: str) -> bool:
    """Whether prose in its script may stand right beside an address, without a blank."""
    code = ord(character)
    if code < 0xE00:
        return False
    return bool(load_tables().classes[code] & UNSPACED) or any(
        first <= code <= last for first, last in (_TIBETAN, _HANGUL_JAMO, _HANGUL)
    )


def find_domain(text: str) -> Domain | None:
    """The longest domain that `text` begins with, of two parts or more, the last one a top-level domain; or None."""
    labels = _labels(text)
    for count in range(len(labels), 1, -1):
        size = _last_part(labels[:count])
        if size:
            kept = [*labels[: count - 1], labels[count - 1][:size]]
            return Domain(kept, sum(map(len, kept)) + count - 1)
    return None


def _labels(text: str) -> list[str]:
    """The parts between dots that `text` begins with, up to the first that no domain has."""
    run = _ASCII_RUN.match(text)
    end = run.end() if run else 0
    if end < len(text) and text[end] >= "\x80":
        while end < len(text) and end < 255 and (text[end] in "-.．" or is_letter(text[end])):
            end += 1
    labels: list[str] = []
    for label in _DOTS.split(text[:end])[:MOST_LABELS]:
        if not label or len(label.encode("utf-8", "surrogateescape")) > LONGEST_LABEL or label.startswith("-"):
            break
        if label.endswith("-"):
            break
        labels.append(label)
    return labels


def _last_part(labels: list[str]) -> int:
    """How many characters of the last label are a top-level domain, 0 if none."""
    label = labels[-1]
    if _is_top(label):
        return len(label) if _belongs(labels) else 0
    if label.isascii():
        return 0
    latin = _ASCII_PART.match(label)
    if latin and ord(label[latin.end()]) >= _LATIN_ENDS:
        head = latin.group()
        return len(head) if _is_top(head) and _belongs([*labels[:-1], head]) else 0
    sizes = range(min(len(label) - 1, 12), 0, -1)
    return next((size for size in sizes if is_unspaced(label[size]) and _is_top(label[:size])), 0)


def _is_top(label: str) -> bool:
    if label.isascii():
        return label.lower() in top_level_domains()
    return unicodedata.normalize("NFKC", label).lower() in top_level_domains()


def _belongs(labels: list[str]) -> bool:
    """Whether the last part belongs to the domain, rather than beginning a sentence behind it."""
    label = labels[-1]
    if len(labels) == 2 or not label.isascii() or label.islower() or label.isupper() or label.startswith("xn--"):
        return True
    return len(label) == 2 or label.lower() in _COMMON or not _is_top(labels[-2])
