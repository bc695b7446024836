"""Web archives: WARC and ARC (plain, or a gzip member or zstd frame for each record), and WET, the text of their pages.

A document is made of each response of status 200 that holds HTML or plain text, and of each conversion record of plain
text (WET). Everything else in an archive is by definition no document, and is passed over silently: requests,
metadata (all of a WAT), warcinfo, revisits, resources, other statuses, images. A record that should be a document and
cannot be is reported with its place: broken in the file (`records`), too long, a coding
(transfer or content) that does not decode, characters that do not decode, no text in the page.

Text and charset are those of `dataproc.readers.archives.pages`; bytes that do not decode are replaced as a browser
would, and counted in `meta`, as long as they are few. Ids are `source/file#offset`, so that two fetches of one URL stay
two documents; the record's own id stands in `meta`. A compressed archive is read by ranges of its members, so that one
large file keeps all workers busy; a plain one is read as a whole, since only its records' lengths tell records apart
from what they hold. ARC files are recognised by their first record.

Memory: a record, its page decoded, and a batch. Cost: some 200 MB of HTML a second without the extractor.
"""

from collections.abc import Iterator
from typing import Any, Literal

import orjson
import pyarrow as pa

from corpusmill.dataproc import storage, watching
from corpusmill.dataproc.readers.archives.pages import (
    HTML_TYPES,
    Page,
    Unreadable,
    check_extractor,
    decode_page,
    text_of_html,
)
from corpusmill.dataproc.readers.archives.records import ARC, WARC, RawRecord, read_records
from corpusmill.dataproc.readers.archives.stream import first_bytes
from corpusmill.dataproc.readers.batches import BatchBuilder, Report
from corpusmill.dataproc.readers.pieces import Fields, Piece

PLAIN_TYPES = ("text/plain",)
ARC_BEGIN = b"filedesc:"


def read_warc(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a web archive; what is broken is reported, and the rest of the file survives."""
    check_extractor(fields.extractor)
    builder = BatchBuilder()
    with storage.open_input(piece.path) as file:
        format = ARC if first_bytes(file, len(ARC_BEGIN)).startswith(ARC_BEGIN) else WARC
        for record in read_records(file, format, fields.maximum_record_bytes, piece.start, piece.stop):
            place = f"{record.offset}+{record.inner}" if record.inner else str(record.offset)
            name = f"{fields.source}/{piece.name}#{place}"
            try:
                with watching.document(name):
                    document = _document(record, fields.maximum_record_bytes, fields.extractor)
            except (Unreadable, watching.TooSlow) as error:
                report(name, f"{piece.path}, byte {place}", str(error), None)
                continue
            if document:
                builder.add(id=name, source=fields.source, kind=fields.kind, **document)
            if builder.full:
                yield builder.take()
    yield builder.take()


def _document(record: RawRecord, limit: int, extractor: str) -> dict[str, Any] | None:
    """The columns of a record's document, or None if it is not one. Raises Unreadable."""
    if record.problem and not record.too_long:
        raise Unreadable(record.problem)
    kind = record.headers.get("warc-type", "").lower()
    page = {"response": _response, "conversion": _conversion}.get(kind, _nothing)(record, limit)
    if page is None:
        return None
    if record.too_long:
        raise Unreadable(record.problem)
    text, charset, replaced = decode_page(page)
    if page.content_type in HTML_TYPES:
        text = text_of_html(text, extractor)
    if not text.strip():
        raise Unreadable("no text in the page")
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


def _conversion(record: RawRecord, limit: int) -> Page | None:
    content_type = _media_type(record.headers.get("content-type"))
    if content_type not in PLAIN_TYPES:
        return None
    return Page(content_type=content_type, body=record.block, charset="utf-8")


def _response(record: RawRecord, limit: int) -> Page | None:
    """The page of an HTTP response, its codings undone, when it is of status 200 and of text."""
    if _media_type(record.headers.get("content-type")) != "application/http":
        return None
    response = _parse_http(record.block)
    status = response.http_headers.status_code
    if status is None:
        raise Unreadable("no HTTP response in a record that should hold one")
    declared = response.http_headers.get("Content-Type")
    content_type = _media_type(declared or record.headers.get("warc-identified-payload-type"))
    if status != 200 or content_type not in HTML_TYPES + PLAIN_TYPES:
        return None
    if record.too_long:
        return Page(content_type=content_type, body=b"", charset=None, status=status)
    body = _body(record.block, response, limit)
    if len(body) > limit:
        raise Unreadable(f"a page longer than {limit} bytes when decoded")
    return Page(content_type=content_type, body=body, charset=response.http_charset, status=status)


def _body(block: bytes, response: Any, limit: int) -> bytes:
    """The body with its transfer and content codings undone, up to a byte more than the limit. Raises Unreadable."""
    headers = response.http_headers
    if headers.get("Transfer-Encoding") or headers.get("Content-Encoding"):
        try:
            return _parse_http(block, auto_decode="all").reader.read(limit + 1)
        except OSError as error:
            body = response.reader.read(limit + 1)
            if body.lstrip().startswith(b"<"):  # held decoded, as many archives do, and the header is left over
                return body
            raise Unreadable(f"the HTTP coding does not decode: {error}") from error
    return response.reader.read(limit + 1)


def _parse_http(block: bytes, auto_decode: Literal["none", "all"] = "none") -> Any:
    """The response as a FastWARC record. Raises Unreadable, or OSError for an unknown coding."""
    from fastwarc.warc import WarcRecord, WarcRecordType

    record = WarcRecord()
    record.init_headers(WarcRecordType.response)
    record.set_bytes_content(block)
    record.is_http = True
    try:
        record.parse_http(auto_decode=auto_decode, quirks_mode=True)
    except OSError as error:
        if auto_decode == "none":
            raise Unreadable(f"malformed HTTP header: {error}") from error
        raise
    return record


def _media_type(header: str | None) -> str:
    return (header or "").split(";")[0].strip().lower()
