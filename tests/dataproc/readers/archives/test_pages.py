"""By which charset a page is decoded, in the order of the HTML standard, and when it is reported instead."""

import pytest
from webencodings.labels import LABELS

from corpusmill.dataproc.readers.archives.pages import Page, Unreadable, decode_page

GERMAN = "Ein Satz über Köln und die schöne Straße, größer als Düsseldorf"
RUSSIAN = "Мельница мелет медленно, и мука выходит такой тонкой, на какую мельник надеялся, и не иначе"
CHINESE = "這篇文章是為了測試而寫的，內容沒有什麼特別的意義。"
MARK = b"\xef\xbb\xbf"


def read(body: bytes, charset: str | None = None, kind: str = "text/html", truncated: str = "") -> tuple[str, str, int]:
    return decode_page(Page(content_type=kind, body=body, charset=charset, truncated=truncated))


def meta(label: str) -> bytes:
    return f"<meta charset={label}>".encode()


@pytest.mark.parametrize("label", sorted(LABELS))
def test_a_byte_order_mark_goes_before_all_else(label: str) -> None:
    text, encoding, replaced = read(MARK + meta(label) + GERMAN.encode(), label)
    assert (text, encoding, replaced) == (meta(label).decode() + GERMAN, "utf-8", 0)


@pytest.mark.parametrize(("codec", "encoding"), [("utf-16-le", "utf-16le"), ("utf-16-be", "utf-16be")])
def test_the_marks_of_utf16(codec: str, encoding: str) -> None:
    body = f"\ufeff<meta charset=windows-1252>{RUSSIAN}".encode(codec)
    assert read(body, "koi8-r") == (f"<meta charset=windows-1252>{RUSSIAN}", encoding, 0)


def test_the_transport_goes_before_the_page_and_a_meta_before_the_xml_declaration() -> None:
    body = b'<?xml version="1.0" encoding="koi8-u"?>' + meta("windows-1251") + RUSSIAN.encode("koi8-r")
    assert read(body, "KOI8-R")[1] == "koi8-r"
    assert read(body)[1] == "windows-1251"
    assert read(body, "no-such")[1] == "windows-1251"
    assert read(body, kind="text/plain")[1] == "koi8-r"  # declares nothing there, and is certain
    assert read(body.replace(meta("windows-1251"), b""))[1] == "koi8-u"


@pytest.mark.parametrize("label", [label for label in LABELS if LABELS[label].upper().startswith("UTF-16")])
def test_utf16_in_bytes_of_ascii_is_utf8(label: str) -> None:
    for padding in ("", " "):
        body = meta(label) + (GERMAN + padding).encode()
        assert read(body) == (body.decode(), "utf-8", 0)
        assert read(body, label) == (body.decode(), "utf-8", 0)
        plain = b"<p>" + b"Plain words only. " * 5 + GERMAN.encode() + padding.encode()
        assert read(plain, label)[0] == plain.decode()


@pytest.mark.parametrize("text", ["嘅", "€", "嘅" * 10])
@pytest.mark.parametrize("label", ["big5", "big5-hkscs", "cn-big5", "x-x-big5"])
def test_big5_is_read_with_hong_kongs_characters(text: str, label: str) -> None:
    data = (CHINESE * 4).encode("big5hkscs") + text.encode("big5hkscs", "ignore")
    data += b"\xa3\xe1" if text == "€" else b"" if text.encode("big5hkscs", "ignore") else b"\xfb\x48" * len(text)
    for body, charset in ((b"<p>" + data, label), (meta(label) + data, None)):
        assert read(body, charset)[0].endswith(CHINESE * 4 + text)


def test_a_declared_charset_that_fails_gives_way_to_the_pages_own_or_to_utf8_only() -> None:
    assert read(meta("windows-1252") + GERMAN.encode("cp1252"), "utf-8")[1:] == ("windows-1252", 0)
    text = f"<meta charset=shift_jis>{GERMAN}{CHINESE}"
    assert read(text.encode()) == (text, "utf-8", 0)
    with pytest.raises(Unreadable, match="the page is not euc-jp"):  # and not Chinese, as a detector would have it
        read(meta("euc-jp") + (CHINESE * 9).encode("big5hkscs"))
    damaged = meta("windows-1252") + (RUSSIAN * 2).encode().replace(b"\xd1\x8c", b"\xff")
    with pytest.raises(Unreadable, match="the page is not utf-8"):
        read(damaged, "utf-8")


def test_few_malformed_bytes_are_replaced_and_counted() -> None:
    body = b"<p>" + (RUSSIAN * 20).encode() + b"\xff"
    assert read(body) == (f"<p>{RUSSIAN * 20}\ufffd", "utf-8", 1)
    assert read(body, "utf-8")[2] == 1
    assert read("<p>already there: \ufffd".encode())[2] == 0


def test_what_nobody_declares_is_read_only_where_it_is_certain() -> None:
    assert read(b"<p>" + RUSSIAN.encode("cp1251"))[1] == "windows-1251"
    with pytest.raises(Unreadable, match="no charset is declared, and none is certain"):
        read("<p>żółć".encode("cp1250"))


def test_a_character_that_the_cut_divides_is_no_damage() -> None:
    body = f"<p>{RUSSIAN}".encode()[:-1]
    assert read(body, "utf-8", truncated="gzip cut off") == (f"<p>{RUSSIAN[:-1]}", "utf-8", 0)
    with pytest.raises(Unreadable):
        read(body, "utf-8")


@pytest.mark.parametrize("label", ["hz-gb-2312", "iso-2022-kr", "iso-2022-cn", "replacement"])
def test_what_browsers_refuse_is_reported(label: str) -> None:
    for body, charset in ((b"<p>a", label), (meta(label), None)):
        with pytest.raises(Unreadable, match="nobody must decode"):
            read(body, charset)
