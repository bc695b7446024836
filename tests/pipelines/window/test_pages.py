"""Every page in a browser: it fits the screen, breaks no rule of WCAG, and shows hostile documents as text."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from tests.pipelines.small_run import HOSTILE
from tests.pipelines.window.all_kinds import all_kinds
from tests.pipelines.window.browser import is_wider_than_screen, needs_browser, opened, violations
from tests.pipelines.window.server import Window, served

STAGE = "/at/run/stage"
SQL = "SELECT rule, count(*) AS broken FROM ledger GROUP BY rule ORDER BY rule"
ADDRESSES = [
    "/",
    "/at/run",
    f"{STAGE}/clean",
    f"{STAGE}/clean/documents",
    f"{STAGE}/clean/documents?contains=the&seed=1",
    f"{STAGE}/clean/documents?rule=words",
    f"{STAGE}/clean/documents?contains=stands-nowhere",
    f"{STAGE}/clean/rejected",
    f"{STAGE}/clean/rejected?rule=gopher-quality/words",
    f"{STAGE}/clean/statistics",
    f"{STAGE}/clean/statistics?column=mean_word_length",
    f"{STAGE}/unique/duplicates",
    f"{STAGE}/shards/sequences",
    f"{STAGE}/shards/sequences?document=good-1",
    f"{STAGE}/shards/shards",
    f"{STAGE}/model/training",
    f"{STAGE}/model/step?step=2",
    f"{STAGE}/model/charts",
    "/at/tokenizer/stage/tokenizer/tokenizer?on=run/clean&holds=a",
    "/at/index/stage/index/search?text=the&passage=" + quote("One more line."),
    "/compare",
    "/compare?a=run/clean&b=run/unique",
    "/compare?a=run&b=run",
    "/at/run/document",
    "/at/run/document?id=near",
    "/at/run/document?id=" + quote("hostile<b>"),
    "/at/run/sql",
    "/at/run/sql?statement=" + quote(SQL),
    "/at/run/sql?statement=DROP",
    f"{STAGE}/clean/documents?where=nonsense",
    "/none",
]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with served(all_kinds(tmp_path_factory.mktemp("kinds"))) as window:
        window.enter()
        yield window


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_every_page_is_accessible_and_fits(window: Window, width: int, dark: bool) -> None:
    with opened(window.link, width=width, dark=dark) as page:
        for address in ADDRESSES:
            page.goto(window.origin + address)
            assert page.locator("h1").count() == 1, address
            assert not violations(page), address
            assert not is_wider_than_screen(page), address


@needs_browser
def test_a_hostile_document_is_text(window: Window) -> None:
    with opened(window.link) as page:
        for address in (f"{STAGE}/documents/documents", "/at/run/document?id=" + quote("hostile<b>")):
            page.goto(window.origin + address)
            assert page.locator("main script").count() == 0
        page.goto(f"{window.origin}{STAGE}/documents/documents?contains={quote('<script>')}")
        text = page.locator(".text").inner_text()
    assert text.startswith("<script>alert('{{ 7 * 7 }}')</script>")
    assert not {"\x1b", "\x07", "\u202e"} & set(text) and {"\x1b", "\x07", "\u202e"} <= set(HOSTILE)


@needs_browser
def test_the_slider_says_at_once_who_would_come_back(window: Window) -> None:
    with opened(window.link) as page:
        page.goto(f"{window.origin}{STAGE}/clean/rejected")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**rejected?rule=*")
        assert "would come back" in page.locator("[aria-live]").inner_text()


@needs_browser
def test_keys_alone_lead_from_the_run_to_a_document_and_back(window: Window) -> None:
    with opened(window.link) as page:
        page.keyboard.press("?")
        assert page.locator("#keys").is_visible()
        page.keyboard.press("Escape")
        page.locator("#keys").wait_for(state="hidden")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/at/run")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/stage/documents")
        page.goto(f"{window.origin}{STAGE}/unique/duplicates")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/document?id=*")
        page.keyboard.press("/")
        page.keyboard.type("x")
        assert page.locator("input[name=id]").input_value() == "x"
        page.keyboard.press("Escape")
        page.keyboard.press("u")
        page.wait_for_url("**/at/run")


def test_a_duplicate_stands_beside_its_survivor(window: Window) -> None:
    statement = "SELECT id FROM duplicates WHERE method <> 'exact'"
    (line,) = window.get(f"/at/run/sql?format=json&statement={quote(statement)}").text.splitlines()
    text = window.get(f"/at/run/document?id={quote(json.loads(line)['id'])}").text
    assert ("<del>" in text or "<ins>" in text) and "One more line" in text and "corpusmill inspect why" in text


def test_documents_come_back_by_one_rule_alone(window: Window) -> None:
    """The page of a rule against SQL over the same tables."""
    page = window.get(f"{STAGE}/clean/rejected?format=json").text
    rules = {row["rule"]: row for row in map(json.loads, page.splitlines())}
    statement = "SELECT broken_rules AS rule, count(*) AS alone FROM rejected GROUP BY 1"
    answer = window.get(f"/at/run/sql?format=json&statement={quote(statement)}").text
    alone = {row["rule"]: row["alone"] for row in map(json.loads, answer.splitlines())}
    assert rules and {rule: row["alone"] for rule, row in rules.items()} == {rule: alone.get(rule, 0) for rule in rules}


def test_a_table_can_be_taken_along(window: Window, tmp_path: Path) -> None:
    address = f"{STAGE}/clean/documents?format="
    rows = [json.loads(line) for line in window.get(address + "json").text.splitlines()]
    table = list(csv.DictReader(io.StringIO(window.get(address + "csv").text)))
    assert [row["id"] for row in rows] == [row["id"] for row in table] and len(rows) > 3
    answer = window.get(f"/at/run/sql?format=csv&statement={quote(chr(39).join(['SELECT ', '=1+1', ' AS x']))}")
    assert answer.text.splitlines() == ["x", "'=1+1"], "no spreadsheet takes it for a formula"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert window.get(address + "exe").status == 400


def test_parquet_is_read_by_others(window: Window, tmp_path: Path) -> None:
    import urllib.request

    jar = window.get(f"{STAGE}/clean/documents")
    assert jar.status == 200
    request = urllib.request.Request(f"{window.origin}{STAGE}/clean/documents?format=parquet")
    with window._opener.open(request) as answer:
        (tmp_path / "x.parquet").write_bytes(answer.read())
    assert pq.read_table(tmp_path / "x.parquet").column_names[0] == "id"


@pytest.mark.parametrize(
    "statement", ["DROP TABLE ledger", "SELECT * FROM '/etc/passwd'", "SELECT 1; SELECT 2", "COPY ledger TO 'x'"]
)
def test_sql_reads_tables_and_nothing_else(window: Window, statement: str) -> None:
    answer = window.get(f"/at/run/sql?statement={quote(statement)}")
    assert answer.status == 200 and 'role="alert"' in answer.text and "root:" not in answer.text


@pytest.mark.parametrize(
    "address", [f"{STAGE}/clean/documents?start=-1", f"{STAGE}/clean/documents?where=((", "/at/run/document?id=none"]
)
def test_what_cannot_be_is_an_error_that_says_so(window: Window, address: str) -> None:
    answer = window.get(address)
    assert answer.status == 400 and "Traceback" not in answer.text and "<h1>" in answer.text
