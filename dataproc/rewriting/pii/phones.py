"""Numbers of telephones: international ones, North American ones, and any behind a word for telephone.

    +49 30 1234567     behind a + comes a country's code (ITU-T E.164) and 9 to 15 digits in all, without any separator
                       10 at least; of North America (+1) exactly ten more, of which the first and the fourth are 2 to 9
    (555) 234-5678     three, three and four digits, of which the first and the fourth are 2 to 9
    Tel: 030 1234567   7 to 15 digits, not more than some words behind "tel", "phone", "fax", "mobile", "电话", "тел", …
                       or behind another number that stands there

A number that could be something else stays: with a letter or a digit around it, part of a longer chain of numbers,
with a decimal point in it, a date, an ISBN with a right check digit, an address of the Internet. In North America the
numbers 555-0100 to 555-0199 belong to nobody and are for examples: they stay, too.
"""

import re

from corpusmill.dataproc.rewriting.pii.window import Span, Window

COUNTRY_CODES = """
1 7 20 27 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 234 235 236 237 238 239 240 241
242 243 244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 268 269 290 291
297 298 299 30 31 32 33 34 36 39 350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 379 380
381 382 383 385 386 387 389 40 41 43 44 45 46 47 48 49 420 421 423 500 501 502 503 504 505 506 507 508 509 51 52 53 54
55 56 57 58 590 591 592 593 594 595 596 597 598 599 60 61 62 63 64 65 66 670 672 673 674 675 676 677 678 679 680 681
682 683 685 686 687 688 689 690 691 692 800 808 81 82 84 86 850 852 853 855 856 870 878 880 881 882 883 886 888 90 91
92 93 94 95 98 960 961 962 963 964 965 966 967 968 970 971 972 973 974 975 976 977 979 992 993 994 995 996 998
"""
_CODES = frozenset(COUNTRY_CODES.split())

_GROUPS = re.compile(rb"[0-9]{1,16}(?:[ ().\-/]{1,4}[0-9]{1,16}){0,7}")
_NORTH_AMERICA = re.compile(
    rb"([2-9][0-9]{2})(?:\) ?|([ .-]))([2-9][0-9]{2})([ .-])([0-9]{4})(?![0-9A-Za-z_]|[./-][0-9])"
)
_TRUNK = re.compile(rb"(?:^|[^0-9A-Za-z.+-])(\+?1[ .-]?)\(?$")
_WORDS = (
    r"(?:tele(?:ph|f|p)[a-z]{0,10}|tel|phone|cellphone|fax|mobile|mobil|mob|cell|whatsapp|hotline)(?![A-Za-z])",
    r"call(?: us)?(?= ?[ :])|tél(?:éphone)?(?![A-Za-z])|teléfono(?![A-Za-z])",
    "电话|電話|手机|手機|(?:т|Т)ел(?:ефон)?|전화|هاتف|फ(?:़)?ोन",
)
_WORD = re.compile(
    (
        r"(?:^|[^A-Za-z<])(?:" + "|".join(_WORDS) + r")[^0-9\n]{0,16}(?:[0-9][0-9 ()./-]{5,20}[0-9][^0-9\n]{1,8})?$"
    ).encode(),
    re.IGNORECASE,
)
"""A word for telephone, and what stands between it and the number: some characters, or one more number.

The word is not behind a <, since our own tag has one in it.
"""

_DATE = re.compile(
    r"(?:1[89]|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])(?:\D|$)"
    r"|(?:0?[1-9]|[12]\d|3[01])[-./ ](?:0?[1-9]|[12]\d|3[01])[-./ ](?:1[89]|20)\d\d(?:\D|$)"
    r"|(?:1[89]|20)\d\d ?[-/] ?(?:1[89]|20)\d\d(?:\D|$)"
)


def find_phone(window: Window) -> Span | None:
    """The number of a telephone whose first digit (behind a + or a bracket, if there is one) is at `window.at`."""
    before = window.before(64)
    if before.endswith(b"+") or before.endswith(b"+("):
        return _international(window, before)
    match = _NORTH_AMERICA.match(window.data, window.at)
    return (_north_american(window, before, match) if match else None) or _named(window, before)


def _international(window: Window, before: bytes) -> Span | None:
    start = window.at - (1 if before.endswith(b"+") else 2)
    if window.data[max(start - 1, 0) : start].isalnum() or window.data[max(start - 1, 0) : start] in (
        b")",
        b"]",
        b"_",
    ):
        return None
    for end, digits, groups in _lengths(window):
        least = 10 if len(groups) == 1 else 9
        if least <= len(digits) <= 15 and _is_international(digits):
            opened = window.data[max(start - 1, 0) : start] == b"(" and b")" in window.data[start:end]
            return start - opened, end
    return None


def _is_international(digits: str) -> bool:
    if digits.startswith("1"):
        area, exchange, line = digits[1:4], digits[4:7], digits[7:]
        return len(digits) == 11 and area[0] > "1" and exchange[0] > "1" and not _is_fictional(exchange, line)
    return any(digits[:size] in _CODES for size in (1, 2, 3)) and (digits[0] != "7" or len(digits) == 11)


def _north_american(window: Window, before: bytes, match: re.Match[bytes]) -> Span | None:
    _, first, exchange, second, line = match.groups()
    bracketed = before.endswith(b"(")
    if (first is None) != bracketed or _is_fictional(exchange.decode(), line.decode()):
        return None
    trunk = _TRUNK.search(before)
    prior = before[:-1] if bracketed else before
    if trunk:
        start = window.at - len(before) + trunk.start(1)
    elif (prior and prior[-1:] in b".-/,$#=+*") or prior[-1:].isalnum():
        return None
    else:
        start = window.at - bracketed
    alike = bracketed or first == second or (first == b" " and second == b"-")
    if not alike or (second == b" " and not trunk and not _WORD.search(before)):
        return None
    return start, match.end()


def _named(window: Window, before: bytes) -> Span | None:
    if before[-1:] in (b".", b"-", b"/", b",") or not _WORD.search(before):
        return None
    for end, digits, groups in _lengths(window):
        text = window.data[window.at : end].decode("ascii")
        if not 7 <= len(digits) <= 15 or _DATE.match(text) or _is_isbn(digits) or len(set(digits)) < 3:
            continue
        if "." in text and (len(groups) < 3 or min(map(len, groups)) < 2):
            continue  # a decimal number, a version, a clause
        return window.at - before.endswith(b"("), end
    return None


def _lengths(window: Window) -> list[tuple[int, str, list[str]]]:
    """(end, digits, groups of digits) of the number at `window.at`: whole, without its last group, its last two, …"""
    number = _GROUPS.match(window.data, window.at)
    if not number or window.data[number.end() : number.end() + 1].isalnum():
        return []
    text = number.group().decode("ascii")
    if window.data[number.end() : number.end() + 1] in (b".", b",", b"-", b":") and (
        window.data[number.end() + 1 : number.end() + 2].isdigit()
    ):
        return []
    spans = [match.span() for match in re.finditer(r"[0-9]{1,16}", text)]
    groups = [text[start:end] for start, end in spans]
    ends = [end for _, end in spans]
    whole = [count for count, end in enumerate(ends, 1) if text[:end].count("(") <= text[:end].count(")")]
    return [(window.at + ends[count - 1], "".join(groups[:count]), groups[:count]) for count in reversed(whole)]


def _is_fictional(exchange: str, line: str) -> bool:
    return exchange == "555" and line.startswith("01")


def _is_isbn(digits: str) -> bool:
    if len(digits) == 13 and digits[:3] in ("978", "979"):
        return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0
    return len(digits) == 10 and sum(int(digit) * (10 - place) for place, digit in enumerate(digits)) % 11 == 0
