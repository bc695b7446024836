"""Any bytes give some blocks, in time that is linear in them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.hostile_pages import PIECES, page_of, seconds_of
from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction.extractor import extract
from corpusmill.dataproc.extraction.parsing import parse
from corpusmill.dataproc.extraction.states import MOST_BLOCKS
from corpusmill.dataproc.readers.archives.markup_shape import MOST_DEEP, MOST_TAGS, refusal

_MARKUP = """<p> </p> <div> </div> <a href=x> </a> <table> <tr> <td> </table> <ul> <li> </li> </ul> <pre> </pre> <b>
<span> </span> <script> </script> <!-- --> <svg> </svg> <math> </math> <br> <h1> </h2> <title> &amp; &#x41; & < > "
' = text"""
_PIECES = st.sampled_from(_MARKUP.split())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(_PIECES, st.text(max_size=8)), max_size=60).map("".join))
def test_any_markup_is_read(html: str) -> None:
    data = html.encode("utf-8", "replace")
    page = parse(data)
    assert ((page.blocks[:, b.BEGIN] < page.blocks[:, b.END]) | (page.blocks[:, b.WORDS] == 0)).all()
    assert (page.blocks[1:, b.BEGIN] > page.blocks[:-1, b.END]).all()
    assert (page.elements[:, b.FIRST] <= page.elements[:, b.LAST]).all()
    assert (page.elements[1:, b.PARENT] < range(1, len(page.elements))).all()
    extract(html)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    parse(data)


@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES.keys())
def test_a_hostile_page_takes_no_longer_than_its_share_of_two_seconds(piece: str) -> None:
    """What is let through of 64 MiB in under 2 s of CPU, and as much again for noise.

    Of 8 MiB, since the first blocks cost the most; a page of more than `MOST_TAGS` is refused before it is parsed.
    """
    data = page_of(piece, 8 << 20).encode()
    largest = min(64 << 20, MOST_TAGS * len(data) // data.count(b"<"))
    assert seconds_of(lambda: parse(data)) < 2 * 2 * len(data) / largest


def test_more_tags_than_any_page_has_are_refused() -> None:
    assert refusal("<p>x" * (MOST_TAGS + 1)) == "more than 6,000,000 tags"
    assert refusal("<br>" * MOST_DEEP * 2) is None


def test_text_beyond_the_last_block_belongs_to_it() -> None:
    page = parse(b"<p>x" * (MOST_BLOCKS + 3))
    assert len(page.blocks) == MOST_BLOCKS
    block = page.blocks[-1]
    assert page.out[block[b.BEGIN] : block[b.END]].tobytes() == b"x\nx\nx\nx"


def test_what_nests_deeper_than_the_stack_is_read() -> None:
    html = "<div>" * 2000 + "<p>deep</p>" + "</div>" * 2000 + "<p>behind"
    page = parse(html.encode())
    assert [page.out[begin:end].tobytes() for begin, end in page.blocks[:, :2].tolist()] == [b"deep", b"behind"]
