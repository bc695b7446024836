"""From names to a plan: rules in order, overrides, measures and rewriters; every mistake is named before a run."""

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.rules import PRESETS, custom_rules, resolve_filter, resolve_rules


def test_rules_are_resolved_in_order_and_once():
    rules = resolve_rules(["code", "gopher-quality/words", "gopher-quality"])
    code = PRESETS["code"].rules
    assert rules[: len(code)] == code
    assert rules[len(code)].name == "gopher-quality/words"
    assert len(rules) == len(code) + len(PRESETS["gopher-quality"].rules)


def test_overrides():
    names = ["gopher-quality/words", "gopher-quality/stop-words"]
    words, stop_words = resolve_rules(names, {"gopher-quality/words.minimum": 10, "gopher-quality/stop-words": 1})
    assert (words.minimum, words.maximum, stop_words.minimum) == (10.0, 100_000.0, 1.0)
    assert PRESETS["gopher-quality"].rules[0].minimum == 50.0


@pytest.mark.parametrize(
    ("names", "overrides", "message"),
    [
        (["gopher-qualty"], {}, "unknown rule or preset 'gopher-qualty'; did you mean 'gopher-quality'?"),
        (["gopher-quality/word"], {}, "did you mean 'gopher-quality/words'?"),
        (["zzzz"], {}, "known are gopher-quality, "),
        (["code"], {"code/longest-lines": 5}, "did you mean 'code/longest-line'?"),
        (["code"], {"gopher-quality/words.minimum": 5}, "not one of the rules"),
        (["gopher-quality"], {"gopher-quality/words": 5}, "two thresholds"),
        (["gopher-quality"], {"gopher-quality/words.minimum": 1e9}, "above maximum"),
        (["code"], {"code/longest-line": float("nan")}, "must be a number"),
        (["code"], {"code/longest-line": "5"}, "must be a number"),
        (["madlad-dolma3"], {"madlad-dolma3/questionable": 0.3}, "an expression has no threshold"),
    ],
)
def test_mistakes_are_named(names, overrides, message):
    with pytest.raises(UserError) as caught:
        resolve_rules(names, overrides)
    assert message in str(caught.value)


def test_a_preset_brings_its_rewriters_and_a_rule_of_it_only_measures():
    whole = resolve_filter(["c4"])
    assert (whole.measures, whole.rewriters) == ((), ("c4-lines",))
    single = resolve_filter(["c4/sentences"])
    assert (single.measures, single.rewriters) == (("c4-lines",), ())
    plan = resolve_filter(["gopher-quality", "starcoder", "c4"], rewrite=["citations", "c4-lines"])
    assert (plan.measures, plan.rewriters) == (("code",), ("c4-lines", "citations"))


def test_an_expression_asks_for_measures_like_any_rule():
    custom = [{"name": "seen", "expression": "html_visible_fraction > 0.2 or kind != 'code'"}]
    assert resolve_filter([], None, custom).measures == ("code",)


def test_a_column_that_nobody_gives_yet_says_what_to_give():
    with pytest.raises(UserError, match=r"rule url/domain: nothing computes 'url_domain_count' yet; .*url_lists"):
        resolve_filter(["url"])
    assert resolve_filter(["url"], configured={"url": {}}).measures == ("url",)
    custom = [{"name": "sure", "statistic": "language_score", "minimum": 0.8}]
    with pytest.raises(UserError, match="language_model"):
        resolve_filter([], None, custom)
    assert resolve_filter([], None, custom, configured={"language": {}}).measures == ()


def test_numbers_that_documents_bring_are_columns_too():
    custom = [{"name": "good", "expression": "quality_score > 0.5"}]
    with pytest.raises(UserError, match="unknown column 'quality_score'"):
        resolve_filter([], None, custom)
    plan = resolve_filter([], None, custom, columns=["quality_score"])
    assert (plan.rules[0].expression, plan.measures) == ("quality_score > 0.5", ())
    with pytest.raises(UserError, match="the filter itself adds 'word_count'"):
        resolve_filter([], columns=["word_count"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rewrite": ["c4-line"]}, "unknown rewriter 'c4-line'; did you mean 'c4-lines'?"),
        ({"rewrite": ["url"]}, "unknown rewriter 'url'"),
        ({"configured": {"c5-lines": {}}}, "did you mean 'c4-lines'?"),
    ],
)
def test_unknown_rewriters_are_named(arguments, message):
    with pytest.raises(UserError) as caught:
        resolve_filter([], **arguments)
    assert message in str(caught.value)


def test_custom_rules():
    settings = {"name": "long", "statistic": "word_count", "minimum": 300, "maximum": None, "kinds": None}
    (rule,) = custom_rules([settings])
    assert (rule.name, rule.statistic, rule.minimum, rule.maximum, rule.source) == (
        "long", "word_count", 300.0, None, "a setting",
    )  # fmt: skip
    assert resolve_rules(["code"], None, [settings])[-1].name == "long"
    assert custom_rules([{"name": "s", "statistic": "score", "minimum": 0}], {"score"})[0].minimum == 0.0
    expression = {"name": "e", "expression": "word_count > 3", "languages": ["en"], "not_kinds": ["code"]}
    assert custom_rules([expression])[0].languages == ("en",)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"name": "x", "statistic": "word_cuont", "minimum": 1}, "did you mean 'word_count'?"),
        ({"name": "x", "statistic": "word_count"}, "no threshold"),
        ({"name": "x", "statistic": "word_count", "min": 1}, "did you mean 'minimum'?"),
        ({"statistic": "word_count", "minimum": 1}, "'name' is missing"),
        ({"name": "x", "minimum": 1}, "'statistic' is missing"),
        ({"name": "x", "statistic": "word_count", "minimum": True}, "must be a number"),
        ({"name": "x", "statistic": "word_count", "minimum": 2, "maximum": 1}, "above maximum"),
        ({"name": "x", "statistic": "word_count", "minimum": 1, "kinds": "code"}, "must be a list"),
        ({"name": "x", "statistic": "word_count", "minimum": 1, "languages": [1]}, "languages must be a list"),
        ({"name": "x", "statistic": "word_count", "minimum": 1, "spaced": "no"}, "true or false"),
        ({"name": "x", "expression": "word_cuont > 1"}, "rule x: expression 'word_cuont > 1': unknown column"),
        ({"name": "x", "expression": "word_count > 1", "minimum": 1}, "with an expression"),
        ({"name": "x", "expression": 5}, "an expression must be a string"),
        ({"name": "language", "statistic": "word_count", "minimum": 1}, "not allowed for a rule"),
        ({"name": "a,b", "statistic": "word_count", "minimum": 1}, "not allowed for a rule"),
    ],
)
def test_mistakes_in_custom_rules_are_named(setting, message):
    with pytest.raises(UserError) as caught:
        custom_rules([setting])
    assert message in str(caught.value)


def test_a_custom_rule_needs_a_name_of_its_own():
    setting = {"name": "code/longest-line", "statistic": "word_count", "minimum": 1}
    with pytest.raises(UserError, match="two rules"):
        custom_rules([setting, setting])
    with pytest.raises(UserError, match="rename"):
        resolve_rules(["code"], None, [setting])
