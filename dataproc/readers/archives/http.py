"""HTTP responses as archives keep them: the final response of a record's block, and what media type it is of.

A crawl's headers are what servers sent, so they are read as a browser reads them: lines may end in a bare line feed or
be folded, a name may be followed by blanks, a line without a colon says nothing. Interim responses (`100 Continue`,
`103 Early Hints`) that stand before the final one are passed over (RFC 9110, section 15.2).

The media type is by the Fetch standard's "extract a MIME type": of several headers, or of one that several were joined
into, the last that is a media type counts, and keeps the charset of one before it that is of the same type. Where none
is named, what a body begins with says whether it is HTML (the MIME Sniffing standard's table for it).
"""

import re
from dataclasses import dataclass

_STATUS = re.compile(rb"\s*(?:HTTP/\d+(?:\.\d+)?|ICY)[ \t]+(\d{3})(?!\d)[^\n]*(?:\n|\Z)", re.IGNORECASE)
_HEAD_END = re.compile(rb"\n\r?\n|\Z")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LIST = re.compile(r'(?:"(?:[^"\\]|\\.)*"?|[^",])+')
_ESSENCE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PARAMETER = re.compile(r';[\s]*([^;="]+)=(?:"((?:[^"\\]|\\.)*)"?[^;]*|([^;]*))')
_BLANKS = b"\t\n\x0c\r "
_MARKUP = (
    b"<!doctype html", b"<html", b"<head", b"<script", b"<iframe", b"<h1", b"<div", b"<font", b"<table", b"<a",
    b"<style", b"<title", b"<b", b"<body", b"<br", b"<p", b"<meta", b"<link", b"<main", b"<article", b"<section",
    b"<ul", b"<span",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """The final response of a block: its status, its headers by lower-case name in order, and where its body begins."""

    status: int
    headers: dict[str, list[str]]
    body_start: int

    def values(self, name: str) -> list[str]:
        """The comma-separated values of all headers of a name, commas inside of quotation marks aside."""
        joined = ",".join(self.headers.get(name, ()))
        return [value for match in _LIST.finditer(joined) if (value := match[0].strip())]


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaType:
    """`text/html`, say, in lower case, and the charset that is named with it."""

    name: str = ""
    charset: str | None = None


def parse_response(block: bytes) -> Response | None:
    """The response in a block, None where no final one is there."""
    at = 0
    while match := _STATUS.match(block, at):
        end = _HEAD_END.search(block, match.end() - 1)
        head_end, at = (end.start(), end.end()) if end else (len(block), len(block))
        status = int(match[1])
        if status >= 200 or status == 101:
            return Response(status=status, headers=_headers(block[match.end() : head_end]), body_start=at)
    return None


def _headers(head: bytes) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for line in _FOLD.sub(b" ", head).split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(name.strip().lower().decode("latin-1"), []).append(value.strip().decode("latin-1"))
    return headers


def media_type(values: list[str]) -> MediaType:
    """The media type that the values of Content-Type headers name together; an empty one where they name none."""
    named = MediaType()
    for value in values:
        essence = _ESSENCE.match(value)
        if not essence or essence[0] == "*/*" or value[essence.end() :].lstrip()[:1] not in ("", ";"):
            continue
        name, charset = essence[0].lower(), _charset(value)
        named = MediaType(name=name, charset=charset or (named.charset if name == named.name else None))
    return named


def _charset(value: str) -> str | None:
    for name, quoted, bare in _PARAMETER.findall(value):
        if name.strip().lower() == "charset" and (charset := (quoted or bare).strip().strip("\"'")):
            return charset
    return None


def looks_like_html(body: bytes) -> bool:
    """Whether a body begins as HTML does, behind a byte order mark, blanks and comments."""
    start = body[:4096].removeprefix(b"\xef\xbb\xbf").lstrip(_BLANKS)
    if start.startswith((b"\xff\xfe<\0", b"\xfe\xff\0<")):
        start = start.replace(b"\0", b"")[2:].lstrip(_BLANKS)
    while start.startswith((b"<!--", b"<?xml")):
        end = start.find(b"-->" if start.startswith(b"<!--") else b"?>")
        if end < 0:
            return start.startswith(b"<!--")
        start = start[end + 2 :].removeprefix(b">").lstrip(_BLANKS)
    lower = start[:16].lower()
    return any(lower.startswith(tag) and lower[len(tag) : len(tag) + 1] in b"\t\n\x0c\r >/" for tag in _MARKUP)


def looks_like_text(body: bytes) -> bool:
    """Whether the beginning of a body holds none of the bytes that only binary data have (MIME Sniffing, section 3)."""
    return not _BINARY.search(body[:1445])


_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
