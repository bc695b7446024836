"""The report in a browser, from a file: it fits a phone, sorts by keyboard, prints all, and nothing else acts in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from corpusmill.pipelines.inspect.places import run_stages
from corpusmill.pipelines.report import write_report
from tests.pipelines.small_run import HOSTILE, add_model, add_shards, make_run
from tests.pipelines.window.browser import CHROMIUM, FLAGS, is_wider_than_screen, needs_browser, opened, violations

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
pytestmark = needs_browser

TORN = """() => [...document.querySelectorAll("main th, main td, main h2, main h3, summary")].filter((cell) => {
  const words = cell.innerText.trim().split(/\\s+/).map((word) => word.length);
  const box = cell.getBoundingClientRect();
  return box.width > 0 && Math.max(...words) > 3 && !cell.closest(".long") && box.width < 22;
}).map((cell) => cell.innerText)"""
"""Cells that are too narrow for a word of theirs, so that it breaks into letters."""

ASTRAY = """() => [...document.querySelectorAll("main tr")].filter((row) => {
  const outer = row.getBoundingClientRect();
  return [...row.cells].some((cell) => {
    const box = cell.getBoundingClientRect();
    return box.top < outer.top - 2 || box.bottom > outer.bottom + 2;
  });
}).map((row) => row.innerText)"""
"""Rows with a cell that stands beside another row."""


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = make_run(tmp_path_factory.mktemp("report"))
    add_shards(run)
    add_model(run)
    return Path(write_report(str(run), "small", run_stages(str(run)), core_hour_price=0.04)).as_uri()


@pytest.fixture
def page(link: str) -> Iterator[Any]:
    with opened(link) as page:
        yield page


@contextmanager
def started() -> Iterator[Any]:
    """A browser that is not held to what `opened` holds pages to."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_it_is_accessible_and_fits_with_all_that_is_folded_open(link: str, width: int, dark: bool) -> None:
    with opened(link, width=width, dark=dark) as page:
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true })")
        assert not violations(page)
        assert not is_wider_than_screen(page)
        assert page.evaluate(TORN) == []
        assert page.evaluate(ASTRAY) == []


def test_a_table_is_sorted_by_keyboard_by_numbers_and_back(page: Any) -> None:
    def shown() -> list[int]:
        texts = page.locator("#cost ~ .scroll table").first.locator("tbody td:nth-child(2)").all()
        return [float(cell.get_attribute("data-v")) for cell in texts]

    before = shown()
    head = page.locator("#cost ~ .scroll table").first.locator("thead th:nth-child(2)")
    head.locator("button").focus()
    for said, order in (("descending", sorted(before, reverse=True)), ("ascending", sorted(before)), (None, before)):
        page.keyboard.press("Enter")
        assert shown() == order
        assert head.get_attribute("aria-sort") == said


def test_all_is_there_with_scripts_off(link: str) -> None:
    with started() as browser:
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(link)
        assert page.locator("button").count() == 0
        assert page.locator("h2").count() >= 6 and page.locator("svg.chart").count() == 4
        assert "documents in" in page.locator("main").inner_text()


def test_what_is_folded_is_opened_for_print_and_folded_again(page: Any) -> None:
    folded = "document.querySelectorAll('main details:not([open])').length"
    before = page.evaluate(folded)
    assert before > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(folded) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(folded) == before
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".tabs").is_visible()


def test_a_hostile_document_is_text_with_a_direction_of_its_own(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true })")
    text = page.locator("details .text").first
    assert text.inner_text().startswith("<script>alert('{{ 7 * 7 }}')</script>")
    assert text.get_attribute("dir") == "auto"
    assert not {"\x1b", "\x07", "\u202e"} & set(page.locator("main").inner_text()) and "\u202e" in HOSTILE


ATTACKS = [
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<style>main { display: none }</style>",
    "<p style='position: fixed; inset: 0'>over all</p>",
]


def test_even_markup_that_got_into_the_page_does_not_act(link: str, tmp_path: Path) -> None:
    """The policy is a second wall: here the first one, escaping, is taken down."""
    text = Path(link.removeprefix("file://")).read_text()
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("</main>", f"{''.join(ATTACKS)}</main>"))
    with started() as browser:
        page = browser.new_page()
        page.goto(changed.as_uri())
        assert page.title() == "small · corpusmill"
        assert page.locator("main").is_visible()
        over = page.locator("text=over all")
        assert over.evaluate("(part) => getComputedStyle(part).position") == "static"
