"""The text of random markup, held against the text of a tree that a browser's parser builds (lexbor, by resiliparse).

White space is left out, since a tree's text has none between blocks; so are tables, out of which the standard moves
what does not belong there.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataproc.extraction.pages import texts_of

_ELEMENTS = "p div span b i a ul ol li dl dt dd h1 h2 h3 blockquote section article main pre em button code".split()  # noqa: SIM905
_PIECES = st.one_of(
    st.sampled_from([f"<{name}>" for name in _ELEMENTS] + [f"</{name}>" for name in _ELEMENTS]),
    st.sampled_from(
        ["<br>", "<hr>", "<!-- no -->", "<!x>", "<script>n</script>", "<style>n</style>", "<x-y>", "</x-y>"]
    ),
    st.sampled_from(["&amp;", "&lt", "&notin;", "&#65;", "&x;", "<", ">", "a<b", "</ z>", "<p a='>'>", '<p b=">" c>']),
    st.sampled_from(["one ", "two", " three", "é", "文"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_PIECES, max_size=40).map("".join))
def test_text_is_that_of_a_tree(markup: str) -> None:
    html = pytest.importorskip("resiliparse.parse.html")
    tree = html.HTMLTree.parse(f"<html><body>{markup}</body></html>")
    while element := tree.body.query_selector("script, style"):
        element.decompose()
    ours = "".join("".join(texts_of(f"<html><body>{markup}</body></html>")).split())
    assert ours == "".join(tree.body.text.split())
