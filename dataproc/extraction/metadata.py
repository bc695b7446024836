"""What a page says of itself: title, author, date, address and language, from the few places that the parser marked.

For each of them the places are asked in a fixed order, and the first that answers counts: what is made for machines
(`meta`, JSON-LD) before what is made for people (`title`, `time`). Nothing is checked but the form: addresses are http
or https and no longer than `LONGEST_ADDRESS`, dates begin as ISO 8601 has them and are given as year, month and day,
and all else is cut after `LONGEST` characters.
"""

import html
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from corpusmill.dataproc.extraction.marks import DATA, LINK, META, PAGE_LANGUAGE, TIME, TITLE

LONGEST = 500
LONGEST_ADDRESS = 2048
"""A longer address is left out: cut, it would be another."""
_LONGEST_DATA = 1 << 18
_DATE = re.compile(r"\s*((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")
_SPACE = re.compile(r"\s+")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")

_TITLES = ("og:title", "twitter:title", "citation_title", "dc.title", "headline")
_AUTHORS = (
    "author article:author dc.creator dcterms.creator citation_author parsely-author sailthru.author byl"
).split()
_DATES = (
    "article:published_time og:article:published_time datepublished citation_publication_date dc.date.issued"
    " dcterms.created dc.date dcterms.date parsely-pub-date sailthru.date pubdate publishdate publish-date"
    " publication_date date"
).split()


def read_metadata(page: bytes, marks: np.ndarray) -> dict[str, str]:
    """The keys title, author, published, canonical_url and html_lang, those of them that the page has."""
    said: dict[str, str] = {}
    places: dict[int, list[str]] = {}
    data: list[bytes] = []
    for kind, begin, end, begin2, end2 in marks.tolist():
        if kind == META:
            name = page[begin:end].decode("utf-8", "replace").lower()
            said.setdefault(name, (_address if name == "og:url" else _text)(page[begin2:end2]))
        elif kind == DATA:
            data.append(page[begin:end])
        else:
            places.setdefault(kind, []).append((_address if kind == LINK else _text)(page[begin:end]))
    things = list(_things(data)) if data and not _has_all(said) else []
    found = {
        "title": _first([said.get(key) for key in _TITLES] + [_unescaped(thing.get("headline")) for thing in things])
        or _first(places.get(TITLE, [])),
        "author": _first([said.get(key) for key in _AUTHORS if not _is_address(said.get(key))] + _names(things)),
        "published": _first(
            _date(value)
            for value in [said.get(key) for key in _DATES]
            + [thing.get("datePublished") for thing in things]
            + places.get(TIME, [])[:1]
        ),
        "canonical_url": next((url for url in [*places.get(LINK, []), said.get("og:url", "")] if _is_address(url)), ""),
        "html_lang": _first(lang for lang in places.get(PAGE_LANGUAGE, []) if _LANGUAGE.fullmatch(lang)),
    }
    return {key: value for key, value in found.items() if value}


def _has_all(said: dict[str, str]) -> bool:
    """Whether nothing is missing for which JSON-LD would be asked."""
    return (
        any(said.get(key) for key in _TITLES)
        and any(said.get(key) and not _is_address(said[key]) for key in _AUTHORS)
        and any(_date(said.get(key)) for key in _DATES)
    )


def _text(value: bytes) -> str:
    return _SPACE.sub(" ", html.unescape(value[: 4 * LONGEST].decode("utf-8", "replace"))).strip()[:LONGEST]


def _address(value: bytes) -> str:
    """An address as it stands; "" for one that is too long."""
    text = html.unescape(value.decode("utf-8", "replace")).strip()
    return text if len(text) <= LONGEST_ADDRESS else ""


def _unescaped(value: object) -> str:
    return html.unescape(value) if isinstance(value, str) else ""


def _first(values: Any) -> str:
    for value in values:
        if isinstance(value, str) and value.strip():
            return _SPACE.sub(" ", value.replace("\0", "")).strip()[:LONGEST]
    return ""


def _is_address(value: str | None) -> bool:
    return bool(value) and str(value).startswith(("http://", "https://"))


def _date(value: object) -> str:
    match = _DATE.match(value) if isinstance(value, str) else None
    return "-".join(match.groups()) if match else ""


def _things(data: list[bytes]) -> Iterator[dict[str, Any]]:
    """What JSON-LD describes: things of the first two levels, a `@graph` among them."""
    for text in data:
        if len(text) > _LONGEST_DATA:
            continue
        try:
            value = orjson.loads(text.strip())
        except orjson.JSONDecodeError:
            continue
        for thing in value if isinstance(value, list) else [value]:
            if isinstance(thing, dict):
                yield thing
                graph = thing.get("@graph")
                yield from (inner for inner in graph if isinstance(inner, dict)) if isinstance(graph, list) else ()


def _names(things: list[dict[str, Any]]) -> list[str]:
    """Who wrote what JSON-LD describes; several are joined by commas."""
    found = []
    for thing in things:
        authors = thing.get("author")
        names = [
            author.get("name") if isinstance(author, dict) else author
            for author in (authors if isinstance(authors, list) else [authors])
        ]
        found.append(", ".join(_unescaped(name) for name in names if isinstance(name, str) and not _is_address(name)))
    return found
