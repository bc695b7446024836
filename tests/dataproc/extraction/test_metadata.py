"""Title, author, date, address and language of a page, from where pages say them."""

import pytest

from corpusmill.dataproc.extraction.metadata import LONGEST, read_metadata
from corpusmill.dataproc.extraction.parsing import parse


def said(html: str) -> dict[str, str]:
    page = html.encode()
    return read_metadata(page, parse(page).marks)


def test_what_is_made_for_machines_comes_first() -> None:
    html = """<html lang="de-AT"><title>Site &amp; page</title>
    <meta property="og:title" content="Gr&uuml;&szlig;e  an alle"><meta name=Author content="A. B.">
    <meta property='article:published_time' content='2024-03-05T10:00:00+01:00'>
    <link rel="canonical" href="https://example.org/a?b=1&amp;c=2"><time datetime=2020-01-01>long ago</time>"""
    assert said(html) == {
        "title": "Grüße an alle",
        "author": "A. B.",
        "published": "2024-03-05",
        "canonical_url": "https://example.org/a?b=1&c=2",
        "html_lang": "de-AT",
    }


def test_what_is_made_for_people_answers_where_nothing_else_does() -> None:
    html = "<title>\n A\n page </title><p>by nobody, on <time datetime='2021-12-31T23:59'>New Year's Eve</time>"
    assert said(html) == {"title": "A page", "published": "2021-12-31"}


@pytest.mark.parametrize(
    "data",
    [
        '{"@type": "Article", "headline": "H", "author": {"name": "N"}, "datePublished": "2022-02-03"}',
        '[{"@type": "Article", "headline": "H", "author": [{"name": "N"}], "datePublished": "2022-02-03"}]',
        '{"@graph": [{"name": "x"}, {"headline": "H", "author": "N", "datePublished": "2022-02-03T00:00Z"}]}',
    ],
)
def test_json_ld_is_read(data: str) -> None:
    html = f'<script type="application/ld+json">{data}</script>'
    assert said(html) == {"title": "H", "author": "N", "published": "2022-02-03"}


@pytest.mark.parametrize(
    "html",
    [
        '<script type="application/ld+json">{"headline": </script>',
        '<script type="application/ld+json">[1, null, {"author": 7, "datePublished": {}, "headline": []}]</script>',
        "<link rel=canonical href='javascript:alert(1)'>",
        "<meta name=author content='https://facebook.com/somebody'>",
        "<meta name=date content='next Tuesday'><time datetime='2021-13-45'></time>",
        "<html lang='&lt;script&gt;'>",
        "<title>  </title>",
    ],
)
def test_what_has_not_the_form_is_left_out(html: str) -> None:
    assert said(html) == {}


def test_nothing_is_longer_than_the_bound() -> None:
    assert len(said(f"<title>{'x' * 9999}</title>")["title"]) == LONGEST


def test_json_ld_is_asked_for_what_other_places_say_in_no_form_of_use() -> None:
    html = """<meta property="og:title" content=T><meta property="article:author" content="https://example.org/joe">
    <meta property="article:published_time" content="May 1, 2020">
    <script type="application/ld+json">{"author": "Joe &amp; Co", "datePublished": "2020-05-01"}</script>"""
    assert said(html) == {"title": "T", "author": "Joe & Co", "published": "2020-05-01"}


def test_a_long_address_is_whole_or_left_out() -> None:
    for length, known in ((1500, True), (3000, False)):
        url = "https://example.org/" + "a" * length
        assert said(f"<link rel=canonical href='{url}'>").get("canonical_url") == (url if known else None)


def test_many_times_leave_room_for_what_follows() -> None:
    html = "<time datetime=2020-01-01></time>" * 300 + '<script type="application/ld+json">{"author": "N"}</script>'
    assert said(html) == {"author": "N", "published": "2020-01-01"}
