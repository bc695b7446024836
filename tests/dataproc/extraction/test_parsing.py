"""Text of HTML by the standard's rules: what breaks it, what belongs to it, and which tags close which."""

import pytest

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction.parsing import parse
from tests.dataproc.extraction.pages import blocks_of, texts_of

TEX = "<annotation encoding='application/x-tex'>"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>one<p>two", ["one", "two"]),
        ("<div>before<p>in</p>behind</div>", ["before", "in", "behind"]),
        ("<p>a <b>bold</b> word, <i>one</i>more", ["a bold word, onemore"]),
        ("  <p> \n white \t space\n</p> ", ["white space"]),
        ("<p>line<br>break", ["line\nbreak"]),
        ("<p>one<br><br>two<br/> <br>three", ["one", "two", "three"]),
        ("<p>one</br>two", ["one\ntwo"]),
        ("one</p>two", ["one", "two"]),
        ("<p>a<hr>b", ["a", "b"]),
        ("a<wbr>b", ["ab"]),
        ("<p>1 < 2 and 3 > 2 <3 </p>", ["1 < 2 and 3 > 2 <3"]),
        ("<p>a<!-- <p>no --> b <!-->c<!--->d<!-- x --!>e", ["a b cde"]),
        ("<p>a<!-- unclosed <p>b", ["a"]),
        ("a<?php echo '<p>' ?>b", ["a' ?>b"]),
        ("a</ bogus>b</>c", ["abc"]),
        ("<![CDATA[x]]>y", ["y"]),
        ("<p>a<em", ["a"]),
        ("<p title='a>b'>c", ["c"]),
        ('<p title="a>b>c', []),
        ("<p a='1' b=2>d</p x='y>z'>e", ["d", "e"]),
        ("\ufeff<p>mark", ["mark"]),
    ],
)
def test_text(html: str, expected: list[str]) -> None:
    assert texts_of(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<script>if (a < b) '<p>no</p>'</script>yes", ["yes"]),
        ("<script><!-- <script>x</script> y --></script>yes", ["yes"]),
        ("<script>x</scripts></script >yes", ["yes"]),
        ("<style>p { }</style><textarea>no</textarea><noscript><p>no</noscript>yes", ["yes"]),
        ("<title>no</title><iframe>no</iframe><template><p>no</template>yes", ["yes"]),
        ("<svg><title>no</title><text>no</text></svg>yes", ["yes"]),
        ("<svg><path/><style/><p>yes", ["yes"]),
        ("<select><option>no<option>no</select>yes", ["yes"]),
        ("<p>a<span style='color:red; Display : none'>no</span>b", ["ab"]),
        ("<p>seen by all who look at it<div hidden>no<p>no</p></div>", ["seen by all who look at it"]),
        ("<p>a seen word or five<div hidden=until-found>yes", ["a seen word or five", "yes"]),
        ("<p style='visibility:hidden'>no</p>yes", ["yes"]),
        ("<p>unclosed script <script>var x", ["unclosed script"]),
        ("<div class=highlight><table><tr><td class=gutter>1<td><pre>x = 1</pre></table></div>", ["x = 1"]),
        ("<div class='row no-gutter'>yes</div>", ["yes"]),
    ],
)
def test_what_no_reader_sees(html: str, expected: list[str]) -> None:
    assert texts_of(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<ul><li>a<li>b<ul><li>c</ul>d</ul>e", [("li", "a"), ("li", "b"), ("li", "c"), ("li", "d"), ("div", "e")]),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>", [("dt", "a"), ("dd", "b"), ("dt", "c"), ("dd", "d")]),
        ("<h1>a<h2>b</h1>c", [("h1", "a"), ("h2", "b"), ("div", "c")]),
        ("<div><table><tr><td>a<td>b<tr><th>c</table>d", [("td", "a"), ("td", "b"), ("th", "c"), ("div", "d")]),
        ("<table><tr><td><p>a<table><tr><td>b</table>c", [("p", "a"), ("td", "b"), ("td", "c")]),
        ("<p>a<table><tr><td>b</p>c</table>", [("p", "a"), ("td", "b"), ("td", "c")]),
        ("<div><p>a<blockquote>b</blockquote></p>c", [("p", "a"), ("blockquote", "b"), ("div", "c")]),
        ("<div><span>a</div>b</span>c", [("div", "a"), ("div", "bc")]),
        ("<section><div>a</section>b</div>c", [("div", "a"), ("div", "b"), ("div", "c")]),
        ("<button>a<button>b</button>c", [("button", "a"), ("button", "b"), ("div", "c")]),
    ],
)
def test_what_closes_what(html: str, expected: list[tuple[str, str]]) -> None:
    body = [("div" if tag == "body" else tag, text) for tag, text in blocks_of(html)]
    assert body == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("caf&eacute; &amp; &lt;b&gt; &copy 2020", "café & <b> © 2020"),
        ("&notin; &notit; &ampx; &unknown; & &;", "∉ ¬it; &x; &unknown; & &;"),
        ("&#65;&#x42;&#x43 &#150;&#0;&#xD800;&#x110000;&#99999999999;", "ABC –\ufffd\ufffd\ufffd\ufffd"),
        ("a&nbsp;&nbsp;b&#160;c\u00a0d", "a b c d"),
        ("soft&shy;hyphen\u00ad zero\u200cwidth", "softhyphen zero\u200cwidth"),
        ("&#x1F600;&NotEqualTilde;", "😀≂̸"),
        ("bell\x07 nul\0", "bell nul"),
    ],
)
def test_character_references(html: str, expected: str) -> None:
    assert texts_of(f"<p>{html}") == [expected]


def test_ideographs_are_not_parted_by_a_line_of_source() -> None:
    assert texts_of("<p>中文\n  文字 日本\nkana\nかな</p>") == ["中文文字 日本 kana かな"]
    assert texts_of("<p>한국어\n문장</p>") == ["한국어 문장"]
    assert texts_of("<p>שלום\n<b>עולם</b></p>") == ["שלום עולם"]


def test_preformatted_text_is_kept_as_it_is() -> None:
    assert texts_of("<pre>\n  if x:\r\n\ty = <b>1</b> &lt; 2\n\n  end  \n</pre>") == ["  if x:\n\ty = 1 < 2\n\n  end"]
    assert texts_of("<pre>a<br>  b</pre>") == ["a\n  b"]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("let <math alttext='x^2 &lt; y'><mi>x</mi></math> be", "let $x^2 < y$ be"),
        ("so <math display=block alttext='a'><mi>a</mi></math>", "so $$a$$"),
        (
            "<math><semantics><mrow><mi>x</mi></mrow><annotation encoding='application/x-tex'>\\frac{1}{x}</annotation>"
            "</semantics></math> is",
            "$\\frac{1}{x}$ is",
        ),
        ("<math><mi>x</mi><mo>+</mo><mn>1</mn></math>", "x+1"),
        (f"let <span><math><semantics><mi>g</mi>{TEX}g^2</annotation></semantics></math></span> be", "let $g^2$ be"),
        (
            "a <math><mi>f</mi></math> and then <math alttext='g'><semantics><mi>g</mi>"
            f"{TEX}g</annotation></semantics></math> b",
            "a f and then $g$ b",
        ),
        (f"a <math><semantics><mi>g</mi>{TEX}g^2</math> b <i>c</i>", "a $g^2$ b c"),
        (f"<math><semantics><mi>x</mi><annotation encoding=StarMath>n</annotation>{TEX}t</annotation></math>", "$t$"),
        (f"<math><semantics><mi>x</mi>{TEX}t</annotation><annotation encoding=StarMath>n</annotation></math>", "$t$"),
        ("<math><semantics><mi>x</mi><annotation-xml><ci>x</ci></annotation-xml></semantics></math>", "x"),
        ('<script type="math/tex">x_1</script> and', "$x_1$ and"),
        ('<script type="math/tex; mode=display">x</script>', "$$x$$"),
        (
            "<span style='display: none'><math alttext='m'></math></span> hidden by its wrapper",
            "$m$ hidden by its wrapper",
        ),
        ("<span class='katex-html' aria-hidden=true>no</span>yes", "yes"),
        ("<img class='latex' alt='e^x'> grows", "$e^x$ grows"),
    ],
)
def test_formulas(html: str, expected: str) -> None:
    assert texts_of(f"<p>{html}</p>") == [expected]


def test_a_link_counts_from_its_tag_to_the_next() -> None:
    page = parse(b"<p>ab <a href=x>cde</a> f<p><a href=y>gh<p>ij</a>k<p>l<a>m</a>")
    assert page.blocks[:, b.LINK_BYTES].tolist() == [3, 2, 2, 0]


def test_a_block_is_counted() -> None:
    page = parse("<p>Two words, 3 numbers. 中文字字。".encode())
    assert page.blocks[0, [b.WORDS, b.COMMAS, b.DIGITS, b.CAPITALS, b.SENTENCES]].tolist() == [5, 1, 1, 1, 2]


def test_rows_and_cells_are_numbered() -> None:
    page = parse(b"<table><tr><td>a<td>b<tr><td>c</table>d")
    assert page.blocks[:, [b.ROW, b.CELL_NUMBER]].tolist() == [[1, 1], [1, 2], [2, 3], [0, 0]]


def test_blocks_of_an_element_are_a_range() -> None:
    page = parse(b"<div>a<ul><li>b<li>c</ul></div><p>d")
    ranges = page.elements[:, [b.FIRST, b.LAST]].tolist()
    assert ranges == [[0, 4], [0, 3], [1, 3], [1, 2], [2, 3], [3, 4]]
