"""Archives are written here byte by byte, so that they can be broken exactly where a test says."""

import bz2
import gzip
import json
import lzma
import random
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.archives import pages
from corpusmill.dataproc.readers.archives import records as archive_records
from corpusmill.dataproc.readers.archives.warc import read_warc
from corpusmill.dataproc.readers.batches import Unread, counting_passed_over
from corpusmill.dataproc.readers.pieces import Fields, Piece, recognise

SENTENCE = "The mill grinds slowly, and the flour that comes out of it is as fine as the miller had hoped for"


def page(words: str = "one") -> str:
    return f"<html><head><title>t</title></head><body><main><p>{SENTENCE} {words}.</p></main></body></html>"


def record(kind: str, block: bytes, *, number: int = 0, length: int | None = None, **headers: str) -> bytes:
    shown = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{number:032x}>",
        "WARC-Target-URI": f"http://example.org/{number}",
        "WARC-Date": "2024-05-18T01:58:10Z",
        "Content-Type": f"application/http; msgtype={kind}",
        "Content-Length": str(len(block) if length is None else length),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in shown.items())
    return f"WARC/1.0\r\n{lines}\r\n".encode() + block + b"\r\n\r\n"


def response(number: int, body: str | bytes | None = None, *, status: str = "200 OK", http: str = "", **kw) -> bytes:
    """A response with a page; `http` are header lines."""
    body = page(f"number{number}") if body is None else body
    body = body.encode() if isinstance(body, str) else body
    http = http or "Content-Type: text/html; charset=utf-8\r\n"
    return record("response", f"HTTP/1.1 {status}\r\n{http}\r\n".encode() + body, number=number, **kw)


def read(
    path: Path, data: bytes, limit: int = 1 << 20, *, start: int = 0, stop: int = 0, **fields_of: str
) -> tuple[list[dict], list[tuple]]:
    """Documents (meta parsed) and reports of an archive."""
    path.write_bytes(data)
    reports: list[tuple] = []
    rows: list[dict] = []
    piece = Piece(path=str(path), name=path.name, format="warc", bytes=len(data), start=start, stop=stop)
    fields = Fields(source="crawl", maximum_record_bytes=limit, **fields_of)
    for batch in read_warc(piece, fields, lambda *values: reports.append(values)):
        assert batch.schema == SCHEMA
        batch.validate(full=True)
        rows += [row | {"meta": json.loads(row["meta"])} for row in batch.to_pylist()]
    assert len({row["id"] for row in rows} | {report[0] for report in reports}) == len(rows) + len(reports)
    return rows, reports


def numbers(rows: Iterable[dict]) -> list[int]:
    return [int(row["url"].rsplit("/", 1)[1]) for row in rows]


def members(records: Iterable[bytes], compression: str) -> bytes:
    pack = {
        "plain": bytes,
        "gzip": gzip.compress,
        "zstd": zstandard.compress,
        "lz4": lambda record: lz4.frame.compress(record, content_checksum=True),
    }[compression]
    return b"".join(pack(record) for record in records)


@pytest.mark.parametrize("compression", ["plain", "gzip", "zstd", "lz4"])
def test_a_response_becomes_a_document_with_its_place(tmp_path, compression):
    info, get = record("warcinfo", b"software: test"), record("request", b"GET / HTTP/1.1\r\n\r\n", number=7)
    rows, reports = read(tmp_path / "a.warc", members([info, get, response(7)], compression))
    assert not reports
    (row,) = rows
    offset = len(members([info, get], compression))
    assert row["id"] == f"crawl/a.warc#{offset}"
    assert row["text"].strip() == f"{SENTENCE} number7."
    assert (row["source"], row["kind"], row["language"]) == ("crawl", "web", None)
    assert row["url"] == "http://example.org/7"
    assert row["meta"] == {
        "charset": "utf-8",
        "content_type": "text/html",
        "date": "2024-05-18T01:58:10Z",
        "offset": offset,
        "record_id": f"urn:uuid:{7:032x}",
        "status": 200,
    }


def test_what_is_no_document_is_passed_over(tmp_path):
    others = [
        response(1, status="404 Not Found"),
        response(2, status="301 Moved"),
        response(3, b"\x89PNG\r\n\x1a\n", http="Content-Type: image/png\r\n"),
        record("request", b"GET / HTTP/1.1\r\n\r\n"),
        record("metadata", b"fetchTimeMs: 3", Content_Type="application/warc-fields"),
        record("resource", page().encode(), Content_Type="text/html"),
        record("revisit", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"),
        record("response", b"20240518 example.org A", Content_Type="text/dns"),
    ]
    with counting_passed_over() as passed_over:
        rows, reports = read(tmp_path / "a.warc", b"".join([*others, response(9)]))
    assert numbers(rows) == [9]
    assert not reports
    assert passed_over == dict.fromkeys(("request", "metadata", "resource", "revisit", "response"), 1) | {
        "status 4xx": 1,
        "status 3xx": 1,
        "image/*": 1,
    }


def test_a_response_need_not_say_that_it_is_one_of_http(tmp_path):
    rows, reports = read(tmp_path / "a.warc", response(1, Content_Type="") + response(2))
    assert (numbers(rows), reports) == ([1, 2], [])


def test_a_body_that_is_no_page_is_reported_whatever_it_is_called(tmp_path):
    wide = "<!doctype html><p>" + SENTENCE + " wide."
    bodies = [b"%PDF-1.4 in ASCII", b"PK\x03\x04archive", wide.encode("utf-16")]
    rows, reports = read(tmp_path / "a.warc", b"".join(response(n, body) for n, body in enumerate(bodies)))
    assert numbers(rows) == [2]
    assert [report[2] for report in reports] == [
        "the page is a PDF, not text/html",
        "the page is a ZIP archive, not text/html",
    ]


def test_wet_and_plain_text_keep_their_text(tmp_path):
    text = "Première ligne\nline two\n  indented"
    wet = record("conversion", text.encode(), number=1, Content_Type="text/plain")
    plain = response(2, text, http="Content-Type: text/plain; charset=UTF-8\r\n")
    rows, reports = read(tmp_path / "a.wet", wet + plain)
    assert [row["text"] for row in rows] == [text, text]
    assert "status" not in rows[0]["meta"]
    assert not reports


@pytest.mark.parametrize(
    ("http", "declared", "codec"),
    [
        ("; charset=utf-8", "", "utf-8"),
        ("; charset=iso-8859-1", "", "latin-1"),
        ('; charset="Shift_JIS"', "", "shift_jis"),
        ("", '<meta charset="iso-8859-1">', "latin-1"),
        ("", '<meta charset="euc-jp">', "euc_jp"),
        ("; charset=utf-8", '<meta charset="windows-1252">', "cp1252"),  # the header is wrong, the page is right
        ("; charset=no-such", "", "utf-8"),
    ],
)
def test_charsets(tmp_path, http, declared, codec):
    words = "粉をひく水車は静かに回る、そして夜が明ける" if "j" in codec else "déjà vu, où l'été mène à Noël"
    body = page(words).replace("<title>", f"{declared}<title>").encode(codec)
    rows, reports = read(tmp_path / "a.warc", response(1, body, http=f"Content-Type: text/html{http}\r\n"))
    assert not reports
    assert words in rows[0]["text"]
    assert "replaced" not in rows[0]["meta"]


def test_few_bad_characters_are_replaced_and_counted_and_many_are_reported(tmp_path):
    good = page(SENTENCE * 20).encode()
    few = good.replace(b"slowly", b"slow\xfe\xffly", 1).replace(b"<title>", b'<meta charset="utf-8"><title>')
    many = b"<meta charset='utf-8'><p>" + "mühle übel größe ".encode("latin-1") * 30
    rows, reports = read(tmp_path / "a.warc", response(1, few) + response(2, many) + response(3))
    assert numbers(rows) == [1, 3]
    assert rows[0]["meta"]["replaced"] == 2
    assert "slow\ufffd\ufffdly" in rows[0]["text"]
    assert [report[2] for report in reports] == ["the page is not utf-8"]


def test_http_codings(tmp_path):
    body = page("coded").encode()
    html = "Content-Type: text/html\r\n"
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])
    archive = [
        response(1, chunks, http=f"{html}Transfer-Encoding: chunked\r\n"),
        response(2, gzip.compress(body), http=f"{html}Content-Encoding: gzip\r\n"),
        response(3, body, http=f"{html}Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),  # held decoded
        response(4, b"\x01\x02 no gzip", http=f"{html}Content-Encoding: gzip\r\n"),
        response(5, gzip.compress(b"<p>" + b"a" * (2 << 20)), http=f"{html}Content-Encoding: gzip\r\n"),
    ]
    rows, reports = read(tmp_path / "a.warc", b"".join(archive))
    assert numbers(rows) == [1, 2, 3]
    assert len({row["text"] for row in rows}) == 1
    assert "does not decode" in reports[0][2]
    assert "longer than" in reports[1][2]


@pytest.mark.parametrize(
    "http",
    [
        "Content-Type: application/xhtml+xml\r\n",
        "Content-Type: text/html\r\nContent-Type: text/html; charset=koi8-r\r\n",
        "Content-Type: text/html; charset=big5, text/html;charset=koi8-r\r\n",
        'content-type : text/html;Charset="KOI8-R"\r\n',
        "Server: x\r\n",
        "Content-Type: \r\n",
    ],
)
def test_pages_of_odd_headers_are_read(tmp_path, http):
    body = page("Мельница мелет").replace("<title>", '<meta charset="koi8-r"><title>').encode("koi8-r")
    rows, reports = read(tmp_path / "a.warc", response(1, body, http=http))
    assert not reports
    assert "Мельница мелет" in rows[0]["text"]
    assert rows[0]["meta"]["charset"] == "koi8-r"


def test_what_names_no_type_and_is_no_html_is_reported(tmp_path):
    archive = [response(1, b"\x89PNG\r\n", http="Server: x\r\n"), response(2, b"{}", http="Server: x\r\n"), response(3)]
    rows, reports = read(tmp_path / "a.warc", b"".join(archive))
    assert numbers(rows) == [3]
    assert [report[2] for report in reports] == ["no Content-Type, and the body does not begin as HTML does"] * 2


def test_a_response_behind_100_continue_is_read_and_one_that_never_came_is_reported(tmp_path):
    interim, head = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
    archive = [record("response", interim + head + page().encode(), number=1), record("response", interim, number=2)]
    rows, reports = read(tmp_path / "a.warc", b"".join(archive))
    assert numbers(rows) == [1]
    assert [report[2] for report in reports] == ["no HTTP response in a record that should hold one"]


def test_markdown_is_text(tmp_path):
    text = "# Mühle\n\n<meta charset=big5> is text here"
    served = response(1, text, http="Content-Type: text/markdown\r\n")
    kept = record("conversion", text.encode("latin-1"), number=2, Content_Type="text/markdown; charset=latin1")
    rows, reports = read(tmp_path / "a.warc", served + kept)
    assert [row["text"] for row in rows] == [text, text]
    assert not reports


def cut_off() -> list[bytes]:
    """Responses whose bodies end before their ends, by each coding."""
    body, html = (page(SENTENCE * 9) + "x" * 99).encode(), "Content-Type: text/html\r\n"
    return [
        response(1, body[:-50], http=f"{html}Content-Length: {len(body)}\r\n"),
        response(2, b"%x\r\n%b" % (len(body), body[:-50]), http=f"{html}Transfer-Encoding: chunked\r\n"),
        response(3, gzip.compress(body)[:-9], http=f"{html}Content-Encoding: gzip\r\n"),
        response(4, zlib.compress(body)[:-5], http=f"{html}Content-Encoding: deflate\r\n"),
        response(5, body[:-50], WARC_Truncated="length"),
    ]


def test_a_body_that_is_cut_off_is_kept_and_says_so_whatever_its_coding(tmp_path):
    rows, reports = read(tmp_path / "a.warc", b"".join(cut_off()))
    assert not reports
    assert numbers(rows) == [1, 2, 3, 4, 5]
    reasons = ["shorter than its Content-Length", "chunked cut off", "gzip cut off", "deflate cut off", "length"]
    assert [row["meta"]["truncated"] for row in rows] == reasons


def test_a_setting_refuses_what_is_cut_off(tmp_path):
    rows, reports = read(tmp_path / "a.warc", b"".join([*cut_off(), response(6)]), truncated="quarantine")
    assert numbers(rows) == [6]
    assert len(reports) == 5
    assert all(report[2].startswith("the body is cut off: ") for report in reports)


@pytest.mark.parametrize(
    ("pack", "name"),
    [
        (lzma.compress, "xz"),
        (bz2.compress, "bzip2"),
        (lambda data: b"\x02\x21\x4c\x18" + data, "LZ4's legacy format"),
        (lambda data: b"PK\x03\x04" + data, "zip"),
    ],
)
def test_a_file_that_is_compressed_otherwise_is_one_line(tmp_path, pack, name):
    rows, reports = read(tmp_path / "a.warc", pack(response(1) + response(2)))
    assert not rows
    (report,) = reports
    assert isinstance(report[2], Unread)
    assert report[2].startswith(f"compressed by {name}, which is not read here")


@pytest.mark.parametrize("options", [{}, {"block_size": lz4.frame.BLOCKSIZE_MAX4MB}, {"block_linked": False}])
def test_lz4_may_be_one_frame_of_many_records(tmp_path, options):
    records = [response(n, page(random.Random(n).randbytes(90_000).hex())) for n in range(4)]
    rows, reports = read(tmp_path / "a.warc.lz4", lz4.frame.compress(b"".join(records), **options))
    assert (numbers(rows), reports) == ([0, 1, 2, 3], [])


def test_an_empty_page_is_reported(tmp_path):
    archive = [response(1, "<html><body><script>x()</script></body></html>"), response(2, ""), response(3)]
    rows, reports = read(tmp_path / "a.warc", b"".join(archive))
    assert numbers(rows) == [3]
    path = tmp_path / "a.warc"
    reason = "no text in the page"
    assert reports == [
        ("crawl/a.warc#0", f"{path}, byte 0", reason, None),
        (f"crawl/a.warc#{len(archive[0])}", f"{path}, byte {len(archive[0])}", reason, None),
    ]


def test_two_fetches_of_one_url_are_two_documents(tmp_path):
    rows, _ = read(tmp_path / "a.warc.gz", members([response(1), response(1)], "gzip"))
    assert numbers(rows) == [1, 1]
    assert rows[0]["id"] != rows[1]["id"]


def test_many_records_in_one_gzip_member_are_told_apart(tmp_path):
    rows, reports = read(tmp_path / "a.warc.gz", gzip.compress(response(1) + response(2)))
    assert [row["id"] for row in rows] == ["crawl/a.warc.gz#0", f"crawl/a.warc.gz#0+{len(response(1))}"]
    assert not reports


def test_records_may_lie_across_gzip_members(tmp_path):
    data = b"".join(response(n) for n in range(20))
    rows, reports = read(tmp_path / "a.warc.gz", members([data[i : i + 700] for i in range(0, len(data), 700)], "gzip"))
    assert numbers(rows) == list(range(20))
    assert not reports


def test_a_url_in_angle_brackets_is_bare(tmp_path):
    rows, _ = read(tmp_path / "a.warc", response(1, WARC_Target_URI="<http://example.org/1>"))
    assert rows[0]["url"] == "http://example.org/1"


def test_zstd_with_a_dictionary_frame(tmp_path):
    shared = response(0) * 3
    packer = zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(shared))
    for dictionary in (shared, zstandard.compress(shared)):
        first = b"\x5d\x2a\x4d\x18" + len(dictionary).to_bytes(4, "little") + dictionary
        rows, reports = read(
            tmp_path / "a.warc.zst", first + packer.compress(response(1)) + packer.compress(response(2))
        )
        assert numbers(rows) == [1, 2]
        assert not reports


def test_zstd_with_a_broken_dictionary_is_reported_frame_by_frame(tmp_path):
    shared = response(0) * 3
    packer = zstandard.ZstdCompressor(dict_data=zstandard.train_dictionary(2000, [response(n) for n in range(500)]))
    for dictionary in (b"\x37\xa4\x30\xec" + b"\xff" * 99, zstandard.compress(shared)[:-9]):
        first = b"\x5d\x2a\x4d\x18" + len(dictionary).to_bytes(4, "little") + dictionary
        rows, reports = read(tmp_path / "a.warc.zst", first + packer.compress(response(1)))
        assert not rows
        assert len(reports) == 1


# What is broken. Three records, and the middle one is broken in some way; its neighbours must survive.

BROKEN = {
    "no version": lambda raw: raw.replace(b"WARC/1.0", b"WORC/9.9"),
    "no length": lambda raw: raw.replace(b"Content-Length", b"Content-Lungth"),
    "length no number": lambda raw: raw.replace(b"Content-Length: ", b"Content-Length: x"),
    "length negative": lambda raw: raw.replace(b"Content-Length: ", b"Content-Length: -"),
    "length too short": lambda _: response(1, length=100),
    "length a little too long": lambda _: response(1, length=len(response(1)) - 200),
    "length into the next": lambda _: response(1, length=len(response(1)) + 100),
    "length beyond the end": lambda _: response(1, length=100_000),
    "length beyond all": lambda _: response(1, length=10**17),
    "a line without colon": lambda raw: raw.replace(b"WARC-Date: 2024-05-18T01:58:10Z", b"WARC-Date"),
    "garbage": lambda raw: b"\xff" * 333,
    "header without end": lambda raw: b"WARC/1.0\r\n" + b"A: b\r\n" * 20_000,
}


@pytest.mark.parametrize("compression", ["plain", "gzip", "zstd", "lz4"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_costs_itself_only(tmp_path, name, compression):
    records = [response(0), BROKEN[name](response(1)), response(2)]
    rows, reports = read(tmp_path / "a.warc", members(records, compression))
    assert numbers(rows) == [0, 2]
    assert len(reports) == 1
    offset = len(members(records[:1], compression))
    assert reports[0][1] == f"{tmp_path / 'a.warc'}, byte {offset}"


@pytest.mark.parametrize("compression", ["gzip", "zstd", "lz4"])
def test_a_broken_member_costs_itself_only(tmp_path, compression):
    noise = random.Random(1).randbytes(5000).hex()
    records = [members([response(n, page(noise))], compression) for n in range(3)]
    for byte in (4, 40, 1500, len(records[1]) - 6):
        middle = bytearray(records[1])
        middle[byte : byte + 3] = bytes(value ^ 0x55 for value in middle[byte : byte + 3])
        rows, reports = read(tmp_path / "a.warc", records[0] + bytes(middle) + records[2])
        assert numbers(rows)[:1] == [0]
        assert numbers(rows)[-1] == 2
        if (compression != "zstd" and byte > 10) or (byte == 40 and compression == "zstd"):
            assert numbers(rows) == [0, 2]
            assert [report[0] for report in reports] == [f"crawl/a.warc#{len(records[0])}"]


def test_garbage_and_padding_between_gzip_members(tmp_path):
    first, second = (members([response(n)], "gzip") for n in range(2))
    rows, reports = read(tmp_path / "a.warc.gz", first + bytes(5000) + second + bytes(10))
    assert (numbers(rows), reports) == ([0, 1], [])
    rows, reports = read(tmp_path / "a.warc.gz", first + b"garbage" + second)
    assert numbers(rows) == [0, 1]
    assert [report[1] for report in reports] == [f"{tmp_path / 'a.warc.gz'}, byte {len(first)}"]


@pytest.mark.parametrize("compression", ["plain", "gzip", "zstd", "lz4"])
def test_wherever_a_file_is_cut_off_the_records_before_are_kept_and_the_cut_is_reported(tmp_path, compression):
    first, second = (members([response(n)], compression) for n in range(2))
    for cut in range(1, len(second), 7):
        rows, reports = read(tmp_path / "a.warc", first + second[:cut])
        if compression == "plain" and len(second) - cut <= 4:
            assert numbers(rows) == [0, 1]  # only line breaks are missing
        else:
            assert numbers(rows)[:1] == [0]
            assert len(reports) == 1 or (compression == "plain" and cut < 3)
            assert str(len(first)) in reports[0][1]


def test_records_over_the_limit(tmp_path):
    big = page("word " * 50_000)
    archive = [
        response(0),
        response(1, big),
        record("request", b"x" * 200_000),
        response(2, b"\0" * 200_000, http="Content-Type: video/mp4\r\n"),
        response(3),
    ]
    for compression in ("plain", "gzip", "zstd"):
        rows, reports = read(tmp_path / "a.warc", members(archive, compression), limit=100_000)
        assert numbers(rows) == [0, 3]
        assert len(reports) == 1
        assert "longer than 100000 bytes" in reports[0][2]


def test_a_bomb_does_not_fill_the_memory(tmp_path):
    bomb = gzip.compress(response(1, "<p>" + "a" * (64 << 20)))
    path = tmp_path / "a.warc.gz"
    path.write_bytes(members([response(0)], "gzip") + bomb + members([response(2)], "gzip"))
    most = 0

    class Watched(archive_records.ArchiveStream):
        def has(self, count: int) -> bool:
            nonlocal most
            had = super().has(count)
            most = max(most, len(self.data))
            return had

    original, archive_records.ArchiveStream = archive_records.ArchiveStream, Watched
    try:
        rows, reports = read(path, path.read_bytes(), limit=1 << 20)
    finally:
        archive_records.ArchiveStream = original
    assert numbers(rows) == [0, 2]
    assert len(reports) == 1
    assert most < 8 << 20


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n"])
def test_an_empty_file_has_no_documents(tmp_path, data):
    assert read(tmp_path / "a.warc", data) == ([], [])


@pytest.mark.parametrize("data", [b"hello " * 100, b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"WARC/1.0", b"{}\n"])
def test_a_file_that_is_no_archive_is_reported_once(tmp_path, data):
    rows, reports = read(tmp_path / "a.warc", data)
    assert not rows
    assert len(reports) == 1


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("damaged", [False, True])
def test_ranges_of_a_compressed_archive_share_out_its_records_wherever_it_is_cut(tmp_path, compression, damaged):
    packed = [bytearray(members([response(n)], compression)) for n in range(7)]
    if damaged:
        packed[3][6:14] = b"\xff" * 8
    data = b"".join(packed)
    whole, whole_reports = read(tmp_path / "a.warc", data)
    assert len(whole) == 7 - damaged
    for cut in range(1, len(data), 13):
        parts = [read(tmp_path / "a.warc", data, stop=cut), read(tmp_path / "a.warc", data, start=cut)]
        assert [row for rows, _ in parts for row in rows] == whole
        assert [report for _, reports in parts for report in reports] == whole_reports


def test_a_record_across_members_belongs_to_the_range_where_it_begins(tmp_path):
    data = response(1) + response(2)
    middle = len(response(1)) // 2
    packed = (
        gzip.compress(data[:middle])
        + gzip.compress(data[middle : len(response(1)) + 9])
        + gzip.compress(data[len(response(1)) + 9 :])
    )
    packed += gzip.compress(response(3))
    for cut in range(1, len(packed), 11):
        first, _ = read(tmp_path / "a.warc.gz", packed, stop=cut)
        second, _ = read(tmp_path / "a.warc.gz", packed, start=cut)
        assert numbers([*first, *second]) == [1, 2, 3]


def test_all_extractors_find_the_text(tmp_path):
    paragraphs = "".join(f"<p>{SENTENCE}, and {word}.</p>" for word in ("one", "two", "three", "four"))
    html = f"<html><body><nav><a href='/'>Home</a></nav><article>{paragraphs}</article></body></html>"
    for extractor in ("resiliparse", "trafilatura", "corpusmill"):
        rows, reports = read(tmp_path / "a.warc", response(1, html), extractor=extractor)
        assert not reports
        assert rows[0]["text"].count(SENTENCE) == 4
    with pytest.raises(UserError, match="choose one of resiliparse, trafilatura"):
        read(tmp_path / "a.warc", response(1), extractor="justext")


def test_a_page_on_which_the_extractor_fails_costs_itself_only(tmp_path, monkeypatch):
    def fails_on_two(html: str) -> str:
        if "number2" in html:
            raise RecursionError("too deep")
        return html

    monkeypatch.setitem(pages.EXTRACTORS, "resiliparse", fails_on_two)
    rows, reports = read(tmp_path / "a.warc", b"".join(response(n) for n in range(4)))
    assert numbers(rows) == [0, 1, 3]
    assert [report[2] for report in reports] == ["no text could be taken out: RecursionError: too deep"]


@pytest.mark.parametrize(
    "name", ["a.warc", "a.warc.gz", "a.warc.zst", "a.warc.lz4", "a.wet", "a.warc.wet", "a.warc.wet.gz", "a.wet.gz"]
)
def test_endings(name):
    assert recognise(f"crawl/{name}") == "warc"


def test_a_missing_library_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "resiliparse", None)
    with pytest.raises(UserError, match=r"corpusmill\[web\]"):
        read(tmp_path / "a.warc", response(1))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), compression=st.sampled_from(["plain", "gzip", "zstd", "lz4"]))
def test_damage_anywhere_never_raises_and_costs_few_neighbours(tmp_path_factory, data, compression):
    records = [members([response(n)], compression) for n in range(6)]
    whole = bytearray(b"".join(records))
    at = data.draw(st.integers(len(records[0]), len(whole) - 1))
    damage = data.draw(st.binary(min_size=1, max_size=30))
    whole[at : at + len(damage)] = damage
    rows, _ = read(tmp_path_factory.getbasetemp() / "damaged.warc", bytes(whole))
    texts = {row["text"].strip() for row in rows}
    untouched = {f"{SENTENCE} number{n}." for n in range(6)}
    assert len(untouched - texts) <= 2
