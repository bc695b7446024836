"""The look at a page before it is parsed: the worst is refused at once, and nothing that people write is."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.readers.archives.markup_shape import MOST_ATTRIBUTES, MOST_DEEP, refusal
from corpusmill.dataproc.readers.archives.pages import Unreadable, text_of_html

N = 40_000
DEEP: dict[str, Callable[[int], str]] = {
    "div": lambda n: "<div>" * n + "x" + "</div>" * n,
    "capitals": lambda n: "<DIV\n>" * n,
    "tables": lambda n: "<table><tr><td>" * n,
    "lists": lambda n: "<ul><li>" * n,
    "custom elements": lambda n: "<x-y>" * n,
    "svg": lambda n: "<svg><g>" * n,
    "different fonts": lambda n: "".join(f"<p><font color={k}>" for k in range(n)),
    "after text that looks like an end": lambda n: "<div></p>" * n,
    "behind a comment": lambda n: "<!-- </div> -->" + "<section>" * n,
}
MANY: dict[str, Callable[[int], str]] = {
    "names": lambda n: "<p " + " ".join(f"a{k}" for k in range(n)) + ">x",
    "values": lambda n: "<p " + " ".join(f"a{k}=x" for k in range(n)) + ">x",
    "quoted without blanks": lambda n: "<p " + "".join(f'a{k}="x"' for k in range(n)) + ">x",
    "slashes": lambda n: "<p " + "/".join(f"a{k}" for k in range(n)) + ">x",
    "never closed": lambda n: "<p " + "\n".join(f"a{k}=x" for k in range(n)),
}


@pytest.mark.parametrize("name", DEEP)
def test_what_nests_too_deep_is_refused(name: str) -> None:
    assert "deep" in str(refusal("<html><body>" + DEEP[name](N)))


@pytest.mark.parametrize("name", MANY)
def test_a_tag_of_too_many_attributes_is_refused(name: str) -> None:
    assert "attributes" in str(refusal("<html><body>" + MANY[name](N)))


def test_attributes_of_many_tags_of_one_root_are_refused() -> None:
    assert "tags of html or body" in str(refusal("".join(f"<body a{k}=x>" for k in range(N))))


@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
@pytest.mark.parametrize("page", [DEEP["div"], MANY["values"]], ids=["deep", "attributes"])
def test_an_extractor_is_not_even_asked(extractor: str, page: Callable[[int], str]) -> None:
    before = time.process_time()
    with pytest.raises(Unreadable, match=r"deep|attributes"):
        text_of_html(page(N), extractor)
    assert time.process_time() - before < 2


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * (MOST_DEEP - 2) + "x",
        "<div>x</div>" * N,
        "<p>x" * N,
        "<li>x" * N,
        "x<br>" * N,
        "<table>" + "<tr><td><font size=2>x" * N,
        "<table>" + "<tr><td><b>x</td></tr>" * N,
        "<div><span>x</div>" * N,
        "<script>" + "'<div>'," * N + "</script>",
        "<style>" + "<div>" * N + "</style>",
        "<!--" + "<div>" * N + "-->",
        '<img alt="' + "many words " * N + '">',
        "<img src='data:image/png;base64," + "A/=" * N + "'>",
        "<p " + " ".join(f"a{k}=x" for k in range(MOST_ATTRIBUTES // 2)) + ">x",
        "x < y && " * N,
        "<script>" + "a<b " * N + "</script>",
        "&amp;" * N,
        "",
        "no markup at all",
    ],
    ids=range(19),
)
def test_long_and_careless_pages_are_not_refused(page: str) -> None:
    assert refusal(page) is None


@given(st.text(alphabet="<>/!- \"'=abdiv\ud800é", max_size=300), st.integers(1, 60))
def test_any_text_is_looked_at_without_an_error(text: str, times: int) -> None:
    assert refusal(text * times) is None or len(text * times) > MOST_ATTRIBUTES


@pytest.mark.parametrize(
    "unit", ["<!--", "<script>", "<", "</", "<a ", '<a "', "<a '", "</div>", "<![CDATA[", "<b></i>"]
)
def test_the_look_takes_time_in_proportion(unit: str) -> None:
    before = time.process_time()
    refusal(unit * 300_000)
    assert time.process_time() - before < 5
