"""Web archives: WARC (plain, or a gzip member or zstd frame for each record) and WET, the text of their pages.

A document is made of each response of status 200 that holds HTML or plain text, and of each conversion record of plain
text (WET). Everything else in an archive is by definition no document, and is passed over without a word: requests,
metadata (all of a WAT), warcinfo, revisits, resources, other statuses, images. A record that should be a document and
cannot be is reported with its place: broken in the file (see `warc_records`), too long, transfer or content coding
that does not decode, characters that do not decode, no text in the page.

HTML becomes text by resiliparse (main content, as plain text). The charset is that of the HTTP header, or else the
one declared in the page or detected. Bytes that do not decode by it are replaced as a browser would, and counted in
`meta`, as long as they are few. Ids are `source/file#offset`, so that two fetches of one URL stay two documents; the
record's own id stands in `meta`. Memory: a record, its page decoded, and a batch. Cost: about 27 MB of HTML a second,
two thirds of it resiliparse's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import pyarrow as pa

from dataproc import storage
from dataproc.errors import require_extra
from dataproc.readers.batches import BatchBuilder, Report
from dataproc.readers.pieces import Fields, Piece
from dataproc.readers.warc_records import RawRecord, read_records

HTML_TYPES = ("text/html", "application/xhtml+xml")
PLAIN_TYPES = ("text/plain",)
REPLACED_SHARE = 0.001
"""With more replaced characters than this for each byte, a page is reported instead of mended."""


class _Unreadable(Exception):
    """A record that should be a document and cannot be; says why."""


@dataclass(frozen=True, kw_only=True)
class _Page:
    """What a record holds, before its characters are decoded."""

    content_type: str
    body: bytes
    charset: str | None
    status: int | None = None


def read_warc(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a web archive; what is broken is reported, and the rest of the file survives."""
    try:
        import fastwarc  # noqa: F401
        import resiliparse  # noqa: F401
    except ImportError as error:
        raise require_extra(str(error.name), "web") from error
    builder = BatchBuilder()
    with storage.open_input(piece.path) as file:
        for record in read_records(file, fields.maximum_record_bytes):
            place = f"{record.offset}+{record.inner}" if record.inner else str(record.offset)
            name = f"{fields.source}/{piece.name}#{place}"
            try:
                document = _document(record, fields.maximum_record_bytes)
            except _Unreadable as error:
                report(name, f"{piece.path}, byte {place}", str(error), None)
                continue
            if document:
                builder.add(id=name, source=fields.source, kind=fields.kind, **document)
            if builder.full:
                yield builder.take()
    yield builder.take()


def _document(record: RawRecord, limit: int) -> dict[str, Any] | None:
    """The columns of a record's document, None where it is none. Raises _Unreadable."""
    if record.problem and not record.too_long:
        raise _Unreadable(record.problem)
    kind = record.headers.get("warc-type", "").lower()
    page = {"response": _response, "conversion": _conversion}.get(kind, _nothing)(record, limit)
    if page is None:
        return None
    if record.too_long:
        raise _Unreadable(record.problem)
    text, charset, replaced = _decode(page)
    if page.content_type in HTML_TYPES:
        text = _text_of(text)
    if not text.strip():
        raise _Unreadable("no text in the page")
    meta = {
        "charset": charset,
        "content_type": page.content_type,
        "date": record.headers.get("warc-date"),
        "offset": record.offset,
        "record_id": record.headers.get("warc-record-id", "").strip("<>") or None,
        "replaced": replaced or None,
        "status": page.status,
        "truncated": record.headers.get("warc-truncated"),
    }
    written = {key: value for key, value in meta.items() if value is not None}
    url = record.headers.get("warc-target-uri", "").strip("<>")  # some versions of wget write it so
    return {"text": text, "url": url or None, "meta": orjson.dumps(written).decode()}


def _nothing(record: RawRecord, limit: int) -> None:
    return None


def _conversion(record: RawRecord, limit: int) -> _Page | None:
    content_type = _media_type(record.headers.get("content-type"))
    if content_type not in PLAIN_TYPES:
        return None
    return _Page(content_type=content_type, body=record.block, charset="utf-8")


def _response(record: RawRecord, limit: int) -> _Page | None:
    """The page of an HTTP response, its codings undone, when it is of status 200 and of text."""
    if _media_type(record.headers.get("content-type")) != "application/http":
        return None
    response = _parse_http(record.block)
    status = response.http_headers.status_code
    if status is None:
        raise _Unreadable("no HTTP response in a record that should hold one")
    declared = response.http_headers.get("Content-Type")
    content_type = _media_type(declared or record.headers.get("warc-identified-payload-type"))
    if status != 200 or content_type not in HTML_TYPES + PLAIN_TYPES:
        return None
    if record.too_long:
        return _Page(content_type=content_type, body=b"", charset=None, status=status)
    body = _body(record.block, response, limit)
    if len(body) > limit:
        raise _Unreadable(f"a page longer than {limit} bytes when decoded")
    return _Page(content_type=content_type, body=body, charset=response.http_charset, status=status)


def _body(block: bytes, response: Any, limit: int) -> bytes:
    """The body with its transfer and content codings undone, up to a byte more than the limit. Raises _Unreadable."""
    headers = response.http_headers
    if headers.get("Transfer-Encoding") or headers.get("Content-Encoding"):
        try:
            return _parse_http(block, auto_decode="all").reader.read(limit + 1)
        except OSError as error:
            body = response.reader.read(limit + 1)
            if body.lstrip().startswith(b"<"):  # held decoded, as many archives do, and the header is left over
                return body
            raise _Unreadable(f"the HTTP coding does not decode: {error}") from error
    return response.reader.read(limit + 1)


def _parse_http(block: bytes, auto_decode: Literal["none", "all"] = "none") -> Any:
    """The response as a FastWARC record. Raises _Unreadable, or OSError for a coding that there is not."""
    from fastwarc.warc import WarcRecord, WarcRecordType

    record = WarcRecord()
    record.init_headers(WarcRecordType.response)
    record.set_bytes_content(block)
    record.is_http = True
    try:
        record.parse_http(auto_decode=auto_decode, quirks_mode=True)
    except OSError as error:
        if auto_decode == "none":
            raise _Unreadable(f"malformed HTTP header: {error}") from error
        raise
    return record


def _media_type(header: str | None) -> str:
    return (header or "").split(";")[0].strip().lower()


def _decode(page: _Page) -> tuple[str, str, int]:
    """(text, charset, characters replaced). Raises _Unreadable where too much does not decode."""
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
    raise _Unreadable(f"the page is not {' or '.join(dict.fromkeys(charsets))}")


def _charsets(page: _Page) -> Iterator[str]:
    """What to decode a page by, in order: the header's charset, then the page's own or what its bytes look like."""
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    declared = map_encoding_to_html5(page.charset.strip("\"' "), fallback_utf8=False) if page.charset else None
    if declared:
        yield declared
    yield detect_encoding(page.body, from_html_meta=page.content_type in HTML_TYPES) or "utf-8"


def _text_of(html: str) -> str:
    """The main content of a page as plain text. Raises _Unreadable."""
    from resiliparse.extract.html2text import extract_plain_text

    try:
        return extract_plain_text(html, main_content=True, alt_texts=False)
    except Exception as error:
        raise _Unreadable(f"no text could be taken out: {type(error).__name__}: {error}") from error
