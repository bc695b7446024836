"""The encoding that a page of HTML declares itself, by the HTML standard's "prescan a byte stream".

The first 1,024 bytes are looked through for a `meta` by the standard's own small parser, which passes over comments and
reads attributes as a browser does; then an XML declaration counts. A `meta` that comes later makes a browser begin
again (the standard's "changing the encoding"), so it counts here too, where nothing else is declared, up to the end of
the head and outside of scripts. A page that says UTF-16 in bytes of ASCII is UTF-8.

Source: https://html.spec.whatwg.org/#determining-the-character-encoding. Cost: some 20 µs a page.
"""

import re

from corpusmill.dataproc.readers.charsets.decoders import encoding_of

PRESCAN_BYTES = 1024
HEAD_BYTES = 64 << 10
"""How far the head of a page is looked for a later `meta`."""

_WHITESPACE = rb"\t\n\x0c\r "
_COMMENT_END = re.compile(rb"-->")
_TAG_END = re.compile(rb"[" + _WHITESPACE + rb">]")
_META = re.compile(rb"<meta[" + _WHITESPACE + rb"/]", re.IGNORECASE)
_TAG = re.compile(rb"</?[A-Za-z]")
_ATTRIBUTE = re.compile(
    rb"""[%(w)s/]*(?:(?P<end>>)|(?P<name>=?[^%(w)s/=>]*)(?:[%(w)s]*=[%(w)s]*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|"""
    rb"""(?P<bare>[^"'%(w)s>][^%(w)s>]*)|(?=>)|(?P<open>["'].*|\Z)))?)""" % {b"w": _WHITESPACE},
    re.DOTALL,
)
_CHARSET = re.compile(rb"charset[%(w)s]*=[%(w)s]*" % {b"w": _WHITESPACE}, re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""encoding[\x00- ]*=[\x00- ]*(["'])([^\x00- "'>]*)\1""")
_HEAD_END = re.compile(rb"</head[%(w)s/>]|<body[%(w)s/>]" % {b"w": _WHITESPACE}, re.IGNORECASE)
_RAW_TEXT = re.compile(
    rb"<(script|style|title|textarea|noscript|template)\b.*?(?:</\1\b|\Z)", re.IGNORECASE | re.DOTALL
)


def declared_encoding(data: bytes) -> str | None:
    """The encoding that the bytes of a page declare, None if they declare none that is one."""
    if data.startswith(b"<\0?\0x\0"):
        return "utf-16le"
    if data.startswith(b"\0<\0?\0x"):
        return "utf-16be"
    return _of_meta(data[:PRESCAN_BYTES]) or xml_encoding(data[:PRESCAN_BYTES]) or _of_later_meta(data)


def xml_encoding(data: bytes) -> str | None:
    """The encoding that an XML declaration names."""
    end = data.find(b">")
    if not data.startswith(b"<?xml") or end < 0:
        return None
    match = _XML_ENCODING.search(data, 0, end)
    return _in_ascii(_encoding(match[2])) if match else None


def _in_ascii(encoding: str | None) -> str | None:
    """What is meant by an encoding that is declared in bytes of ASCII."""
    if encoding in ("utf-16le", "utf-16be"):
        return "utf-8"
    return "windows-1252" if encoding == "x-user-defined" else encoding


def _encoding(label: bytes) -> str | None:
    return encoding_of(label.decode("latin-1"))


def _of_later_meta(data: bytes) -> str | None:
    if len(data) <= PRESCAN_BYTES or b"<" not in data[:PRESCAN_BYTES]:
        return None
    head = data[:HEAD_BYTES]
    end = _HEAD_END.search(head)
    return _of_meta(_RAW_TEXT.sub(b"", head[: end.start()] if end else head))


def _of_meta(data: bytes) -> str | None:
    at = data.find(b"<")
    while at >= 0:
        behind: int | None = at + 1
        if data.startswith(b"<!--", at):
            match = _COMMENT_END.search(data, at + 2)
            behind = match.end() if match else None
        elif _META.match(data, at):
            encoding, behind = _read_meta(data, at + 5)
            if encoding and behind is not None:
                return encoding
        elif _TAG.match(data, at):
            match = _TAG_END.search(data, at)
            behind = _pass_attributes(data, match.start()) if match else None
        elif data.startswith((b"<!", b"</", b"<?"), at):
            behind = data.find(b">", at)
        if behind is None or behind < 0:
            return None
        at = data.find(b"<", behind)
    return None


def _read_meta(data: bytes, at: int) -> tuple[str | None, int | None]:
    """(the encoding that a `meta` declares, the place behind it or None where the data end in it)."""
    attributes: dict[bytes, bytes] = {}
    behind = _pass_attributes(data, at, attributes)
    if b"charset" in attributes:
        return _in_ascii(_encoding(attributes[b"charset"])), behind
    if attributes.get(b"http-equiv") == b"content-type" and b"content" in attributes:
        return _in_ascii(_of_content(attributes[b"content"])), behind
    return None, behind


def _pass_attributes(data: bytes, at: int, attributes: dict[bytes, bytes] | None = None) -> int | None:
    """The place behind a tag whose attributes begin at `at`, which go into `attributes` (the first of a name)."""
    while match := _ATTRIBUTE.match(data, at):
        if match["end"]:
            return match.end()
        at = match.end()
        if at >= len(data) or match["open"] is not None:
            return None
        if attributes is not None:
            value = match["double"] or match["single"] or match["bare"] or b""
            attributes.setdefault(match["name"].lower(), value.lower())
    return None


def _of_content(content: bytes) -> str | None:
    """The encoding that the `content` of a `meta` names, by "extracting a character encoding from a meta element"."""
    match = _CHARSET.search(content)
    if not match:
        return None
    rest = content[match.end() :]
    if rest[:1] in (b'"', b"'"):
        end = rest.find(rest[:1], 1)
        return _encoding(rest[1:end]) if end > 0 else None
    return _encoding(re.split(rb"[;" + _WHITESPACE + rb"]", rest, maxsplit=1)[0])
