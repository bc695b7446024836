"""What is an address of mail and what only looks like one."""

import pytest

from corpusmill.dataproc.rewriting.pii.domains import top_level_domains
from corpusmill.dataproc.rewriting.pii.emails import AT_SIGNS, find_email
from corpusmill.dataproc.rewriting.pii.window import Window


def matches(text: str) -> list[str]:
    data = text.encode()
    spans = [find_email(Window(data, sign.start())) for sign in AT_SIGNS.finditer(data)]
    return [data[span[0] : span[1]].decode() for span in spans if span]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("Write to anna.lind+news@mail.uni-bonn.de.", ["anna.lind+news@mail.uni-bonn.de"]),
        ("<JO@ACME.COM>, b_c@x.co.uk;", ["JO@ACME.COM", "b_c@x.co.uk"]),
        ("Jane.Roe@Gmail.Com, jo@acme.Com, Jo@Mail.Co.Uk", ["Jane.Roe@Gmail.Com", "jo@acme.Com", "Jo@Mail.Co.Uk"]),
        ("it is a@b.org.Next we go", ["a@b.org"]),
        ("on the super@market.com and Super@Gmail.Com", ["super@market.com", "Super@Gmail.Com"]),
    ],
)
def test_domains_have_no_case_and_end_before_the_next_sentence(text, addresses):
    assert matches(text) == addresses


@pytest.mark.parametrize(
    "text",
    [
        "[{}](mailto:{})", "'{}'", "_{}_", "__{}__", "**{}**", "`{}`", "{}[1]", "{}(work)", "{}_", "({})",
        "&lt;{}&gt;",
        "%3C{}%3E", "mailto%3A{}", "x%20{}", "=20{}=20", "=3C{}=3E", '"a\\n{}\\n"', "\\u003c{}\\u003e", "a\n{}\nb",
        "“{}”",
        "邮箱：{}。", "邮箱{}(工作日)", "邮箱{}谢谢", "【{}】", "メールは{}まで", "이메일{}으로", "{}，{}",
        "{};{}", "{}?subject=a", "\ufeff{}",
        "\u200b{}\u200b", "อีเมล{}ครับ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("address", ["jane.roe@webmail-host.net", "Jane_Roe+a@Mail.Co.Uk", "88@163.com"])
def test_whatever_stands_around_an_address_it_is_found_whole(text, address):
    assert matches(text.format(address, address)) == [address] * text.count("{}")


@pytest.mark.parametrize(
    "address",
    [
        "ivan.petrov@почта.рф", "иван@почта.рф", "иван.petrov@ПОЧТА.РФ", "jane.roe@xn--80a1acny.xn--p1ai",
        "nguyễn@congty.vn",
        "nguyê\u0303n@congty.vn", "用户@例子.公司", "jürgen@müller-söhne.de", "राम@मोहन.भारत", "مدير@موقع.شبكة",
        "user@ไทย.ไทย",
        "δοκιμή@παράδειγμα.ελ", "jane@日本語.jp", "ｊａｎｅ＠ｘｙ．ｃｏｍ", "jane＠acme.org", "jane&#64;acme.org",
        "jane&#x40;acme.org",
        "jane&commat;acme.org", "jane.roe%40acme.org", "홍길동@한국.한국", "josé@acme.com",
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", ["{}", "write to {}, or call.", "<{}>", "({})", "{}。"])
def test_names_and_domains_may_be_in_any_script(text, address):
    assert matches(text.format(address)) == [address]


def test_a_domain_ends_where_a_script_without_blanks_goes_on():
    assert matches("用户@例子.公司谢谢") == ["用户@例子.公司"]
    assert matches("jane@acme.comé") == []


def test_every_top_level_domain_of_the_list_is_one_in_any_case():
    tops = top_level_domains() - {"example", "test", "invalid", "localhost"}
    assert len(tops) > 1500 and {"com", "tokyo", "dental", "hamburg", "рф", "xn--p1ai", "中国", "ck"} <= tops
    addresses = [f"jane.roe@praxis.{top}" for top in sorted(tops)]
    addresses += [f"jane.roe@praxis.{top.upper()}" for top in sorted(tops)]
    assert [address for address in addresses if matches(address + ", she said") != [address]] == []


@pytest.mark.parametrize(
    "text",
    [
        "q@k.transpose(1, 2)", "A@B.T", "x@self.at[0]", "@app.get", "checkout@v4.1", "pkg@1.2.3", "icon@2x.png",
        "git@github.com:o/r.git", "user@example.com", "a@mail.example.org", "me@host.test", "@anna@mastodon.social",
        "a@b", "a@.com", "a@b..com", "a@-b.com", "a@b.com@c.com", "@", "a@", "@b.com", ".@b.com",
        "user%40example.com", "a＠b",
    ],
)  # fmt: skip
def test_what_is_none_is_left(text):
    assert matches(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "val x = this@MainActivity.name", "this@MainActivity.run { finish() }", "(this@User.id)", "this@with.info",
        "super@Outer.name()", "this@gmail.com", "pbmc@meta.data$n", "head(obj@meta.data)", "x@slot.id$y",
        "q@k.int()", "w@x.data",
        "self.q@self.k.map(f)", "xs@ys.map(f)", "attn@value.to(device)", "m@model.data", "row-@item.id",
        "col_@user.name",
        "text@Model.Name", "@scope/pkg@next.dev", "icon@2x.zip", "pkg@v1.zip", "foo@1.0.dev", "$user@host.com",
        "%s@host.com", "golang.org/x/mod@v1.2.3", "ghcr.io/a/b@sha256:abc", "lodash@npm:4.17.21", "@Bean.name",
        "@types/node@18.0.0", "name@npm.pkg",
    ],
)  # fmt: skip
def test_code_is_left(text):
    assert matches(text) == []


def test_a_name_of_more_than_64_bytes_is_none():
    assert matches("a" * 64 + "@b.com") == ["a" * 64 + "@b.com"]
    assert matches("a" * 65 + "@b.com") == []
    assert matches("é" * 32 + "@b.com") == ["é" * 32 + "@b.com"]
    assert matches("é" * 33 + "@b.com") == []
