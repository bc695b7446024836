"""The encoding of bytes that declare none, given only where it is certain.

UTF-8 is recognised by its own structure, UTF-16 by the zero bytes of its markup, ISO-2022-JP by its escapes. Other
bytes go to resiliparse's detector (uchardet), which is right on long texts but takes a short Polish text for Big5 or a
Hebrew one for Cyrillic. So its answer counts only with evidence: enough different words with bytes outside of ASCII
(`EVIDENCE_BYTES`, and of Latin scripts `LATIN_WORDS`), and a text without malformed, control or private characters,
or signs within words. KOI8-U and Korean, which it does not know, are recognised by their letters.

Measured on names of countries and languages in 27 languages and 40 encodings: benchmarks/charsets.py. Cost: UTF-8 1 ms
a MB; only pages that are neither declared nor UTF-8 pay for the detector, some 10 ms each.
"""

import re

from corpusmill.dataproc.readers.charsets.decoders import decode, encoding_of, malformed

SAMPLE_BYTES = 16 << 10
EVIDENCE_BYTES = 24
"""So many bytes must different words with bytes outside of ASCII have."""
LATIN_WORDS = 12
HANGUL_SHARE = 0.9
_WORD = re.compile(rb"[A-Za-z]*[\x80-\xff][A-Za-z\x80-\xff]*")
_NO_TEXT = re.compile(
    "[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x80-\x9f\ue000-\uf8ff\u2500-\u257f]"
    "|[^\\W\\d_][\xa1-\xa9\xab-\xb6\xb8\xb9\xbb-\xbf×÷†‡‰•™€…˜ˆ„‚“][^\\W\\d_]"
)
_JIS_ESCAPE = re.compile(rb"\x1b\$[@B][\x21-\x7e]{2}")
_HANGUL = re.compile("[\uac00-\ud7a3]{2,}")
_LATIN = frozenset(
    f"{family}{number}"
    for family, numbers in (("windows-", (1250, 1252, 1254, 1257, 1258)), ("iso-8859-", (2, 3, 4, 10, 13, 14, 15, 16)))
    for number in numbers
) | {"macintosh"}


def is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def detect_encoding(data: bytes) -> str | None:
    """The encoding of bytes that declare none, None where it is not certain."""
    if encoding := _utf16(data[:1024]):
        return encoding
    if data.isascii() and _JIS_ESCAPE.search(data) and not malformed(decode(data, "iso-2022-jp")):
        return "iso-2022-jp"
    if is_utf8(data):
        return "utf-8"
    sample = _sample(data)
    words = set(_WORD.findall(sample))
    if sum(map(len, words)) < EVIDENCE_BYTES:
        return None
    for encoding in (_by_uchardet(sample), "koi8-u", "euc-kr"):
        if encoding in (None, "utf-8") or (encoding in _LATIN and len(words) < LATIN_WORDS):
            continue
        text = decode(data, encoding)
        if not malformed(text) and not _NO_TEXT.search(text) and _plausible(text, encoding):
            return encoding
    return None


def _plausible(text: str, encoding: str) -> bool:
    """Whether a text is of the letters of its encoding, where the detector did not say so."""
    foreign = [character for character in text[: 2 * SAMPLE_BYTES] if character > "\xff" and character.isalpha()]
    if encoding == "euc-kr":
        return sum(map(len, _HANGUL.findall(text[: 2 * SAMPLE_BYTES]))) >= HANGUL_SHARE * len(foreign)
    if encoding == "koi8-u":
        return sum(character.islower() for character in foreign) > len(foreign) / 2 and any(c in text for c in "іїєґ")
    return True


def _utf16(start: bytes) -> str | None:
    """UTF-16 of markup or of European text, by where its zero bytes are."""
    even, odd, pairs = start[::2].count(0), start[1::2].count(0), len(start) // 2
    if pairs and odd > pairs // 2 and not even:
        return "utf-16le"
    return "utf-16be" if pairs and even > pairs // 2 and not odd else None


def _sample(data: bytes) -> bytes:
    """Some bytes from the first one outside of ASCII on."""
    first = next(iter(re.finditer(rb"[\x80-\xff]", data)), None)
    return data[max(0, first.start() - 64) :][:SAMPLE_BYTES] if first else data[:SAMPLE_BYTES]


def _by_uchardet(sample: bytes) -> str | None:
    from resiliparse.parse.encoding import detect_encoding as by_uchardet

    return _OF_PYTHON.get(name := by_uchardet(sample) or "", encoding_of(name))


_OF_PYTHON = {
    "cp949": "euc-kr",
    "euc_jp": "euc-jp",
    "euc_kr": "euc-kr",
    "big5hkscs": "big5",
    "mac-roman": "macintosh",
    "cp874": "windows-874",
}
"""Names of Python's codecs that are no labels."""
