"""Comments against Python's tokenizer and written examples; visible text of HTML against Python's HTML parser."""

import ast
import io
import pathlib
import re
import sysconfig
import tokenize
from html.parser import HTMLParser

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.language import LANGUAGE_OF_EXTENSION, LANGUAGE_OF_NAME
from corpusmill.dataproc.measures.code_text import COMMENTED_LANGUAGES
from corpusmill.dataproc.measures.code_text.measure import CodeText
from corpusmill.dataproc.measures.code_text.syntax import LONGEST_MARK, SYNTAX


def measured(texts: list[str], languages: list[str | None]) -> list[dict]:
    batch = pa.RecordBatch.from_pydict(
        {"text": pa.array(texts, pa.large_string()), "language": pa.array(languages, pa.string())}
    )
    return CodeText().measure(batch).to_pylist()


def comments(text: str, language: str) -> int:
    return round(measured([text], [language])[0]["comment_fraction"] * len(text))


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "x = 1  # one\ny = '#'\n", ["# one"]),
        ("python", 'def f():\n    """Says é."""\n    return """no # comment"""\n', ['"""Says é."""']),
        ("python", "s = 'it\\'s # not'  # but this\n", ["# but this"]),
        ("c", 'int x; // one\nchar *s = "/* no */"; /* two\n lines */ int y;', ["// one", "/* two\n lines */"]),
        ("c", "char quote = '\"'; // yes", ["// yes"]),
        ("javascript", "let s = `a // no\n// no`; // yes", ["// yes"]),
        ("rust", "fn f<'a>(x: &'a str) -> char { '\"' } /* a /* b */ c */ // d", ["/* a /* b */ c */", "// d"]),
        ("haskell", "f' x = x -- one\n{- two {- in -} -}", ["-- one", "{- two {- in -} -}"]),
        ("shell", "echo $# ${x#y} '# no\n# no' # yes", ["# yes"]),
        ("yaml", "a: b#c # yes\n", ["# yes"]),
        ("lua", "x = 1 --[[ one\ntwo ]] y = 2 -- three", ["--[[ one\ntwo ]]", "-- three"]),
        ("sql", "select '--' -- it's\nfrom t", ["-- it's"]),
        ("ocaml", "let c = '\"' (* a (* b *) *) in x'", ["(* a (* b *) *)"]),
        ("html", "<p>a</p><!-- b -->", ["<!-- b -->"]),
        ("go", "s := `// no`\n// yes\n/* open", ["// yes", "/* open"]),
        ("ruby", 'x = "#{y}" # yes\n=begin\nall\n=end\nz', ["# yes", "=begin\nall\n=end"]),
        ("text", "# none // none", []),
    ],
)
def test_comments_of_languages(language, code, expected):
    assert comments(code, language) == sum(map(len, expected))


def by_python(source: str) -> int:
    """Characters in comments and in docstrings and other strings in three quotes that are statements."""
    total = sum(
        len(token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    )
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            segment = ast.get_source_segment(source, node.value) or ""
            first = lines[node.lineno - 1].encode()[: node.col_offset].strip()
            total += len(segment) if re.match(r"(\"\"\"|''')", segment) and not first else 0
    return total


def test_comments_of_pythons_own_sources_are_those_of_its_tokenizer():
    folder = pathlib.Path(sysconfig.get_paths()["stdlib"])
    sources = {name: (folder / name).read_text() for name in ("abc.py", "heapq.py", "textwrap.py", "json/decoder.py")}
    for name, source in sources.items():
        assert comments(source, "python") == by_python(source), name


class Seen(HTMLParser):
    """The visible text as html.parser sees it; entities are one sign."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.text, self.hidden = "", 0

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style") and self.hidden > 0

    def handle_data(self, data):
        self.text += "" if self.hidden else data

    def handle_entityref(self, name):
        self.text += "" if self.hidden else "&"

    handle_charref = handle_entityref


PARTS = [
    "<p>", "</p>", "<br/>", "<a href='x>y'>", "</a>", "word ", "  two\n\n lines ", "&amp;", "&#233;", "é", "日本",
    "<!-- <b>hidden</b> -->", "<script>var a = '<p>';</script>", "<STYLE type=x>p {}</STYLE>", " & ", " < ",
    "<!DOCTYPE html>",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_visible_text_is_that_of_pythons_parser(html):
    parser = Seen()
    parser.feed(html)
    parser.close()
    expected = len(" ".join(parser.text.split()))
    row = measured([html], ["html"])[0]
    assert row["html_visible_character_count"] == expected
    assert row["html_visible_fraction"] == (expected / len(html) if html else 0)


def test_whatever_is_not_closed_runs_to_the_end():
    rows = measured(["<p>a<script>b", "a<!-- b", "a <b", "<style>p{}</style"], ["html"] * 4)
    assert [row["html_visible_character_count"] for row in rows] == [1, 1, 1, 0]


def test_a_row_depends_on_its_own_text_and_language_alone():
    texts = ["# a\nx", "<p>b</p>", "// c", "# d"]
    languages = ["python", "html", "c", None]
    alone = [measured([text], [language])[0] for text, language in zip(texts, languages, strict=True)]
    assert measured(texts, languages) == alone
    assert measured([], []) == []


def test_the_table_of_languages_is_ours():
    known = {*LANGUAGE_OF_EXTENSION.values(), *LANGUAGE_OF_NAME.values(), "xslt"}
    assert set(SYNTAX) <= known
    assert set(COMMENTED_LANGUAGES) < set(SYNTAX)
    for syntax in SYNTAX.values():
        marks = [*syntax.line, *(mark for pair in syntax.blocks for mark in pair)]
        assert marks
        assert all(mark.isascii() and len(mark) <= LONGEST_MARK for mark in marks)
