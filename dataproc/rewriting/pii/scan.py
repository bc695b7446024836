"""Where personal data may stand in texts: one pass over their bytes, at the speed of memory where there is none.

A candidate is a place and what may be there; whether it is, is said by `pii_emails` and its like from some bytes around
it. Each kind has a byte that prose seldom has and that the kind cannot do without:

    EMAIL      an @, or what stands for one (&#64; %40 ＠), between what may be a name and a domain
    ADDRESS    four numbers joined by dots, neither more nor fewer; or, before a colon, four hexadecimal digits of
               which the first is 2 or 3, as all public IPv6 addresses begin
    PHONE      a number behind a +; three, three and four digits; or one of 7 to 15 digits behind a word for telephone
    TOKEN      the marks that services put into their keys: AKIA, ghp_, xoxb-, sk_live_, AIza, eyJ, …
    BLOCK      -----B
    SECRET     16 bytes or more of letters and digits, both, behind = or :

Every look around a byte is bounded, so the pass is linear in the text whatever it holds.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_in_place, kernel_step
from corpusmill.dataproc.rewriting.pii.window import ADDRESS, BLOCK, EMAIL, PHONE, SECRET, TOKEN

SHORTEST_SECRET = 16
CONTEXT_BYTES = 128
"""How far before a number a word for telephone is looked for, on the same line."""

_FRAGMENTS = (
    "tel", "fon", "hon", "fax", "cal", "mob", "cel", "hot", "app", "tél", "电", "電", "手", "те", "Те", "전", "ها", "फ",
)  # fmt: skip
"""Three bytes that a word for telephone has, in lower case: of longer ones the first three."""


def _packed(fragment: str) -> int:
    return int.from_bytes(fragment.encode()[:3], "big")


_CONTEXT = np.array([_packed(fragment) for fragment in _FRAGMENTS], np.int64)


def _table(members: str) -> np.ndarray:
    table = np.zeros(256, np.uint8)
    table[list(members.encode())] = 1
    return table


_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TRIGGER = _table(_DIGITS + "@%&:=-_IzJ")
_TRIGGER[0xEF] = 1  # the first byte of a full-width @
_IS_DIGIT = _table(_DIGITS)
_IS_LETTER = _table(_LETTERS)
_IS_HEX = _table(_DIGITS + "abcdefABCDEF")
_IS_WORD = _table(_DIGITS + _LETTERS + "_")
_IS_TOKEN = _table(_DIGITS + _LETTERS + "+/_-")
_IS_SEPARATOR = _table(" .-()/")
_ENDS_NAME = _table(_DIGITS + _LETTERS + "_+-.")
_STARTS_DOMAIN = _table(_DIGITS + _LETTERS)
_ENDS_NAME[0x80:0xC0] = 1  # the last byte of a character outside ASCII
_STARTS_DOMAIN[0xC2:0xF5] = 1  # the first one

TOKEN_MARKS = (
    "AKI", "ASI", "AIz", "eyJ", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_", "glpat-", "xoxb-", "xoxp-", "xoxa-",
    "xoxr-", "xoxs-", "xoxe-", "sk_", "rk_", "sk-", "hf_", "npm_", "dop_", "pypi-",
)  # fmt: skip
"""What a service's keys begin with, up to the byte that the scan stops at; three bytes at least."""

_MARK_DATA = np.frombuffer("".join(TOKEN_MARKS).encode(), np.uint8)
_MARK_BOUNDS = np.cumsum([0, *map(len, TOKEN_MARKS)]).astype(np.int64)


@kernel_step
def _token_start(data, begin, position):
    """Where the mark of a token begins that ends at `position` and has no letter or digit before it, or -1."""
    for mark in range(_MARK_BOUNDS.shape[0] - 1):
        last = _MARK_BOUNDS[mark + 1] - 1
        start = position - (last - _MARK_BOUNDS[mark])
        if start < begin or data[np.uint64(position)] != _MARK_DATA[last]:
            continue
        place = position - 1
        while place >= start and data[np.uint64(place)] == _MARK_DATA[np.uint64(last - (position - place))]:
            place -= 1
        if place < start and (start == begin or not _IS_WORD[data[np.uint64(start - 1)]]):
            return start
    return np.int64(-1)


@kernel_step
def _may_be_quad(data, begin, start, stop):
    """Whether the digits and dots that begin at `start` hold three dots, none of them before or behind."""
    dots, place = 0, start
    while place < stop and place < start + 16:
        byte = data[np.uint64(place)]
        if byte == 0x2E:
            dots += 1
        elif not _IS_DIGIT[byte]:
            break
        place += 1
    if dots == 4 and data[np.uint64(place - 1)] == 0x2E:  # the end of a sentence
        dots = 3
    chained = start - 2 >= begin and data[np.uint64(start - 1)] == 0x2E and _IS_DIGIT[data[np.uint64(start - 2)]]
    return dots == 3 and place - start >= 7 and not chained


@kernel_step
def _may_be_phone(data, begin, position, stop):
    """Whether the number that begins at `position`, of the text data[begin:stop], may be one of a telephone."""
    first_group = digits = groups = np.int64(0)
    second_group = third_group = np.int64(0)
    place, separators = position, 0
    while place < stop and place < position + 24 and separators < 4 and digits < 16:
        if _IS_DIGIT[data[np.uint64(place)]]:
            groups += np.int64(separators > 0)
            separators = 0
            digits += 1
            first_group += np.int64(groups == 0)
            second_group += np.int64(groups == 1)
            third_group += np.int64(groups == 2)
        elif _IS_SEPARATOR[data[np.uint64(place)]]:
            separators += 1
        else:
            break
        place += 1
    if digits < 7:
        return False
    if position > begin and data[np.uint64(position - 1)] == 0x2B:  # +
        return True
    if first_group == 3 and second_group == 3 and third_group == 4:
        return True
    place = position - 1
    packed = np.int64(0)  # the three bytes from `place` on
    while place >= begin and place > position - CONTEXT_BYTES:
        byte = data[np.uint64(place)]
        if byte == 0x0A:
            return False
        packed = packed >> 8 | np.int64(byte) << 16
        for fragment in range(_CONTEXT.size):
            if packed == _CONTEXT[fragment] or packed | 0x202020 == _CONTEXT[fragment]:
                return True
        place -= 1
    return False


@kernel_step
def _may_be_address(data, begin, position, stop):
    """Whether the colon at `position` stands behind the first four digits of a public IPv6 address."""
    if position - 4 < begin or position + 2 >= stop:
        return False
    if data[np.uint64(position - 4)] != 0x32 and data[np.uint64(position - 4)] != 0x33:
        return False
    for place in range(1, 4):
        if not _IS_HEX[data[np.uint64(position - place)]]:
            return False
    following = data[np.uint64(position + 1)]
    return _IS_HEX[following] != 0 or following == 0x3A


@kernel_step
def _at_sign_bytes(data, position, stop):
    """How many bytes from `position` on may be an @: 1 for itself, 3 for %40 and a full-width one, 0 for none.

    Of an HTML entity it is all up to its semicolon, if it is a number or begins with a c.
    """
    byte = data[np.uint64(position)]
    if byte == 0x40:
        return np.int64(1)
    if position + 3 >= stop:
        return np.int64(0)
    second, third = data[np.uint64(position + 1)], data[np.uint64(position + 2)]
    if byte == 0x25:  # %
        return np.int64(3 if second == 0x34 and third == 0x30 else 0)
    if byte == 0xEF:
        return np.int64(3 if second == 0xBC and third == 0xA0 else 0)
    if second != 0x23 and second != 0x63:  # &# &c
        return np.int64(0)
    for size in range(5, 12):
        if position + size <= stop and data[np.uint64(position + size - 1)] == 0x3B:
            return np.int64(size)
    return np.int64(0)


@kernel_step
def _secret_start(data, position, stop):
    """Where a long mixture of letters and digits begins behind the = or : at `position`, or 0."""
    place = position + 1
    while place < stop and place < position + 5:
        byte = data[np.uint64(place)]
        if byte != 0x20 and byte != 0x22 and byte != 0x27 and byte != 0x3D and byte != 0x3E:  # blank " ' = >
            break
        place += 1
    start = place
    letters = digits = False
    while place < stop and place < start + SHORTEST_SECRET:
        byte = np.uint64(data[np.uint64(place)])
        if not _IS_TOKEN[byte]:
            return np.int64(0)
        letters = letters or _IS_LETTER[byte] != 0
        digits = digits or _IS_DIGIT[byte] != 0
        place += 1
    while place < stop and place < start + 64 and not (letters and digits) and _IS_TOKEN[data[np.uint64(place)]]:
        letters = letters or _IS_LETTER[data[np.uint64(place)]] != 0
        digits = digits or _IS_DIGIT[data[np.uint64(place)]] != 0
        place += 1
    if place - start < SHORTEST_SECRET or not letters or not digits:
        return np.int64(0)
    return start


@kernel_in_place
def find_candidates(offsets, data, document, position, rows, places, kinds):
    """Writes candidates in the order of their places, from a byte on, until there is no more room.

    Args:
        offsets, data: the texts, as from `documents.text_buffers`.
        document, position: int64, the text and the byte in `data` to go on at; both 0 at first.
        rows, places, kinds: int64 (room,), room for 2 or more: row of the text, byte in `data` (of the @, the digit,
            the colon, the last dash before a B, the first byte of a token or a secret), and what may be there.

    Returns:
        (how many there are, document and position to go on at); there are no more once document is the number of texts.
    """
    count = np.int64(0)
    while document < offsets.shape[0] - 1:
        begin, stop = offsets[document], offsets[document + 1]
        position = max(position, begin)
        while position < stop:
            byte = data[np.uint64(position)]
            if _TRIGGER[np.uint64(byte)] == 0:
                position += 1
                continue
            if count + 2 > rows.shape[0]:  # a colon may be two candidates
                return count, document, position
            kind, place, following = np.int64(-1), position, position + 1
            if _IS_DIGIT[np.uint64(byte)]:
                while following < stop and _IS_DIGIT[data[np.uint64(following)]]:
                    following += 1
                if position == begin or not _IS_WORD[data[np.uint64(position - 1)]]:
                    if _may_be_quad(data, begin, position, stop):
                        kind = np.int64(ADDRESS)
                    elif _may_be_phone(data, begin, position, stop):
                        kind = np.int64(PHONE)
            elif byte == 0x40 or byte == 0x25 or byte == 0x26 or byte == 0xEF:  # @ % & and a full-width letter's first
                if position > begin and _ENDS_NAME[data[np.uint64(position - 1)]]:
                    size = _at_sign_bytes(data, position, stop)
                    if size and position + size < stop and _STARTS_DOMAIN[data[np.uint64(position + size)]]:
                        kind = np.int64(EMAIL)
            elif byte == 0x3A or byte == 0x3D:  # : =
                if byte == 0x3A and _may_be_address(data, begin, position, stop):
                    rows[np.uint64(count)] = document
                    places[np.uint64(count)] = position
                    kinds[np.uint64(count)] = ADDRESS
                    count += 1
                place = _secret_start(data, position, stop)
                kind = np.int64(SECRET if place else -1)
            elif byte == 0x2D and following < stop and data[np.uint64(following)] == 0x42:  # -B
                kind = np.int64(BLOCK)
            else:
                place = _token_start(data, begin, position)
                kind = np.int64(TOKEN if place >= 0 else -1)
            if kind >= 0:
                rows[np.uint64(count)] = document
                places[np.uint64(count)] = place
                kinds[np.uint64(count)] = kind
                count += 1
            position = following
        document += 1
    return count, document, position
