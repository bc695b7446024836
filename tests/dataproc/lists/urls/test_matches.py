"""What lists say of URLs: kinds of lists one by one, and all of them against slow Python over strings."""

import re
from urllib.parse import unquote

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.lists.urls import UrlMatches
from corpusmill.dataproc.lists.urls.matches import KINDS
from corpusmill.dataproc.measures.columns import Measure

COLUMN_OF_KIND = {
    "domains": "url_domain_count",
    "subdomains": "url_subdomain_count",
    "urls": "url_exact_count",
    "words": "url_word_count",
    "soft-words": "url_soft_word_count",
    "substrings": "url_substring_count",
}


def documents(urls: list[str | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"id": [str(row) for row in range(len(urls))], "url": pa.array(urls, pa.string())}
    )


@pytest.fixture
def measured(tmp_path):
    """A function from lists and URLs to the columns."""

    def measure(lists: dict[str, str], urls: list[str | None]) -> dict[str, list[int]]:
        for kind, text in lists.items():
            (tmp_path / kind).write_text(text, encoding="utf-8")
        made = UrlMatches(lists={kind: str(tmp_path / kind) for kind in lists})
        return made.measure(documents(urls)).to_pydict()

    return measure


@pytest.mark.parametrize(
    ("kind", "entries", "url", "count"),
    [
        ("domains", "example.com", "http://example.com/", 1),
        ("domains", "example.com", "http://a.b.example.com:8080/x", 1),
        ("domains", "example.com", "http://notexample.com/", 0),
        ("domains", "example.com", "http://example.com.evil.org/", 0),
        ("domains", "example.com", "http://somebody@example.com@evil.org/", 0),
        ("domains", "example.com", "HTTP://EXAMPLE.COM./", 1),
        ("domains", "Example.COM.\na.example.com", "http://b.a.example.com/", 2),
        ("domains", "a.example.com", "http://b.a.example.com/", 1),
        ("domains", "a.example.com", "http://example.com/", 0),
        ("domains", "http://example.com/page", "http://www.example.com/", 1),
        ("domains", "bücher.example", "http://xn--bcher-kva.example/", 1),
        ("domains", "xn--bcher-kva.example", "http://www.BÜCHER.example/", 1),
        ("domains", "co.uk", "http://company.co.uk/", 0),
        ("domains", "co.uk", "http://co.uk/", 1),
        ("domains", "com", "http://company.com/", 0),
        ("domains", "anything.kobe.jp", "http://a.anything.kobe.jp/", 0),
        ("domains", "city.kobe.jp", "http://a.city.kobe.jp/", 1),
        ("domains", "*.co.uk", "http://company.co.uk/", 1),
        ("domains", ".xxx", "http://company.xxx/", 1),
        ("domains", "blogspot.com", "http://somebody.blogspot.com/", 1),
        ("domains", "10.0.0.1", "http://10.0.0.1/", 1),
        ("domains", "10.0.0.1", "http://1.10.0.0.1/", 0),
        ("domains", "0.1", "http://10.0.0.1/", 0),
        ("domains", "[::1]", "http://[::1]:80/", 1),
        ("domains", "127.0.0.1 localhost\n0.0.0.0 ads.example more.example # why", "http://x.more.example/", 1),
        ("domains", "127.0.0.1\tads.example", "http://127.0.0.1/", 0),
        ("domains", "::1 ads.example\n# comment\n\n", "http://ads.example/", 1),
        ("subdomains", "www.example.com", "http://www.example.com/a", 1),
        ("subdomains", "www.example.com", "http://a.www.example.com/a", 0),
        ("subdomains", "example.com", "http://www.example.com/a", 0),
        ("urls", "http://example.com/a", "https://example.com/a/#top", 1),
        ("urls", "example.com/a", "http://user@EXAMPLE.com:80/%61", 1),
        ("urls", "example.com/a", "http://example.com/A", 0),
        ("urls", "example.com/a", "http://example.com/a?q=1", 0),
        ("urls", "example.com/a", "http://example.com:8080/a", 0),
        ("urls", "example.com/a b", "http://example.com/a%20b", 1),
        ("urls", "example.com", "http://example.com/", 1),
        ("words", "foo\nbar", "http://foo.example.com/Bar/foobar_FOO", 3),
        ("words", "foo", "http://example.com/foods", 0),
        ("words", "плохо", "http://example.com/%D0%9F%D0%9B%D0%9E%D0%A5%D0%9E/", 1),
        ("words", "http\nme", "http://me@example.com/", 0),
        ("soft-words", "foo\nbar\nbaz", "http://foo.com/foo/foo", 1),
        ("soft-words", "foo\nbar\nbaz", "http://foo.com/foo/bar", 2),
        ("substrings", "foo bar", "http://my-foo.bars.example/", 1),
        ("substrings", "shit", "https://hitachi.example/", 0),
        ("substrings", "shit", "https://www.shitake.example/", 1),
    ],
)
def test_each_kind_of_list(measured, kind, entries, url, count):
    actual = measured({kind: entries}, [url])
    assert actual.pop(COLUMN_OF_KIND[kind]) == [count]
    assert all(numbers == [0] for numbers in actual.values())


def test_an_allowed_domain_counts_nothing(measured):
    lists = {"domains": "example.com", "words": "foo", "allowed": "good.example.com"}
    urls = ["http://a.good.example.com/foo", "http://example.com/foo", "http://notgood.example.com/"]
    actual = measured(lists, urls)
    assert actual["url_domain_count"] == [0, 1, 1]
    assert actual["url_word_count"] == [0, 1, 0]


def test_documents_without_a_url_have_nothing(measured):
    lists = {"domains": "example.com", "words": "example", "substrings": "exam"}
    actual = measured(lists, [None, "", "mailto:a@example.com", "not a url"])
    assert all(numbers == [0] * 4 for numbers in actual.values())


def test_columns_are_declared_and_known_without_lists():
    made: Measure = UrlMatches(lists={"words": "/none"})
    assert tuple(column.name for column in made.columns) == tuple(COLUMN_OF_KIND.values())
    assert made.columns == UrlMatches.COLUMNS
    assert all(column.type == pa.int64() for column in made.columns)


def test_several_files_make_one_list(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a").write_text("example.com\n")
    (tmp_path / "lists" / "b").write_text("example.org\n")
    made = UrlMatches(lists={"domains": str(tmp_path / "lists")})
    actual = made.measure(documents(["http://example.com", "http://example.org", "http://example.net"]))
    assert actual.column("url_domain_count").to_pylist() == [1, 1, 0]


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match=r"unknown kind of list 'domain'.*kinds are domains"):
        UrlMatches(lists={"domain": "x"})
    with pytest.raises(UserError, match="no URL list"):
        UrlMatches(lists={"allowed": "x"})

    def complains(kind: str, text: str, message: str) -> None:
        (tmp_path / "list").write_text(text)
        with pytest.raises(UserError, match=message) as caught:
            UrlMatches(lists={kind: str(tmp_path / "list")}).measure(documents(["http://example.com"]))
        assert "\n" not in str(caught.value)

    complains("domains", "example.com\nfoo bar\n", "list, line 2: 'foo bar' is not a valid entry")
    complains("domains", "example.com\n\n/path\n", "list, line 3: '/path' has no host")
    complains("domains", "||ads.example^\n", r"list, line 1: '\|\|ads.example\^' has no host")
    complains("domains", "example.com\nads*.example\n", r"list, line 2: 'ads\*.example' has no host")
    complains("urls", "mailto:a@b\n", "list, line 1: 'mailto:a@b' has no host")
    complains("words", "foo\n---\n", "list, line 2: '---' has no letter or digit")
    complains("subdomains", "# nothing\n", "has no entries")
    with pytest.raises(UserError, match="no file matches"):
        UrlMatches(lists={"domains": str(tmp_path / "none")}).measure(documents(["http://example.com"]))


SUFFIXES = PublicSuffixList(only_icann=True)
HOST = st.lists(st.sampled_from(["a", "foo", "co", "uk", "com", "bar", "3"]), min_size=1, max_size=4).map(".".join)
NAMED = HOST.filter(lambda host: not host.split(".")[-1].isdigit())
PATH = st.text(st.sampled_from(list("afobr/-_%2?=A")), max_size=10).map("/".__add__)
URL = st.builds("http://{}{}".format, NAMED, PATH)


def slow_domains(host: str, names: list[str]) -> int:
    count = 0
    for name in set(names):
        is_suffix = SUFFIXES.privatesuffix(name) is None
        count += host == name or (host.endswith("." + name) and not is_suffix)
    return count


def slow_address(url: str) -> str:
    host, _, path = url.removeprefix("http://").partition("/")
    return host + unquote("/" + path, errors="replace").rstrip("/?")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(URL, min_size=1, max_size=5),
    st.lists(NAMED, min_size=1, max_size=5),
    st.lists(URL, min_size=1, max_size=5),
    st.lists(st.sampled_from(["foo", "bar", "a", "3", "af", "oo"]), min_size=1, max_size=4, unique=True),
)
def test_any_lists_are_counted_as_by_the_slow_way(tmp_path_factory, urls, names, addresses, words):
    folder = tmp_path_factory.mktemp("lists")
    lists = {"domains": names, "subdomains": names, "urls": addresses, "words": words, "soft-words": words}
    for kind, entries in lists.items():
        (folder / kind).write_text("\n".join(entries))
    made = UrlMatches(lists={kind: str(folder / kind) for kind in lists})
    actual = made.measure(documents(urls)).to_pydict()
    for row, url in enumerate(urls):
        address = slow_address(url)
        host = url.removeprefix("http://").split("/")[0]
        parts = re.split(r"[^a-z0-9\ufffd]+", address.lower().replace("\ufffd", " "))
        assert actual["url_domain_count"][row] == slow_domains(host, names)
        assert actual["url_subdomain_count"][row] == (host in names)
        assert actual["url_exact_count"][row] == (address in map(slow_address, addresses))
        assert actual["url_word_count"][row] == sum(part in words for part in parts)
        assert actual["url_soft_word_count"][row] == len(set(words) & set(parts))


def test_kinds_are_those_of_the_documentation():
    assert set(KINDS) == set(COLUMN_OF_KIND) | {"allowed"}
