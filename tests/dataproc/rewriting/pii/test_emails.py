"""What is an address of mail and what only looks like one."""

import pytest

from corpusmill.dataproc.rewriting.pii.emails import COUNTRIES, GENERIC, find_email
from corpusmill.dataproc.rewriting.pii.window import Window


def found(text: str) -> list[str]:
    data = text.encode()
    spans = [find_email(Window(data, at)) for at, byte in enumerate(data) if byte == 0x40]
    return [data[span[0] : span[1]].decode() for span in spans if span]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("Write to anna.lind+news@mail.uni-bonn.de.", ["anna.lind+news@mail.uni-bonn.de"]),
        ("<JO@ACME.COM>, b_c@x.co.uk;", ["JO@ACME.COM", "b_c@x.co.uk"]),
        ("[me@site.org](mailto:me@site.org)", ["me@site.org", "me@site.org"]),
        ("邮箱li.wei@qq.com。", ["li.wei@qq.com"]),
        ("jürgen@müller-söhne.de", ["jürgen@müller-söhne.de"]),
        ("it is a@b.org.Next we go", ["a@b.org"]),
        ("'quoted@place.net'", ["quoted@place.net"]),
    ],
)
def test_addresses_are_found_whole(text, addresses):
    assert found(text) == addresses


@pytest.mark.parametrize(
    "text",
    [
        "q@k.transpose(1, 2)", "A@B.T", "x@self.at[0]", "@app.get", "checkout@v4.1", "pkg@1.2.3", "icon@2x.png",
        "git@github.com:o/r.git", "user@example.com", "a@mail.example.org", "me@host.test", "@anna@mastodon.social",
        "a@b", "a@.com", "a@b..com", "a@-b.com", "name@domain.Com", "a@b.com@c.com", "@", "a@", "@b.com", ".@b.com",
    ],
)  # fmt: skip
def test_what_is_none_is_left(text):
    assert found(text) == []


def test_a_name_of_more_than_64_characters_is_none():
    assert found("a" * 64 + "@b.com") == ["a" * 64 + "@b.com"]
    assert found("a" * 65 + "@b.com") == []


def test_the_last_parts_are_each_listed_once_in_lower_case():
    parts = (COUNTRIES + GENERIC).split()
    assert len(parts) == len(set(parts)) and all(part.isascii() and part.islower() for part in parts)
    assert all(len(part) == 2 for part in COUNTRIES.split())
