"""One spelling for all spellings of an address, held against Python's own `urllib` where that has an opinion."""

from urllib.parse import unquote_to_bytes, urlsplit

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.lists.urls.canonical import ascii_host, canonical_urls


def canonical(*urls: str) -> list[tuple[str, str]]:
    """(host, rest) of each."""
    actual = canonical_urls(pa.array(urls, pa.large_string()))
    data, bounds = actual.data.tobytes(), actual.bounds
    halves = [(bounds[row], bounds[row] + actual.host_bytes[row], bounds[row + 1]) for row in range(len(urls))]
    return [(data[a:b].decode(), data[b:c].decode("utf-8", "replace")) for a, b, c in halves]


@pytest.mark.parametrize(
    ("url", "host", "rest"),
    [
        ("http://example.com/a/b?c=d#e", "example.com", "/a/b?c=d"),
        ("HTTPS://User:pa@ss@WWW.Example.COM:443/A%20b/", "www.example.com", "/A b"),
        ("http://example.com.:8080/", "example.com", ":8080"),
        ("http://example.com:/x", "example.com", "/x"),
        ("example.com", "example.com", ""),
        ("example.com/path", "example.com", "/path"),
        ("example.com:8080/path", "example.com", ":8080/path"),
        ("//example.com/path", "example.com", "/path"),
        ("  http://example.com/ \n", "example.com", ""),
        ("http://example.com?q=1", "example.com", "?q=1"),
        ("http:\\\\example.com\\a", "example.com", "/a"),
        ("http://ex%61mple.com/%7euser", "example.com", "/~user"),
        ("http://example.com/100%/%zz/%4", "example.com", "/100%/%zz/%4"),
        ("http://127.0.0.1:80/x", "127.0.0.1", "/x"),
        ("http://[2001:DB8::1]:8080/x", "[2001:db8::1]", ":8080/x"),
        ("http://[::1]/", "[::1]", ""),
        ("https://bücher.example/ü", "xn--bcher-kva.example", "/ü"),
        ("https://B%C3%9CCHER.example/", "xn--bcher-kva.example", ""),
        ("https://straße.de", "xn--strae-oqa.de", ""),
        ("https://例え。テスト/", "xn--r8jz45g.xn--zckzah", ""),
        ("http://i❤️.example/", "xn--i-7iqv272g.example", ""),
        ("mailto:somebody@example.com", "", ""),
        ("data:text/plain,example.com/x", "", ""),
        ("urn:isbn:0451450523", "", ""),
        ("/just/a/path", "", ""),
        ("http://", "", ""),
        ("http:///path", "", ""),
        ("file:///etc/passwd", "", ""),
        ("", "", ""),
        ("   ", "", ""),
    ],
)
def test_spellings(url, host, rest):
    if url.startswith("http://i"):  # what IDNA 2008 does not allow takes Punycode, whichever exactly
        assert canonical(url)[0][0].startswith("xn--") and canonical(url)[0][0].endswith(".example")
    else:
        assert canonical(url) == [(host, rest)]


HOSTS = st.from_regex(r"[a-zA-Z0-9-]{1,8}(\.[a-zA-Z0-9-]{1,8}){0,3}", fullmatch=True)
PATHS = st.text(st.sampled_from(list("abZ09/%&=._-~+:@é日")), max_size=20).map("/".__add__)


@settings(max_examples=300, deadline=None)
@given(
    HOSTS, st.sampled_from(["", ":80", ":443", ":8080"]), PATHS, st.text(st.sampled_from(list("ab=&%2F")), max_size=8)
)
def test_a_well_formed_url_is_taken_apart_as_by_urllib(host, port, path, query):
    url = f"http://{host}{port}{path}" + (f"?{query}" if query else "")
    split = urlsplit(url)
    rest = unquote_to_bytes(split.path) + (b"?" + unquote_to_bytes(query) if query else b"")
    usual = split.port in (None, 80, 443)
    expected = ("" if usual else f":{split.port}") + rest.decode("utf-8", "replace")
    assert canonical(url) == [(split.hostname, expected.rstrip("/?"))]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.sampled_from(list("hHtp:/\\?#@[].%aé0-8 \x00")), max_size=16), max_size=6))
def test_no_text_breaks_it_and_neighbours_do_not_matter(urls):
    together = canonical(*urls)
    assert together == [canonical(url)[0] for url in urls]
    for host, rest in together:
        assert host.isascii()
        assert host or not rest


def test_hosts_that_are_no_text_become_ascii():
    assert ascii_host(b"caf\xe9.example").isascii()
    assert ascii_host("BÜCHER.example".encode()) == b"xn--bcher-kva.example"
