"""What comes out of whole pages: content and its form, by pages of our own writing."""

import json
import random
from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.extraction.extractor import extract
from corpusmill.dataproc.extraction.states import MOST_BLOCKS
from corpusmill.dataproc.readers.archives.html import read_html
from corpusmill.dataproc.readers.archives.markup_shape import MOST_TAGS
from corpusmill.dataproc.readers.archives.pages import Unreadable, content_of_html
from corpusmill.dataproc.readers.pieces import Fields, Piece
from corpusmill.pipelines.stages.ingest.plan import IngestStage
from corpusmill.pipelines.stages.ingest.settings import IngestSettings

SENTENCES = (
    "The river had been rising since the morning, and nobody in the town believed the forecast any more.",
    "When the first cellars filled, the mayor ordered the schools closed, and the fire brigade brought sandbags.",
    "By nightfall the water stood at four metres, which is the highest level since records began in 1899.",
    "Most people stayed with friends on the hill; others slept in the sports hall, where the Red Cross served soup.",
)
MENU = "<nav><ul>" + "".join(f"<li><a href='/{n}'>Section {n}</a></li>" for n in range(12)) + "</ul></nav>"
FOOTER = "<footer><p><a href=/i>Imprint</a> | <a href=/p>Privacy</a></p><p>© 2024 The Daily Example</p></footer>"
COMMENTS = (
    "<section id=comments class='comment-list'><h3>2 comments</h3>"
    "<div class=comment><p>My grandmother remembered the flood of 1954, and she always said it would return.</p></div>"
    "<div class=comment><p>Thanks to everybody who carried sandbags all night long!</p><a href=#>Reply</a></div>"
    "</section>"
)


def article(body: str, *, comments: str = "") -> str:
    return (
        f"<html lang=en><head><title>Flood</title></head><body><header><a href=/>The Daily Example</a></header>{MENU}"
        f"<main><article class=post><h1>The night of the flood</h1>{body}</article>{comments}</main>"
        f"{FOOTER}</body></html>"
    )


def paragraphs(*sentences: str) -> str:
    return "".join(f"<p>{sentence}</p>\n" for sentence in sentences)


def test_an_article_comes_without_its_frame() -> None:
    text = extract(article(paragraphs(*SENTENCES, *SENTENCES))).text
    for sentence in SENTENCES:
        assert text.count(sentence) == 2
    for other in ("Section 3", "Privacy", "©"):
        assert other not in text


def test_comments_come_by_setting() -> None:
    html = article(paragraphs(*SENTENCES, *SENTENCES), comments=COMMENTS)
    assert "grandmother" not in extract(html).text
    kept = extract(html, comments=True).text
    assert "grandmother" in kept and "sandbags all night" in kept and "Reply" not in kept


def test_forms_are_kept() -> None:
    body = (
        paragraphs(*SENTENCES)
        + "<h2>What was measured on the way to the sea</h2>"
        + "<ol><li>The level at the old bridge, every hour of the night.</li>"
        + "<li>The rain on the hills, which had not stopped for three days.</li></ol>"
        + paragraphs(*SENTENCES)
        + "<pre>def level(hours):\n    return 4.1 - 0.2 * hours\n</pre>"
        + paragraphs(*SENTENCES)
    )
    text = extract(article(body)).text
    assert "1. The level at the old bridge, every hour of the night.\n2. The rain on the hills" in text
    assert "\n\ndef level(hours):\n    return 4.1 - 0.2 * hours\n\n" in text


def test_a_page_without_text_gives_none() -> None:
    for html in ("", "<html></html>", "<script>1</script>", "<p> </p>"):
        assert extract(html).text == ""


def test_a_page_that_hides_all_until_a_script_shows_it_is_read() -> None:
    html = article(paragraphs(*SENTENCES, *SENTENCES)).replace("<body>", "<body><div style='display:none'>")
    assert SENTENCES[0] in extract(html).text


def test_the_same_page_gives_the_same_text_whatever_came_before() -> None:
    pages = [article(paragraphs(*random.Random(number).sample(SENTENCES, 4))) for number in range(6)]
    first = [extract(page) for page in pages]
    assert [extract(page) for page in reversed(pages)] == first[::-1]


@pytest.mark.parametrize("text", ["שלום עולם וברכה", "السلام عليكم", "می‌خواهم"])
def test_right_to_left_text_keeps_its_order_and_joiners(text: str) -> None:
    assert text in extract(article(paragraphs(*[f"{text} {sentence}" for sentence in SENTENCES]))).text


def test_archives_and_pages_carry_what_a_page_says_of_itself(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        article(paragraphs(*SENTENCES, *SENTENCES)).replace(
            "</head>",
            "<link rel=canonical href=https://example.org/flood><meta name=author content='A. B.'>"
            "<meta property=article:published_time content=2024-03-05></head>",
        )
    )
    piece = Piece(path=str(tmp_path / "page.html"), name="page.html", format="html", bytes=1)
    reports: list[object] = []
    fields = Fields(source="s", extractor="corpusmill")
    batches = read_html([piece], fields, lambda *report: reports.append(report))
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert not reports
    assert rows[0]["url"] == "https://example.org/flood"
    assert json.loads(rows[0]["meta"]) == {
        "author": "A. B.",
        "canonical_url": "https://example.org/flood",
        "charset": "utf-8",
        "html_lang": "en",
        "published": "2024-03-05",
        "title": "Flood",
    }


def test_the_stage_compiles_our_kernels_if_they_are_asked_for() -> None:
    def stage(**settings: object) -> IngestStage:
        return IngestStage(IngestSettings(inputs=("x",), source="s", **settings))  # type: ignore[arg-type]

    assert stage().kernels == ()
    assert len(stage(extractor="corpusmill").kernels) == 1
    stage(extractor="corpusmill", comments=True).check()
    with pytest.raises(UserError, match="cannot keep readers' comments"):
        stage(comments=True).check()


def test_what_scripts_reveal_is_content_where_all_else_is_a_notice() -> None:
    notice = "<div class=cookie-bar><p>We use cookies to improve this site.</p><button>OK</button></div>"
    page = f"<html><body>{notice}<div id=app style='display:none'><article>{paragraphs(*SENTENCES * 3)}</article></div>"
    assert SENTENCES[1] in extract(page).text


def test_a_page_of_more_blocks_than_are_kept_loses_no_end() -> None:
    rows = "".join(f"<tr><td>name {n}<td>{n}<td>{n * n}" for n in range(MOST_BLOCKS // 3 + 2000))
    page = article(f"{paragraphs(*SENTENCES)}<table>{rows}</table>{paragraphs('The end of it all.')}")
    text = extract(page).text
    assert f"name {MOST_BLOCKS // 3 + 1999}" in text and "The end of it all." in text


def test_a_page_of_too_many_tags_is_refused_and_a_failure_is_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreadable, match="more than 6,000,000 tags"):
        content_of_html("<p>x" * (MOST_TAGS + 1), "corpusmill")
    monkeypatch.setattr("corpusmill.dataproc.extraction.extractor.look_at", lambda page: [][0])
    with pytest.raises(Unreadable, match="no text could be taken out: IndexError"):
        content_of_html("<p>x", "corpusmill")
