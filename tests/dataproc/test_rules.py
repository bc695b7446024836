"""Rules: presets that hold together, names and overrides that are checked, decisions against a loop in plain Python."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataproc.errors import UserError
from dataproc.rules import PRESETS, Rule, custom_rules, decide, resolve_rules, rule_from_dict, rule_to_dict
from dataproc.statistics import STATISTICS, measure

GOOD_PROSE = (
    "The history of the town begins with a bridge that was built by the monks of the abbey in the year of the flood.\n"
    "Merchants came to it from both sides of the valley, and some of them stayed to open inns for those who followed.\n"
    "After a hundred years there were walls, four gates, a market and a quarrel about who was to pay for all of it.\n"
    "Nobody remembers how it ended. The bridge is still there, and so is the market, on every Thursday but the last.\n"
)
GOOD_CODE = 'def greet(name):\n    """Says hello."""\n    return f"Hello, {name}!"\n'


def judge(texts: list[str], kinds: list[str], names: list[str]):
    return decide(measure(pa.array(texts)), pa.array(kinds), resolve_rules(names))


def table(**columns: list[float | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def test_presets_hold_together():
    rules = [rule for preset in PRESETS.values() for rule in preset]
    assert len({rule.name for rule in rules}) == len(rules)
    for preset, members in PRESETS.items():
        for rule in members:
            assert rule.name.startswith(f"{preset}/")
            assert rule.statistic in STATISTICS
            assert rule.minimum is not None or rule.maximum is not None
            assert rule.source
            assert rule.kinds == ("code",) if preset == "code" else rule.not_kinds == ("code",)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_value_exactly_at_a_threshold_is_kept(preset):
    for rule in PRESETS[preset]:
        rule = replace(rule, kinds=(), not_kinds=(), spaced=None)
        for limit, outward in ((rule.minimum, -np.inf), (rule.maximum, np.inf)):
            if limit is None:
                continue
            beyond = float(np.nextafter(limit, outward))
            decision = decide(table(**{rule.statistic: [limit, beyond]}), pa.array(["web", "web"]), [rule])
            assert decision.kept.tolist() == [True, False]
            assert decision.ledger.to_pylist() == [{"row": 1, "rule": rule.name, "value": beyond, "threshold": limit}]


def test_good_documents_are_kept():
    every = list(PRESETS)
    assert judge([GOOD_PROSE, GOOD_CODE], ["web", "code"], every).kept.tolist() == [True, True]


def test_an_empty_document_is_rejected_as_prose_and_as_code():
    assert judge(["", ""], ["web", "code"], ["gopher-quality", "code"]).kept.tolist() == [False, False]


def test_rules_apply_to_their_kinds_only():
    minified = "x=1;" * 1000
    decision = judge([minified, minified, GOOD_CODE], ["code", "web", "web"], ["code", "gopher-quality"])
    by_row = {row: set() for row in range(3)}
    for entry in decision.ledger.to_pylist():
        by_row[entry["row"]].add(entry["rule"].split("/")[0])
    assert by_row == {0: {"code"}, 1: {"gopher-quality"}, 2: {"gopher-quality"}}


def test_an_unknown_kind_is_prose():
    assert judge([GOOD_CODE], ["code"], ["gopher-quality"]).kept.all()
    kinds = pa.array([None], pa.string())
    assert not decide(measure(pa.array([GOOD_CODE])), kinds, resolve_rules(["gopher-quality"])).kept.any()


def test_the_ledger_names_every_broken_rule():
    spam = "Buy now\n" * 100
    rules = {entry["rule"] for entry in judge([spam], ["web"], ["gopher-repetition", "fineweb"]).ledger.to_pylist()}
    assert rules == {rule.name for rule in PRESETS["gopher-repetition"]} - {
        "gopher-repetition/duplicate-paragraphs",
        "gopher-repetition/duplicate-paragraph-characters",
        "gopher-repetition/duplicate-10grams-unspaced",
    } | {
        f"fineweb/{name}"
        for name in ("terminal-lines", "short-lines", "duplicate-line-characters", "newlines-per-word")
    }


def test_the_meanings_of_repetition_differ():
    """Each line twice: half of it is repetition to datatrove, all of it to DCLM."""
    doubled = "".join(f"Line number {number} of this text.\n" * (1 + (number < 2)) for number in range(8))
    name = "duplicate-lines"
    assert not judge([doubled], ["web"], [f"gopher-repetition/{name}"]).kept[0]
    assert judge([doubled], ["web"], [f"gopher-repetition-datatrove/{name}"]).kept[0]


def test_words_between_spaces_are_not_asked_of_chinese():
    chinese = "".join(chr(0x4E00 + 37 * number % 9000) for number in range(400)) + "。"
    assert judge([chinese], ["web"], ["gopher-quality", "gopher-repetition"]).kept[0]
    repeated = "今天天气很好我们一起去公园玩" * 20
    broken = judge([repeated], ["web"], ["gopher-repetition"]).ledger.column("rule").to_pylist()
    assert broken == [
        f"gopher-repetition/{name}" for name in ("top-3grams", "top-4grams", "duplicate-10grams-unspaced")
    ]


def test_what_was_not_measured_does_not_pass():
    rule = Rule("r", "score", minimum=0.5)
    decision = decide(table(score=[0.6, None, float("nan")]), pa.array(["web"] * 3), [rule])
    assert decision.kept.tolist() == [True, False, False]
    assert decision.ledger.column("threshold").to_pylist() == [0.5, 0.5]


def test_no_rules_and_no_documents():
    assert decide(table(a=[1.0, 2.0]), pa.array(["web", "code"]), []).kept.tolist() == [True, True]
    empty = decide(measure(pa.array([], pa.large_string())), pa.array([], pa.string()), resolve_rules(list(PRESETS)))
    assert (len(empty.kept), empty.ledger.num_rows) == (0, 0)


def test_a_missing_column_is_an_error():
    with pytest.raises(UserError, match="no column 'b'"):
        decide(table(a=[1.0]), pa.array(["web"]), [Rule("r", "b", minimum=1)])


LIMITS = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]))
KINDS = st.sampled_from(["web", "code", "math"])
SOME_KINDS = st.sets(KINDS, max_size=2).map(lambda kinds: tuple(sorted(kinds)))
RULES = st.builds(
    Rule,
    st.just(""),
    st.sampled_from("ab"),
    LIMITS,
    LIMITS,
    SOME_KINDS,
    SOME_KINDS,
    st.sampled_from([None, True, False]),
).filter(lambda rule: (rule.minimum, rule.maximum) != (None, None))
VALUES = st.sampled_from([-0.1, 0.0, 0.3, 0.5, 0.7, 1.0, 1.1])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(RULES, max_size=5).map(lambda rules: [replace(rule, name=f"r{i}") for i, rule in enumerate(rules)]),
    st.lists(st.tuples(VALUES, VALUES, st.sampled_from([0.0, 0.5, 0.6]), KINDS), max_size=8),
)
def test_decisions_are_as_defined(rules, rows):
    expected = []
    for row, (a, b, unspaced, kind) in enumerate(rows):
        for rule in rules:
            value = {"a": a, "b": b}[rule.statistic]
            if (rule.kinds and kind not in rule.kinds) or kind in rule.not_kinds:
                continue
            if rule.spaced is not None and (unspaced <= 0.5) != rule.spaced:
                continue
            if rule.minimum is not None and value < rule.minimum:
                expected.append({"row": row, "rule": rule.name, "value": value, "threshold": rule.minimum})
            elif rule.maximum is not None and value > rule.maximum:
                expected.append({"row": row, "rule": rule.name, "value": value, "threshold": rule.maximum})
    columns = {name: pa.array([row[i] for row in rows], pa.float64()) for i, name in enumerate("ab")}
    columns["unspaced_fraction"] = pa.array([row[2] for row in rows], pa.float64())
    kinds = pa.array([row[3] for row in rows], pa.string())
    decision = decide(pa.RecordBatch.from_pydict(columns), kinds, rules)
    assert decision.ledger.to_pylist() == expected
    assert decision.kept.tolist() == [row not in {entry["row"] for entry in expected} for row in range(len(rows))]


def test_rules_are_resolved_in_order_and_once():
    rules = resolve_rules(["code", "gopher-quality/words", "gopher-quality"])
    assert rules[: len(PRESETS["code"])] == PRESETS["code"]
    assert rules[len(PRESETS["code"])].name == "gopher-quality/words"
    assert len(rules) == len(PRESETS["code"]) + len(PRESETS["gopher-quality"])


def test_overrides():
    names = ["gopher-quality/words", "gopher-quality/stop-words"]
    words, stop_words = resolve_rules(names, {"gopher-quality/words.minimum": 10, "gopher-quality/stop-words": 1})
    assert (words.minimum, words.maximum, stop_words.minimum) == (10.0, 100_000.0, 1.0)
    assert PRESETS["gopher-quality"][0].minimum == 50.0


@pytest.mark.parametrize(
    ("names", "overrides", "message"),
    [
        (["gopher-qualty"], {}, "unknown rule or preset 'gopher-qualty'; did you mean 'gopher-quality'?"),
        (["gopher-quality/word"], {}, "did you mean 'gopher-quality/words'?"),
        (["zzzz"], {}, "known are gopher-quality, "),
        (["code"], {"code/longest-lines": 5}, "did you mean 'code/longest-line'?"),
        (["code"], {"gopher-quality/words.minimum": 5}, "not among the rules"),
        (["gopher-quality"], {"gopher-quality/words": 5}, "two thresholds"),
        (["gopher-quality"], {"gopher-quality/words.minimum": 1e9}, "above maximum"),
        (["code"], {"code/longest-line": float("nan")}, "must be a number"),
        (["code"], {"code/longest-line": "5"}, "must be a number"),
    ],
)
def test_mistakes_are_named(names, overrides, message):
    with pytest.raises(UserError) as caught:
        resolve_rules(names, overrides)
    assert message in str(caught.value)


def test_custom_rules():
    settings = {"name": "long", "statistic": "word_count", "minimum": 300, "maximum": None, "kinds": None}
    assert custom_rules([settings]) == (Rule("long", "word_count", 300.0, source="a setting"),)
    assert resolve_rules(["code"], None, [settings])[-1].name == "long"
    assert custom_rules([{"name": "s", "statistic": "score", "minimum": 0}], {"score"})[0].minimum == 0.0


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
        ({"name": "x", "statistic": "word_count", "minimum": 1, "spaced": "no"}, "true or false"),
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


def test_rules_survive_json():
    for preset in PRESETS.values():
        for rule in preset:
            assert rule_from_dict(json.loads(json.dumps(rule_to_dict(rule)))) == rule
