"""Raw pages of HTML, one document a file: what a crawler other than an archiver leaves behind.

A page saved as it was sent, by gzip or zstd, is decompressed. Text and charset are those of
`dataproc.readers.archives.pages`. The URL is the one that the page itself calls canonical (`<link rel="canonical">`, or
else `og:url`), where it does; what it says is not checked. Memory: one page of at most `maximum_record_bytes`, decoded,
and a batch.
"""

from collections.abc import Iterable, Iterator

import orjson
import pyarrow as pa

from corpusmill.dataproc import storage, watching
from corpusmill.dataproc.decompression import BROKEN, GZIP_MAGIC, ZSTD_MAGIC
from corpusmill.dataproc.readers.archives.codings import CODINGS, Broken
from corpusmill.dataproc.readers.archives.pages import (
    OWN_EXTRACTOR,
    Page,
    Unreadable,
    check_extractor,
    content_of_html,
    decode_page,
)
from corpusmill.dataproc.readers.batches import BatchBuilder, Report
from corpusmill.dataproc.readers.compressions import unread_compression
from corpusmill.dataproc.readers.pieces import Fields, Piece


def read_html(pieces: Iterable[Piece], fields: Fields, report: Report) -> Iterator[pa.RecordBatch]:
    """Documents of many pages; one without text, too long, or of no charset is reported."""
    check_extractor(fields.extractor)
    builder = BatchBuilder()
    for piece in pieces:
        name = f"{fields.source}/{piece.name}#0"
        with storage.open_input(piece.path) as file:
            data = file.read(fields.maximum_record_bytes + 1)
        try:
            if len(data) > fields.maximum_record_bytes:
                raise Unreadable(f"longer than {fields.maximum_record_bytes} bytes")
            body, truncated = _uncompressed(data, fields.maximum_record_bytes)
            if truncated and fields.truncated == "quarantine":
                raise Unreadable(f"the page is cut off: {truncated}")
            page = Page(content_type="text/html", body=body, charset=None, truncated=truncated)
            with watching.document(name):
                html, charset, replaced = decode_page(page)
                content = content_of_html(html, fields.extractor, comments=fields.comments)
                own = fields.extractor == OWN_EXTRACTOR
                url = content.meta.get("canonical_url") if own else _canonical_url(html)
            if not content.text.strip():
                raise Unreadable("no text in the page")
        except (Unreadable, watching.TooSlow) as error:
            report(name, piece.path, str(error), None)
            continue
        marks = {"replaced": replaced, "truncated": truncated}
        meta = content.meta | {"charset": charset} | {mark: value for mark, value in marks.items() if value}
        written = orjson.dumps(meta).decode()
        builder.add(id=name, text=content.text, source=fields.source, kind=fields.kind, url=url, meta=written)
        if builder.full:
            yield builder.take()
    yield builder.take()


def _uncompressed(data: bytes, limit: int) -> tuple[bytes, str]:
    """(the page, what is cut off) of a file that may have been saved as it was sent, by gzip or zstd."""
    if reason := unread_compression(data[:16]):
        raise Unreadable(reason)
    name = "gzip" if data.startswith(GZIP_MAGIC) else "zstd" if data.startswith(ZSTD_MAGIC) else ""
    if not name:
        return data, ""
    try:
        body, whole = CODINGS[name](data, limit)
    except (Broken, *BROKEN) as error:
        raise Unreadable(f"broken {name}: {error}") from error
    if len(body) > limit:
        raise Unreadable(f"longer than {limit} bytes when decompressed")
    return body, "" if whole else f"{name} cut off"


def _canonical_url(html: str) -> str | None:
    from resiliparse.parse.html import HTMLTree

    head = HTMLTree.parse(html).head
    for selector, attribute in (('link[rel="canonical"]', "href"), ('meta[property="og:url"]', "content")):
        element = head.query_selector(selector) if head else None
        url = (element.getattr(attribute) or "").strip() if element else ""
        if url.startswith(("http://", "https://")):
            return url
    return None
