"""Blocks of a page as a test reads them."""

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction.names import NAMES, OTHERS
from corpusmill.dataproc.extraction.parsing import Parsed, parse


def blocks_of(html: str) -> list[tuple[str, str]]:
    """(element, text) of each block."""
    page = parse(html.encode())
    return [(_name(int(block[b.TAG])), _text(page, block)) for block in page.blocks]


def texts_of(html: str) -> list[str]:
    return [text for _, text in blocks_of(html)]


def _text(page: Parsed, block: "object") -> str:
    return page.out[block[b.BEGIN] : block[b.END]].tobytes().decode()  # type: ignore[index]


def _name(tag: int) -> str:
    return NAMES[tag] if tag < OTHERS else "?"
