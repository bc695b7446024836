"""From the bytes of a web page to its text: which characters they are, and which of those a reader would read.

The charset is found in the HTML standard's order: a byte order mark, what the transport says, what the page declares
(a `meta`, or else an XML declaration), and only where nothing is declared what the bytes certainly are
(`charsets.detection`). Bytes that do not decode by it are replaced as a browser would, and counted, as long as they are
few. A page of which more does not decode is tried by what it declares next, and as UTF-8 where all of it is that; then
it is reported, and not read by a charset that is neither declared nor certain. Plain text declares nothing itself.

Three extractors take the text out of HTML. `corpusmill` is our own (`dataproc.extraction`), and also says what a page
calls itself. `resiliparse` (main content, as plain text) is compiled: some 3 ms for a page
of 130 KB. `trafilatura` is what FineWeb and RefinedWeb used (favouring precision, no comments): it finds the main
content better on news and blogs, drops a page in which it finds none, and takes 10 to 20 times as long. A page on which
an extractor fails is reported, and costs its neighbours nothing; an endless page is bounded by the record's bytes.
"""

import codecs
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from corpusmill.dataproc import watching
from corpusmill.dataproc.errors import UserError, is_caught, require_extra
from corpusmill.dataproc.extraction.content import Content
from corpusmill.dataproc.readers.archives.markup_shape import refusal, too_many_tags
from corpusmill.dataproc.readers.charsets.decoders import REPLACED, REPLACEMENT, decode, encoding_of, malformed
from corpusmill.dataproc.readers.charsets.detection import detect_encoding, is_utf8
from corpusmill.dataproc.readers.charsets.prescan import declared_encoding
from corpusmill.dataproc.readers.signatures import binary_format

HTML_TYPES = ("text/html", "application/xhtml+xml")
PLAIN_TYPES = ("text/plain", "text/markdown", "text/x-markdown")
REPLACED_SHARE = 0.001
"""With more replaced characters than this for each byte, a page is reported instead of mended."""


T = TypeVar("T")
_ASCII = bytes(range(128))


class Unreadable(Exception):
    """A record that should be a document and cannot be; says why."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a record holds, before its characters are decoded.

    Attributes:
        charset: what the transport calls it.
        truncated: why the body is not all that was sent, "" if it is.
    """

    content_type: str
    body: bytes
    charset: str | None
    status: int | None = None
    truncated: str = ""


def check_extractor(name: str) -> None:
    """Raises UserError for an extractor that does not exist, or whose library is missing."""
    if name not in EXTRACTORS:
        raise UserError(f"unknown extractor '{name}'", "extractor", f"choose one of {', '.join(EXTRACTORS)}")
    try:
        import brotli  # noqa: F401
        import lz4.frame  # noqa: F401
        import resiliparse  # noqa: F401
        import webencodings  # noqa: F401

        if name == "trafilatura":
            import trafilatura  # noqa: F401
    except ImportError as error:
        raise require_extra(str(error.name), "web") from error
    EXTRACTORS[name]("<html><body><p>ready</p></body></html>")
    watching.ready()


def decode_page(page: Page) -> tuple[str, str, int]:
    """(text, encoding, characters replaced). Raises Unreadable where no charset is certain, or too much is malformed.

    The encoding is called as in the WHATWG Encoding Standard, in lower case.
    """
    if other := binary_format(page.body[:8]):
        raise Unreadable(f"the page is {other}, not {page.content_type}")
    marked = _of_mark(page.body)
    declared = [marked] if marked else list(dict.fromkeys(_declared(page)))
    encodings = declared or [detect_encoding(page.body) or "utf-8"]
    for encoding in encodings:
        text, replaced = _decode(page, encoding)
        if replaced <= REPLACED_SHARE * len(page.body):
            return text, encoding, replaced
        if encoding == "utf-8" and _characters_outside_ascii(page.body, text) > 2 * replaced:
            break  # damaged UTF-8, which another declaration would turn into something else
    else:
        if not marked and is_utf8(page.body):
            return decode(page.body, "utf-8"), "utf-8", 0
    if not declared:
        raise Unreadable("no charset is declared, and none is certain")
    raise Unreadable(f"the page is not {' or '.join(encodings)}")


def _decode(page: Page, encoding: str) -> tuple[str, int]:
    """The text, and how much of it was replaced; U+FFFD that stands in the page itself does not count."""
    if encoding == "utf-8":
        with suppress(UnicodeDecodeError):
            return page.body.removeprefix(codecs.BOM_UTF8).decode("utf-8"), 0
    text = decode(page.body, encoding)
    if page.truncated:  # in the middle of a character
        text = text.removesuffix(REPLACED)
    return text, malformed(text)


def _characters_outside_ascii(data: bytes, text: str) -> int:
    return len(text) - len(data) + len(data.translate(None, _ASCII))


def _of_mark(data: bytes) -> str | None:
    marks = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16le"), (codecs.BOM_UTF16_BE, "utf-16be"))
    return next((encoding for mark, encoding in marks if data.startswith(mark)), None)


def _declared(page: Page) -> Iterator[str]:
    """The encodings that are declared, in the order in which they count."""
    sent = encoding_of(page.charset)
    if sent in ("utf-16le", "utf-16be") and not _may_be_utf16(page):
        sent = None
    own = declared_encoding(page.body) if page.content_type in HTML_TYPES else None
    for encoding in (sent, own):
        if encoding == REPLACEMENT:
            raise Unreadable("the page is in a charset that nobody must decode (HZ, ISO-2022-KR or -CN)")
        if encoding:
            yield encoding


def _may_be_utf16(page: Page) -> bool:
    """Whether a page can be the UTF-16 that its sender calls it: markup in UTF-16 has zero bytes, and UTF-8 none."""
    if b"\0" in page.body[:1024]:
        return True
    return page.content_type not in HTML_TYPES and not is_utf8(page.body)


def text_of_html(html: str, extractor: str) -> str:
    """The main content of a page as plain text, "" if it has none. Raises Unreadable."""
    if reason := refusal(html):
        raise Unreadable(reason)
    return _taken_out(lambda: EXTRACTORS[extractor](html))


def _taken_out(extract: Callable[[], T]) -> T:
    """What an extractor gives. Raises Unreadable for what it raises."""
    try:
        return extract()
    except BaseException as error:
        if not is_caught(error):
            raise
        raise Unreadable(f"no text could be taken out: {type(error).__name__}: {error}") from error


def content_of_html(html: str, extractor: str, *, comments: bool = False) -> Content:
    """The main content of a page and, by our own extractor, what the page says of itself. Raises Unreadable.

    Our own extractor is linear in a page's bytes however they nest, so it refuses only what has too many tags.
    """
    if extractor != OWN_EXTRACTOR:
        return Content(text=text_of_html(html, extractor))
    from corpusmill.dataproc.extraction.extractor import extract

    if reason := too_many_tags(html):
        raise Unreadable(reason)
    return _taken_out(lambda: extract(html, comments=comments))


def _by_resiliparse(html: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, main_content=True, alt_texts=False)


def _by_trafilatura(html: str) -> str:
    import trafilatura

    return trafilatura.extract(html, favor_precision=True, include_comments=False) or ""


def _by_corpusmill(html: str) -> str:
    return content_of_html(html, OWN_EXTRACTOR).text


OWN_EXTRACTOR = "corpusmill"
EXTRACTORS: dict[str, Callable[[str], str]] = {
    "resiliparse": _by_resiliparse,
    "trafilatura": _by_trafilatura,
    OWN_EXTRACTOR: _by_corpusmill,
}
"""Extractors by name."""
