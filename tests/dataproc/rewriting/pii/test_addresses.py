"""What is a public address of the Internet, and what is a private one, or no address."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.rewriting.pii.addresses import find_address
from corpusmill.dataproc.rewriting.pii.window import Window


def matches(text: str) -> list[str]:
    data = text.encode()
    places = [at for at in range(len(data)) if data[at : at + 1].isdigit() and not data[max(at - 1, 0) : at].isalnum()]
    places = [at for at in places if data[max(at - 1, 0) : at] != b"."]
    places += [data.index(b":")] if b":" in data else []
    spans = [find_address(Window(data, at)) for at in places]
    return [data[span[0] : span[1]].decode() for span in spans if span]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ping 91.198.174.192 now", "91.198.174.192"),
        ("at 91.198.174.192.", "91.198.174.192"),
        ("http://91.198.174.192/", "91.198.174.192"),
        ("on 5.9.12.34:8080", "5.9.12.34"),
        ("http://1.2.3.4/", "1.2.3.4"),
        ("[2620:0:861:ed1a::1]", "2620:0:861:ed1a::1"),
        ("2001:4860:4860:0:0:0:0:8844.", "2001:4860:4860:0:0:0:0:8844"),
        ("from 94.2.5.116", "94.2.5.116"),
        ("Host: 94.2.5.116", "94.2.5.116"),
        ("the server at 94.2.5.116 is", "94.2.5.116"),
        ("94.2.5.0/24", "94.2.5.0"),
        ('94.2.5.116 - - [10/Oct/2000:13:55:36] "GET', "94.2.5.116"),
        ("scp a root@94.2.5.116:/tmp", "94.2.5.116"),
        ('if ip == "91.198.174.192":', "91.198.174.192"),
        ("91.198.174.192 - 2024-01-02 10:00:00 GET /", "91.198.174.192"),
        ("[91.198.174.192]", "91.198.174.192"),
        ("Attacker 91.198.174.192 came", "91.198.174.192"),
    ],
)
def test_public_addresses_are_found_whole(text, address):
    assert matches(text) == [address]


@pytest.mark.parametrize(
    "text",
    [
        "10.1.2.34", "127.0.0.1", "172.16.99.1", "192.168.122.100", "169.254.40.50", "100.64.77.88", "198.51.100.77",
        "224.0.0.251", "255.255.255.0", "0.0.0.0", "256.99.88.77", "91.198.174.1920", "091.198.174.192", "91.198.174",
        "91.198.174.192-beta", "91.198.174.192rc1", "91.198.174.192.tar", "version 91.198.174.192",
        "Chrome/91.198.174.192",
        "v91.198.174.192", "lib-91.198.174.192", "8.8.8.8", "7.18.4.2", "2.5.29.37", ".67-.21 22.82.64.99",
        "FileVersion:      75.50.99.101", "2001:db8::1:2", "fe80::1:2:3", "fd00:1:2::3", "12:30:45",
        "2024:01:02", "std::min",
        "## [91.84.22.77] - 2026-09-02", "## 91.84.22.77", "[91.84.22.77]: https://h.org/compare",
        "91.84.22.77 (2026-09-02)",
        "91.84.22.77\n===========", "foo==91.84.22.77", "foo >= 91.84.22.77", "foo~=91.84.22.77",
        "gem 'foo', '~> 91.84.22.77'",
        '"foo": "^91.84.22.77"', "foo@1.84.1.0", "tag 91.44.20.71", "91.44.20.71 was released",
        "Bump foo from 91.44.20.71",
        "Skype 8.96.0.207", "iTunes 12.9.5.55", "gem 'foo', '1.84.1.0'", '"foo": "2.44.0.1"', "foo (1.84.1.0)",
        "1.3.101.112", "<version>91.84.22.77</version>", 'AssemblyVersion("91.84.22.77")', "Reader 11.9.23.88",
        "2001::b", "::1", "2620:zz::1", "2a00:1:2:3:4:5:6:7:8",
    ],
)  # fmt: skip
def test_private_addresses_versions_and_times_are_left(text):
    assert matches(text) == []


@given(st.ip_addresses(v=4))
def test_pythons_own_list_agrees_on_what_is_private(address):
    if max(address.packed) < 32 or sum(number < 10 for number in address.packed) > 1:
        return
    hosts_cannot_have = address.is_multicast or address in ipaddress.ip_network("192.88.99.0/24")
    special = address in ipaddress.ip_network("192.0.0.0/24")  # Python takes two of these for public
    if not special:
        assert bool(matches(str(address))) == (address.is_global and not hosts_cannot_have)
