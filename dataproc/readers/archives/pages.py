"""From the bytes of a web page to its text: which characters they are, and which of those a reader would read.

The charset is the one that the sender named, or else the one declared in the page or detected from its bytes. Bytes
that do not decode by it are replaced as a browser would, and counted, as long as they are few.

Two extractors take the text out of HTML. `resiliparse` (main content, as plain text) is compiled: some 3 ms for a page
of 130 KB. `trafilatura` is what FineWeb and RefinedWeb used (favouring precision, no comments): it finds the main
content better on news and blogs, drops a page in which it finds none, and takes 10 to 20 times as long. A page on which
an extractor fails is reported, and costs its neighbours nothing; an endless page is bounded by the record's bytes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from corpusmill.dataproc import watching
from corpusmill.dataproc.errors import UserError, is_caught, require_extra
from corpusmill.dataproc.readers.archives.markup_shape import refusal

HTML_TYPES = ("text/html", "application/xhtml+xml")
REPLACED_SHARE = 0.001
"""With more replaced characters than this for each byte, a page is reported instead of mended."""


class Unreadable(Exception):
    """A record that should be a document and cannot be; says why."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a record holds, before its characters are decoded."""

    content_type: str
    body: bytes
    charset: str | None
    status: int | None = None


def check_extractor(name: str) -> None:
    """Raises UserError for an extractor that does not exist, or whose library is missing."""
    if name not in EXTRACTORS:
        raise UserError(f"there is no extractor '{name}'", "extractor", f"choose one of {', '.join(EXTRACTORS)}")
    try:
        import fastwarc  # noqa: F401
        import resiliparse  # noqa: F401

        if name == "trafilatura":
            import trafilatura  # noqa: F401
    except ImportError as error:
        raise require_extra(str(error.name), "web") from error
    EXTRACTORS[name]("<html><body><p>ready</p></body></html>")
    watching.ready()


def decode_page(page: Page) -> tuple[str, str, int]:
    """(text, charset, characters replaced). Raises Unreadable where too much does not decode."""
    charsets = []
    for charset in _charsets(page):
        try:
            return page.body.decode(charset), charset, 0
        except UnicodeDecodeError:
            charsets.append(charset)
    for charset in charsets:
        text = page.body.decode(charset, "replace")
        replaced = text.count("\ufffd")
        if replaced <= REPLACED_SHARE * len(page.body):
            return text, charset, replaced
    raise Unreadable(f"the page is not {' or '.join(dict.fromkeys(charsets))}")


def _charsets(page: Page) -> Iterator[str]:
    """What to decode a page by, in order: the sender's charset, then the page's own or what its bytes look like."""
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    declared = map_encoding_to_html5(page.charset.strip("\"' "), fallback_utf8=False) if page.charset else None
    if declared:
        yield declared
    yield detect_encoding(page.body, from_html_meta=page.content_type in HTML_TYPES) or "utf-8"


def text_of_html(html: str, extractor: str) -> str:
    """The main content of a page as plain text, "" if it has none. Raises Unreadable."""
    if reason := refusal(html):
        raise Unreadable(reason)
    try:
        return EXTRACTORS[extractor](html)
    except BaseException as error:
        if not is_caught(error):
            raise
        raise Unreadable(f"no text could be taken out: {type(error).__name__}: {error}") from error


def _by_resiliparse(html: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, main_content=True, alt_texts=False)


def _by_trafilatura(html: str) -> str:
    import trafilatura

    return trafilatura.extract(html, favor_precision=True, include_comments=False) or ""


EXTRACTORS: dict[str, Callable[[str], str]] = {"resiliparse": _by_resiliparse, "trafilatura": _by_trafilatura}
"""Extractors by name."""
