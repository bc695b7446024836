"""The slider of a rule: who would come back, against the documents themselves."""

import json
import random
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import yaml

from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.running import run_recipe
from tests.pipelines.small_run import prose
from tests.pipelines.window.browser import needs_browser, opened, violations
from tests.pipelines.window.server import Window, served

RULE, EXPRESSION = "words", "no-rivers"
PAGE = "/at/run/stage/clean/rejected"


def words_of(number: int) -> int:
    return 11 + 2 * number


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """Twenty documents of 11, 13, … words, of which a rule asks for 50, and one whose text an expression rejects."""
    folder = tmp_path_factory.mktemp("thresholds")
    draw = random.Random(3)
    texts = {f"short-{number}": draw.sample(prose(number).split(), words_of(number)) for number in range(20)}
    rows = [{"id": name, "text": " ".join(words)} for name, words in texts.items()]
    rows += [{"id": f"good-{number}", "text": prose(100 + number)} for number in range(3)]
    (folder / "raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules = [
        {"name": RULE, "statistic": "word_count", "minimum": 50},
        {"name": EXPRESSION, "expression": "word_count != 150"},
    ]
    stages = {
        "documents": {"stage": "ingest", "inputs": [str(folder / "raw.jsonl")], "source": "tests"},
        "clean": {"stage": "filter", "datasets": ["documents"], "rules": [], "custom_rules": rules},
    }
    recipe = {"name": "thresholds", "output": str(folder / "run"), "stages": stages}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    assert run_recipe(load_recipe(str(folder / "recipe.yaml")), RunOptions(engine="local", workers=1)) == 0
    with served([str(folder / "run")]) as window:
        window.enter()
        yield window


def rule_named(window: Window, name: str) -> str:
    lines = window.get(f"{PAGE}?format=json").text.splitlines()
    (rule,) = [row["rule"] for row in map(json.loads, lines) if row["rule"].endswith(name)]
    return quote(rule)


@pytest.mark.parametrize(("threshold", "back"), [(50, 0), (49, 1), (48.5, 1), (30, 10), (11, 20), (0, 20), (99, 0)])
def test_who_comes_back_is_who_has_so_many_words(window: Window, threshold: float, back: int) -> None:
    address = f"{PAGE}?rule={rule_named(window, RULE)}&threshold={threshold}"
    assert f"<b>{back}</b>" in window.get(address).text
    rows = [json.loads(line) for line in window.get(address + "&format=json").text.splitlines()]
    expected = [f"short-{number}" for number in range(20) if words_of(number) >= max(threshold, 11)]
    assert sorted(row["id"] for row in rows) == sorted(expected)
    assert all(len(row["text"].split()) == row["value"] for row in rows)


def test_a_rule_without_a_threshold_has_no_slider(window: Window) -> None:
    text = window.get(f"{PAGE}?rule={rule_named(window, EXPRESSION)}").text
    assert "no single threshold" in text and 'type="range"' not in text


@needs_browser
def test_the_slider_answers_while_it_is_moved(window: Window) -> None:
    with opened(window.link) as page:
        page.goto(f"{window.origin}{PAGE}?rule={rule_named(window, RULE)}")
        assert page.locator("[aria-live] b").inner_text() == "0"
        page.locator("#threshold").fill("30.11")
        page.locator("[aria-live] b", has_text="10").wait_for()
        assert page.locator("article").count() == 10 and "threshold=30" in page.url
        assert not violations(page)
