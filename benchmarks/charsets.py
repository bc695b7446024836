"""Reads a page in every label of the Encoding Standard, named in each way that there is: right, reported or wrong.

    python benchmarks/charsets.py

For each label: by HTTP header, by `meta charset`, by `meta http-equiv`, by XML declaration, as plain text by header,
and behind a byte order mark of UTF-8 that contradicts it. The page holds letters that the encoding has, encoded here by
Python's codecs and, where these lack them, by the bytes that the standard's index gives. A label of UTF-16 in ASCII
bytes has to be read as UTF-8; one of the "replacement" encoding has to be reported.

Then detection: pages that declare nothing, made of the names of countries and languages in many languages (of Babel,
if it is there): right, not certain (so reported or replaced), or wrong. The exit status is 1 if a label is misread.
"""

import random
from collections import Counter
from collections.abc import Iterator

import webencodings
from webencodings.labels import LABELS

from corpusmill.dataproc.readers.archives.pages import Page, Unreadable, decode_page
from corpusmill.dataproc.readers.charsets.decoders import decode
from corpusmill.dataproc.readers.charsets.detection import detect_encoding, is_utf8

WAYS = ("header", "meta", "http-equiv", "xml", "plain", "mark")
EXTRAS = {
    "shift_jis": (b"\x87\x40\x87\x8a\x81\x60", "①㈱～"),
    "euc-jp": (b"\xad\xa1\xad\xea\x8f\xb0\xa1", "①㈱丂"),
    "iso-2022-jp": (b"\x1b$B-!\x1b(B", "①"),
    "big5": (b"\xfb\x48\xa3\xe1\xc6\xe8", "嘅€あ"),
    "euc-kr": (b"\x8c\x63\xb0\xa1", "똠가"),
    "gbk": (b"\x80\xa2\xe3\xa8\xbc", "€€ḿ"),
    "gb18030": (b"\x80\xa6\xd9\x81\x30\x84\x36", "€︐¥"),
    "koi8-u": (b"\xae\xbe", "ўЎ"),
    "windows-874": (b"\x80\xa1", "€ก"),
    "x-user-defined": (b"\xe9", "\uf7e9"),
}
"""Bytes that a narrower codec of the same name does not know, and what they are by the standard."""
CODECS = {"x-user-defined": "ascii", "replacement": "ascii"}


def pages(label: str, encoding: str) -> Iterator[tuple[str, Page, str]]:
    """(way, page, text that must be in it) of a label, for each way to name it."""
    for way in WAYS:
        meant = {"mark": "utf-8"}.get(way, encoding)
        if way in ("meta", "http-equiv", "xml"):
            meant = {"utf-16le": "utf-8", "utf-16be": "utf-8", "x-user-defined": "windows-1252"}.get(encoding, encoding)
        if way == "xml" and encoding == "replacement":
            meant = encoding
        data, text = _sample(meant)
        head = {
            "meta": f'<meta charset="{label}">',
            "http-equiv": f"<meta http-equiv=Content-Type content='text/html; charset={label}'>",
            "mark": f'<meta charset="{label}">',
        }.get(way, "")
        start = f'<?xml version="1.0" encoding="{label}"?>' if way == "xml" else ""
        wide = meant if meant.startswith("utf-16") else "ascii"
        body = f"{start}<html><head>{head}</head><body><p>".encode(wide) + data + "</p></body></html>".encode(wide)
        mark = b"\xef\xbb\xbf" if way == "mark" else b""
        charset = label if way in ("header", "plain", "mark") else None
        yield (
            way,
            Page(content_type="text/plain" if way == "plain" else "text/html", body=mark + body, charset=charset),
            text,
        )


def _sample(encoding: str) -> tuple[bytes, str]:
    """Some text of an encoding, and its bytes: the letters that it has of many scripts, and `EXTRAS`."""
    letters = "äöüéßñ żłśč řůž абвгд їєґ αβγδ אבגד ابتث กขคง 日本語 かな 中文 한국어"
    known = webencodings.lookup(encoding)
    codec = CODECS.get(encoding) or (known.codec_info.name if known else "ascii")
    data, extra = EXTRAS.get(encoding, (b"", ""))
    plain = letters.encode(codec, "ignore")
    return plain + data, plain.decode(codec) + extra


def verdict(page: Page, text: str, encoding: str) -> str:
    try:
        read, _, replaced = decode_page(page)
    except Unreadable:
        return "reported"
    if encoding == "replacement" and page.body[:3] != b"\xef\xbb\xbf":
        return "wrong"
    return "right" if text in read and not replaced else "wrong"


def labels() -> bool:
    """Prints the table; whether no label was read wrongly."""
    counts, by_encoding = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for label, encoding in sorted(LABELS.items()):
        for way, page, text in pages(label, encoding.lower()):
            result = verdict(page, text, encoding.lower())
            counts[way, result] += 1
            by_encoding[encoding.lower(), result] += 1
            if result == "wrong":
                print(f"wrong: {label!r} by {way}")
    print(f"{len(LABELS)} labels\n{'way':<14} {'right':>6} {'reported':>9} {'wrong':>6}")
    for way in WAYS:
        print(f"{way:<14} {counts[way, 'right']:>6} {counts[way, 'reported']:>9} {counts[way, 'wrong']:>6}")
    reported = sorted({encoding for encoding, result in by_encoding if result == "reported"})
    print(f"reported are labels of: {', '.join(reported)}")
    return not any(result == "wrong" for _, result in counts)


LANGUAGES = {
    "ru": "cp1251 koi8-r iso8859-5 cp866", "uk": "cp1251 koi8-u", "bg": "cp1251", "de": "cp1252 mac-roman",
    "fr": "cp1252", "es": "cp1252", "pt": "cp1252", "sv": "cp1252", "pl": "cp1250 iso8859-2", "cs": "cp1250 iso8859-2",
    "hu": "cp1250 iso8859-2", "ro": "iso8859-2", "hr": "cp1250", "el": "cp1253 iso8859-7", "tr": "cp1254",
    "he": "cp1255", "ar": "cp1256 iso8859-6", "fa": "cp1256", "th": "cp874", "lt": "cp1257", "lv": "cp1257",
    "et": "cp1257",
    "ja": "cp932 euc_jp", "zh_Hans": "gb18030", "zh_Hant": "big5hkscs", "ko": "cp949", "vi": "cp1258",
}  # fmt: skip


def detection() -> None:
    try:
        from babel import Locale
    except ImportError:
        print("no Babel here, so no table of detection")
        return
    rng, counts = random.Random(1), Counter[tuple[int, str]]()
    for language, codecs in LANGUAGES.items():
        locale = Locale.parse(language)
        names = sorted({*locale.territories.values(), *locale.languages.values()})
        for codec in codecs.split():
            for size in (4, 12, 40, 200):
                for _ in range(6):
                    words = " ".join(rng.choice(names) for _ in range(size))
                    data = f"<html><head><title>Page</title></head><body><p>{words}</p></body></html>".encode(
                        codec, "ignore"
                    )
                    if is_utf8(data):
                        continue
                    encoding = detect_encoding(data)
                    right = encoding is not None and decode(data, encoding) == data.decode(codec)
                    counts[size, "right" if right else "wrong" if encoding else "not certain"] += 1
    print(f"\n{'detected of names':<18} {'right':>6} {'not certain':>12} {'wrong':>6}")
    for size in (4, 12, 40, 200):
        print(
            f"{size:<18} " + f"{counts[size, 'right']:>6} {counts[size, 'not certain']:>12} {counts[size, 'wrong']:>6}"
        )


if __name__ == "__main__":
    right = labels()
    detection()
    raise SystemExit(not right)
