"""Responses as crawls hold them: heads, media types, and what begins as HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.readers.archives.http import looks_like_html, media_type, parse_response


def test_the_final_response_is_read_behind_interim_ones() -> None:
    block = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    block += b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody"
    response = parse_response(block)
    assert response is not None
    assert (response.status, response.headers, block[response.body_start :]) == (200, {"a": ["b"]}, b"body")
    assert parse_response(b"HTTP/1.1 100 Continue\r\n\r\n") is None


@pytest.mark.parametrize(
    ("block", "status", "body"),
    [
        (b"HTTP/1.0 200\r\n\r\nx", 200, b"x"),
        (b"\r\nHTTP/2 404 Not Found\r\n\r\n", 404, b""),
        (b"http/1.1 200 OK\nA: b\n\nx\n\ny", 200, b"x\n\ny"),
        (b"ICY 200 OK\r\nA: b\r\n\r\nx", 200, b"x"),
        (b"HTTP/1.1 200 OK\r\nA: b", 200, b""),
        (b"HTTP/1.1 101 Switching\r\n\r\nx", 101, b"x"),
    ],
)
def test_heads_are_read_as_a_browser_reads_them(block: bytes, status: int, body: bytes) -> None:
    response = parse_response(block)
    assert response is not None
    assert (response.status, block[response.body_start :]) == (status, body)


@pytest.mark.parametrize("block", [b"", b"<html>", b"HTTP/1.1 2000 OK\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_response(block: bytes) -> None:
    assert parse_response(block) is None


def test_headers_are_folded_joined_and_split() -> None:
    response = parse_response(b'HTTP/1.1 200 OK\r\nA : 1,\r\n  "2, 3"\r\nnothing\r\na: 4\r\n\r\n')
    assert response is not None
    assert response.values("a") == ["1", '"2, 3"', "4"]
    assert response.values("b") == []


@pytest.mark.parametrize(
    ("values", "name", "charset"),
    [
        (["text/html; charset=koi8-r"], "text/html", "koi8-r"),
        (['TEXT/HTML ;x=y; CharSet="koi8-r"'], "text/html", "koi8-r"),
        (["text/html;charset='koi8-r'"], "text/html", "koi8-r"),
        (['text/html; a="; charset=big5"; charset=koi8-r'], "text/html", "koi8-r"),
        (["text/html;charset=koi8-r;charset=big5"], "text/html", "koi8-r"),
        (["text/html; charset="], "text/html", None),
        (["text/html; charset=koi8-r", "text/html"], "text/html", "koi8-r"),
        (["text/html; charset=koi8-r", "text/html; charset=big5"], "text/html", "big5"),
        (["text/html; charset=koi8-r", "text/plain"], "text/plain", None),
        (["text/html; charset=koi8-r", "*/*"], "text/html", "koi8-r"),
        (["text/html", "charset=koi8-r"], "text/html", None),
        (["html"], "", None),
        ([], "", None),
    ],
)
def test_media_types_are_told_as_the_fetch_standard_does(values: list[str], name: str, charset: str | None) -> None:
    media = media_type(values)
    assert (media.name, media.charset) == (name, charset)


@pytest.mark.parametrize(
    ("body", "is_html"),
    [
        (b" \n<!DOCTYPE html><p>", True),
        (b"<HTML>", True),
        (b"\xef\xbb\xbf<!-- a --><p>", True),
        (b'<?xml version="1.0"?>\n<html xmlns="x">', True),
        (b"\xff\xfe" + "<html>".encode("utf-16-le"), True),
        (b'<?xml version="1.0"?><rss>', False),
        (b"<paper>", False),
        (b"{}", False),
        (b"\x89PNG", False),
        (b"", False),
    ],
)
def test_what_begins_as_html_does(body: bytes, is_html: bool) -> None:
    assert looks_like_html(body) is is_html


@given(st.binary(max_size=200), st.text(max_size=60))
def test_any_bytes_are_read(block: bytes, value: str) -> None:
    parse_response(b"HTTP/1.1 200 OK\r\n" + block)
    media_type([value, f"text/html;{value}"])
