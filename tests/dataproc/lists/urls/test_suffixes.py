"""Registered domains, held against the library whose rules they follow."""

import socket

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from corpusmill.dataproc.lists.urls import suffixes
from corpusmill.dataproc.lists.urls.suffixes import registered_domains

LIBRARY = PublicSuffixList(only_icann=True)
LABELS = [
    "a",
    "www",
    "com",
    "uk",
    "co",
    "jp",
    "kobe",
    "city",
    "ck",
    "bd",
    "github",
    "io",
    "xn--p1ai",
    "k12",
    "ma",
    "us",
]


def test_registered_domains():
    urls = {
        "http://www.example.co.uk/x": "example.co.uk",
        "https://example.com": "example.com",
        "http://com/": None,
        "http://co.uk/": None,
        "http://www.city.kobe.jp/": "city.kobe.jp",
        "http://a.b.c.kobe.jp/": "b.c.kobe.jp",
        "http://somebody.github.io/": "github.io",  # the private section is not looked at
        "http://a.b.unheardof/": "b.unheardof",
        "http://президент.рф/": "xn--d1abbgf6aiiy.xn--p1ai",
        "http://10.20.30.40/": None,
        "http://[::1]/": None,
        "mailto:a@example.com": None,
        "": None,
    }
    actual = registered_domains(pa.array([*urls, None], pa.string()))
    assert actual.type == pa.string()
    assert actual.to_pylist() == [*urls.values(), None]


def test_no_urls():
    assert registered_domains(pa.array([], pa.string())).to_pylist() == []


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=5).map(".".join))
def test_any_host_has_the_domain_that_the_library_says(host):
    assert registered_domains(pa.array([host], pa.string()))[0].as_py() == LIBRARY.privatesuffix(host)


def test_every_rule_is_followed():
    rules = LIBRARY._publicsuffix
    names = [rule.lstrip("*!.") for rule in rules if rule.isascii()]
    hosts = [prefix + name for name in names for prefix in ("", "a.", "a.b.", "a.b.c.")]
    expected = [LIBRARY.privatesuffix(host) for host in hosts]
    assert registered_domains(pa.array(hosts, pa.string())).to_pylist() == expected


def test_nothing_is_fetched(monkeypatch):
    def refuse(*arguments, **settings):
        pytest.fail("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    suffixes.load_rules.cache_clear()
    assert registered_domains(pa.array(["http://a.example.org/"])).to_pylist() == ["example.org"]
