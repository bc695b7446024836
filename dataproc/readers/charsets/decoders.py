"""Decoders of the WHATWG Encoding Standard, of which Python's codecs of the same names are narrower namesakes.

A page is first tried with Python's codec, which is compiled, and taken where that decodes all of it and can have
decoded none of it otherwise than the standard. Else each of the standard's tokens (a character, or what is malformed
by the standard's own rules of where to go on) is found by a regular expression and looked up in a table, which Python's
codecs and `differences` fill as tokens are met. That costs some 0.1 µs a token, whatever the bytes are.

What is malformed becomes U+FFFD where, and as often as, a browser would show it.
"""

import codecs
import re
from collections.abc import Callable
from functools import cache

from corpusmill.dataproc.readers.charsets import differences

REPLACED = "\ufffd"
REPLACEMENT = "replacement"
"""The encoding of labels (of ISO-2022-KR, HZ and others) that nobody must decode, since they hide ASCII."""

LONGEST_LABEL = 100
"""Blanks included."""

Decode = Callable[[bytes], str]


def encoding_of(label: str | None) -> str | None:
    """The name of the standard's encoding that a label stands for, in lower case; None for what is no label."""
    import webencodings

    encoding = webencodings.lookup(label) if label and len(label) < LONGEST_LABEL else None
    return encoding.name.lower() if encoding else None


def decode(data: bytes, encoding: str) -> str:
    """The text of bytes by an encoding of the standard, without its byte order mark. KeyError for what is none."""
    return _decoder(encoding)(data)


def malformed(text: str) -> int:
    """How many characters could not be decoded."""
    return text.count(REPLACED)


@cache
def _decoder(encoding: str) -> Decode:
    if encoding in _UNICODE:
        return _unicode(*_UNICODE[encoding])
    if encoding in _TABLES:
        return _TABLES[encoding]()
    return _single_byte(encoding)


_UNICODE = {
    "utf-8": ("utf-8", codecs.BOM_UTF8),
    "utf-16le": ("utf-16-le", codecs.BOM_UTF16_LE),
    "utf-16be": ("utf-16-be", codecs.BOM_UTF16_BE),
}


def _unicode(codec: str, mark: bytes) -> Decode:
    return lambda data: data.removeprefix(mark).decode(codec, "replace")


def _single_byte(encoding: str) -> Decode:
    """By a table of 256 characters: Python's, with what windows-125x and -874 leave open as the controls of C1."""
    import webencodings

    if encoding == "x-user-defined":
        table = "".join(chr(byte) if byte < 0x80 else chr(0xF700 + byte) for byte in range(256))
    else:
        known = webencodings.lookup(encoding)
        if known is None:
            raise KeyError(encoding)
        table = bytes(range(256)).decode(known.codec_info.name, "replace")
    if encoding.startswith("windows-"):
        table = "".join(chr(byte) if c == REPLACED and byte < 0xA0 else c for byte, c in enumerate(table))
    changes = {"koi8-u": {0xAE: "ў", 0xBE: "Ў"}, "windows-1255": {0xCA: "\u05ba"}}.get(encoding, {})
    table = "".join(changes.get(byte, character) for byte, character in enumerate(table))
    return lambda data: codecs.charmap_decode(data, "replace", table)[0]


class _Characters(dict[bytes, str]):
    """Tokens and what they decode to, filled as they are met; but for those of four bytes, which are too many."""

    def __init__(self, look_up: Decode) -> None:
        super().__init__()
        self._look_up = look_up

    def __missing__(self, token: bytes) -> str:
        if token[0] < 0x80:  # a run of ASCII
            return token.decode("ascii")
        character = self._look_up(token)
        if len(token) < 4:
            self[token] = character
        return character


def _multi_byte(codec: str, tokens: bytes, look_up: Decode, suspects: str, bytes_too: bytes = b"") -> Decode:
    """A decoder by tokens, which takes the result of Python's codec where no error and none of `suspects` is in it.

    `bytes_too` is a sequence in the data that is as suspect as the characters.
    """
    find = re.compile(rb"[\x00-\x7f]+|" + tokens + rb"|.", re.DOTALL).findall
    characters = _Characters(look_up)

    def decoded(data: bytes) -> str:
        try:
            text = data.decode(codec)
            if not any(suspect in text for suspect in suspects) and not (bytes_too and bytes_too in data):
                return text
        except UnicodeDecodeError:
            pass
        return "".join(map(characters.__getitem__, find(data)))

    return decoded


def _by_codec(codec: str, others: dict[bytes, str]) -> Decode:
    """Looks up one token; one that stands for nothing is U+FFFD, and an ASCII byte at its end is read again."""

    def look_up(token: bytes) -> str:
        if token in others:
            return others[token]
        try:
            return token.decode(codec)
        except UnicodeDecodeError:
            return REPLACED + (chr(token[-1]) if token[-1] < 0x80 and len(token) == 2 else "")

    return look_up


def _shift_jis() -> Decode:
    others = {bytes([byte]): REPLACED for byte in (0xA0, 0xFD, 0xFE, 0xFF)} | {b"\x80": "\x80"}
    suspects = "".join(bytes([byte]).decode("cp932") for byte in (0xA0, 0xFD, 0xFE, 0xFF))
    tokens = rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xff]"
    return _multi_byte("cp932", tokens, _by_codec("cp932", others), suspects)


def _euc_kr() -> Decode:
    return _multi_byte("cp949", rb"[\x81-\xfe][\x41-\x7e\x80-\xff]", _by_codec("cp949", {}), "")


def _big5() -> Decode:
    suspects = "•､‾∼♁☉／＼¥¢£"
    tokens = rb"[\x81-\xfe][\x40-\x7e\x80-\xff]"
    return _multi_byte("big5hkscs", tokens, _by_codec("big5hkscs", differences.BIG5), suspects)


def _gb18030() -> Decode:
    others = differences.GB18030
    suspects = "".join(others.values()) + "".join(key.decode("gb18030") for key in others if len(key) > 1)
    known = _by_codec("gb18030", others)

    def look_up(token: bytes) -> str:
        return REPLACED if len(token) < 4 and 0x30 <= token[-1] <= 0x39 else known(token)

    tokens = rb"[\x81-\xfe][0-9][\x81-\xfe][0-9]|[\x81-\xfe][0-9][\x81-\xfe]?\Z|[\x81-\xfe][\x40-\x7e\x80-\xff]"
    return _multi_byte("gb18030", tokens, look_up, suspects)


def _jis0208(row: int, cell: int) -> str:
    """The character at a place of JIS X 0208 (two bytes from 0x21 on) as Windows has it, "" if there is none."""
    trail = cell + (0x1F + (cell > 0x5F) if row % 2 else 0x7E)
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    try:
        return bytes([lead, trail]).decode("cp932")
    except UnicodeDecodeError:
        return ""


def _euc_jp() -> Decode:
    single = _by_codec("euc_jp", differences.EUC_JP)

    def look_up(token: bytes) -> str:
        if len(token) == 2 and min(token) > 0xA0 and max(token) < 0xFF:
            return _jis0208(token[0] - 0x80, token[1] - 0x80) or REPLACED
        return single(token)

    tokens = rb"\x8f[\xa1-\xfe][\x80-\xff]|\x8f[\xa1-\xfe]|[\x8e\x8f\xa1-\xfe][\x80-\xff]"
    return _multi_byte("euc_jp", tokens, look_up, "〜‖−¢£¬", next(iter(differences.EUC_JP)))


_ESCAPES = {b"(B": "ascii", b"(J": "roman", b"(I": "katakana", b"$@": "double", b"$B": "double"}
_ISO_2022_JP = re.compile(rb"\x1b(?:\([BJI]|\$[@B])|[^\x1b]+|\x1b")
_ROMAN = {0x5C: "¥", 0x7E: "‾"}


def _iso_2022_jp() -> Decode:
    return _decode_iso_2022_jp


def _decode_iso_2022_jp(data: bytes) -> str:
    """Stretches between escapes, each by its state. An escape right behind another is malformed, says the standard."""
    state, written, escaped = "ascii", list[str](), False
    for token in _ISO_2022_JP.findall(data):
        if kind := _ESCAPES.get(token[1:]) if token[0] == 0x1B else None:
            if escaped:
                written.append(REPLACED)
            state, escaped = kind, True
            continue
        escaped = False
        if token == b"\x1b":
            written.append(REPLACED)
        elif state == "double":
            written.extend(_double(pair) for pair in re.findall(rb"[\x21-\x7e][^\x1b]?|[^\x1b]", token))
        else:
            written.extend(_single(byte, state) for byte in token)
    return "".join(written)


def _double(pair: bytes) -> str:
    return (len(pair) == 2 and max(pair) < 0x7F and min(pair) > 0x20 and _jis0208(*pair)) or REPLACED


def _single(byte: int, state: str) -> str:
    if state == "katakana":
        return chr(0xFF40 + byte) if 0x21 <= byte <= 0x5F else REPLACED
    if byte > 0x7F or byte in (0x0E, 0x0F):
        return REPLACED
    return _ROMAN.get(byte, chr(byte)) if state == "roman" else chr(byte)


def _replacement() -> Decode:
    return lambda data: REPLACED if data else ""


_TABLES: dict[str, Callable[[], Decode]] = {
    "shift_jis": _shift_jis,
    "euc-kr": _euc_kr,
    "big5": _big5,
    "gbk": _gb18030,
    "gb18030": _gb18030,
    "euc-jp": _euc_jp,
    "iso-2022-jp": _iso_2022_jp,
    REPLACEMENT: _replacement,
}
