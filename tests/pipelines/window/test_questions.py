"""The eight questions of a newcomer, each answered on the second page from the run's own: two clicks, or a click and a
form, counted by following links that the pages show."""

from collections.abc import Iterator

import pytest

from tests.pipelines.small_run import prose
from tests.pipelines.window.all_kinds import all_kinds
from tests.pipelines.window.browser import needs_browser, opened
from tests.pipelines.window.server import Window, served

pytestmark = [pytest.mark.slow, needs_browser]
STAGE = "/at/run/stage"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    with served(all_kinds(tmp_path_factory.mktemp("kinds"))) as window:
        window.enter()
        yield window


QUESTIONS = [
    ("why was this document dropped?", "/at/run", [("Document by id", {"id": "hostile<b>"})], "rejected by clean"),
    ("which near duplicates were merged?", f"{STAGE}/unique", [("Duplicates", {}), ("good-1", {})], "One more line"),
    ("how is Chinese cut?", "/at/tokenizer", [("Tokenizer", {"text": "我们"})], "\\xe6"),
    ("what is in the batch of a step?", f"{STAGE}/model", [("A step's batch", {"step": "2"})], "good-"),
    ("what share of tokens is code?", "/at/run", [("shards pack", {})], "tokens"),
    ("where does this sentence come from?", "/at/index", [("Search", {"passage": prose(2).splitlines()[0]})], "good-2"),
    ("what changed since the last run?", "/at/run", [("Compare", {"a": "run/documents", "b": "run/clean"})], "differ"),
    (
        "what would a lower threshold bring back?",
        f"{STAGE}/clean",
        [("Rejected", {}), ("gopher-quality/words", {})],
        "would come back",
    ),
]


@pytest.mark.parametrize(("question", "start", "clicks", "answer"), QUESTIONS)
def test_two_clicks_answer(
    window: Window, question: str, start: str, clicks: list[tuple[str, dict[str, str]]], answer: str
) -> None:
    count = 0
    with opened(window.link) as page:
        page.goto(window.origin + start)
        for label, form in clicks:
            page.get_by_role("link", name=label).first.click()
            page.wait_for_load_state()
            count += 1
            if form:
                for name, value in form.items():
                    field = page.locator(f"main [name={name}]")
                    if field.evaluate("field => field.tagName") == "SELECT":
                        field.select_option(value)
                    else:
                        field.fill(value)
                field.locator("xpath=ancestor::form").locator("button").click()
                page.wait_for_load_state()
                count += 1
        assert answer in page.locator("main").inner_text(), question
    assert count <= 2, question
