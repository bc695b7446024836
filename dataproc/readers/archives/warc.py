"""Web archives: WARC and ARC (plain, or a gzip member or zstd frame for each record), and WET, the text of their pages.

A document is made of each response of status 200 that holds HTML or plain text (Markdown included), and of each
conversion record of plain text (WET). Everything else in an archive is by definition no document, and is counted by
kind (`batches.pass_over`): requests, metadata (all of a WAT), warcinfo, revisits, resources, other statuses, images. A
record that should be a document and cannot be is reported with its place: broken in the file (`records`), too long, a
coding (transfer or content) that does not decode, characters that do not decode, no text in the page. A response that
names no media type is HTML where it begins so, and else reported.

Text and charset are those of `dataproc.readers.archives.pages`; bytes that do not decode are replaced as a browser
would, and counted in `meta`, as long as they are few. A body that was cut off, by the crawler (`WARC-Truncated`) or in
the middle of any coding, is kept with `truncated` in `meta`, or reported if `Fields.truncated` says so. Ids are
`source/file#offset`, so that two fetches of one URL stay two documents; the record's own id stands in `meta`. A
compressed archive is read by ranges of its members, so that one large file keeps all workers busy; a plain one is read
as a whole, since only its records' lengths tell records apart from what they hold, and so is one of LZ4. ARC files are
recognised by their first record.

Memory: a record, its page decoded, and a batch. Cost: some 200 MB of HTML a second without the extractor.
"""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pyarrow as pa

from corpusmill.dataproc import storage, watching
from corpusmill.dataproc.decompression import codec_of
from corpusmill.dataproc.readers.archives.codings import Body, Broken, TooLong, decode_body
from corpusmill.dataproc.readers.archives.http import Response, looks_like_html, media_type, parse_response
from corpusmill.dataproc.readers.archives.pages import (
    HTML_TYPES,
    PLAIN_TYPES,
    Page,
    Unreadable,
    check_extractor,
    content_of_html,
    decode_page,
)
from corpusmill.dataproc.readers.archives.records import ARC, WARC, RawRecord, read_records
from corpusmill.dataproc.readers.archives.stream import first_bytes
from corpusmill.dataproc.readers.batches import BatchBuilder, Report, Unread, pass_over
from corpusmill.dataproc.readers.compressions import unread_compression
from corpusmill.dataproc.readers.pieces import Fields, Piece

ARC_BEGIN = b"filedesc:"
RECORD_TYPES = ("warcinfo", "request", "metadata", "revisit", "resource", "conversion", "continuation", "response")
MEDIA = ("application", "audio", "font", "image", "model", "multipart", "text", "video")


def read_warc(piece: Piece, fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of a web archive; what is broken is reported, and the rest of the file survives."""
    check_extractor(fields.extractor)
    builder = BatchBuilder()
    with storage.open_input(piece.path) as file:
        head = file.read(16)
        reason = unread_compression(head)
        if not head and codec_of(piece.path):
            reason = "the file is empty, which no compressed archive is"
        if reason:
            report(f"{fields.source}/{piece.name}#0", piece.path, Unread(reason), None)
            return
        format = ARC if first_bytes(file, len(ARC_BEGIN)).startswith(ARC_BEGIN) else WARC
        for record in read_records(file, format, fields.maximum_record_bytes, piece.start, piece.stop):
            place = f"{record.offset}+{record.inner}" if record.inner else str(record.offset)
            name = f"{fields.source}/{piece.name}#{place}"
            try:
                with watching.document(name):
                    document = _document(record, fields)
            except (Unreadable, watching.TooSlow) as error:
                report(name, f"{piece.path}, byte {place}", str(error), None)
                continue
            if document:
                builder.add(id=name, source=fields.source, kind=fields.kind, **document)
            if builder.full:
                yield builder.take()
    yield builder.take()


def _document(record: RawRecord, fields: Fields) -> dict[str, Any] | None:
    """The columns of a record's document, or None if it is not one. Raises Unreadable."""
    if record.problem and not record.too_long:
        raise Unreadable(record.problem)
    kind = record.headers.get("warc-type", "").lower()
    page = PAGES.get(kind, _nothing)(record, fields.maximum_record_bytes)
    if page is None:
        return None
    if record.too_long:
        raise Unreadable(record.problem)
    if page.truncated and fields.truncated == "quarantine":
        raise Unreadable(f"the body is cut off: {page.truncated}")
    text, charset, replaced = decode_page(page)
    said: dict[str, str] = {}
    if page.content_type in HTML_TYPES:
        content = content_of_html(text, fields.extractor, comments=fields.comments)
        text, said = content.text, content.meta
    if not text.strip():
        raise Unreadable("no text in the page" + (f" ({page.truncated})" if page.truncated else ""))
    meta = said | {
        "charset": charset,
        "content_type": page.content_type,
        "date": record.headers.get("warc-date"),
        "offset": record.offset,
        "record_id": record.headers.get("warc-record-id", "").strip("<>") or None,
        "replaced": replaced or None,
        "status": page.status,
        "truncated": page.truncated or None,
    }
    written = {key: value for key, value in meta.items() if value is not None}
    url = record.headers.get("warc-target-uri", "").strip("<>")  # some versions of wget write it so
    return {"text": text, "url": url or None, "meta": orjson.dumps(written).decode()}


def _nothing(record: RawRecord, limit: int) -> Page | None:
    kind = record.headers.get("warc-type", "").lower()
    pass_over(kind if kind in RECORD_TYPES else "other records")
    return None


def _other_media(name: str) -> Page | None:
    media = name.partition("/")[0]
    pass_over(f"{media}/*" if media in MEDIA else "other media types")
    return None


def _conversion(record: RawRecord, limit: int) -> Page | None:
    media = media_type([record.headers.get("content-type", "")])
    if media.name not in PLAIN_TYPES:
        return _other_media(media.name)
    truncated = record.headers.get("warc-truncated", "")
    return Page(content_type=media.name, body=record.block, charset=media.charset or "utf-8", truncated=truncated)


def _response(record: RawRecord, limit: int) -> Page | None:
    """The page of an HTTP response, its codings undone, when it is of status 200 and of text."""
    name = media_type([record.headers.get("content-type", "")]).name
    if name != "application/http" and (name or not record.block.startswith(b"HTTP/")):
        return _nothing(record, limit)  # of DNS, say; a response may leave out that it is one of HTTP
    response = parse_response(record.block)
    if response is None:
        raise Unreadable("no HTTP response in a record that should hold one")
    if response.status != 200:
        pass_over(f"status {response.status // 100}xx" if response.status != 206 else "status 206, part of a page")
        return None
    media = media_type(response.values("content-type"))
    if not media.name:
        media = media_type([record.headers.get("warc-identified-payload-type", "")])
    if media.name and media.name not in HTML_TYPES + PLAIN_TYPES:
        return _other_media(media.name)
    if record.too_long:
        return Page(content_type=media.name, body=b"", charset=None, status=response.status)
    body = _body(record, response, limit)
    if not media.name and not looks_like_html(body.data):
        raise Unreadable("no Content-Type, and the body does not begin as HTML does")
    return Page(
        content_type=media.name or HTML_TYPES[0],
        body=body.data,
        charset=media.charset,
        status=response.status,
        truncated=record.headers.get("warc-truncated") or body.truncated,
    )


def _body(record: RawRecord, response: Response, limit: int) -> Body:
    """The body with its transfer and content codings undone. Raises Unreadable."""
    data = record.block[response.body_start :]
    try:
        return decode_body(response, data, limit)
    except Broken as error:
        raise Unreadable(f"the HTTP coding does not decode: {error}") from error
    except TooLong as error:
        raise Unreadable(f"a page longer than {limit} bytes when decoded") from error


PAGES: dict[str, Callable[[RawRecord, int], Page | None]] = {
    "response": _response,
    "conversion": _conversion,
}
"""What makes a page of a record, by its WARC-Type."""
