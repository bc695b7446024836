"""How kept blocks become text."""

import numpy as np
import pytest

from corpusmill.dataproc.extraction.parsing import parse
from corpusmill.dataproc.extraction.rendering import render


def rendered(html: str) -> str:
    page = parse(html.encode())
    return render(page.out, page.blocks, np.ones(len(page.blocks), bool))


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h2>a</h2><p>b<p>c", "a\n\nb\n\nc"),
        ("<p>a<ul><li>b<ul><li>c</ul><li>d</ul>e", "a\n\n- b\n  - c\n- d\n\ne"),
        ("<ol><li>a<li>b</ol>", "1. a\n2. b"),
        ("<ul><li><p>a</p><p>b</p><li>c</ul>", "- a\n\nb\n- c"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table><p>c", "a | b\n1 | 2\n\nc"),
        ("<table><tr><td>1<td><td>3</table>", "1 | | 3"),
        ("<table><tr><td>1" + "<td>" * 40 + "<td>3</table>", "1" + " |" * 8 + " 3"),
        ("<ol start=5><li>a<li>b</ol>", "5. a\n6. b"),
        ("<ol start=x><li>a</ol>", "1. a"),
        ("<table><tr><td><p>a<p>b<td>c</table>", "a\nb\nc"),
        ("<blockquote><p>a</p></blockquote>b", "> a\n\nb"),
        ("<pre>a\n  b</pre><pre>c</pre>", "a\n  b\n\nc"),
        ("<pre><div>a</div><div>  b</div></pre>", "a\n  b"),
        ("", ""),
    ],
)
def test_forms(html: str, expected: str) -> None:
    assert rendered(html) == expected


def test_numbers_of_items_have_all_their_digits() -> None:
    assert rendered("<ol>" + "<li>x" * 101 + "</ol>").splitlines()[98:] == ["99. x", "100. x", "101. x"]
