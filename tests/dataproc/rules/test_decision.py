"""The decision: thresholds, whom a rule is for, the ledger; held against a loop in plain Python."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.documents import SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.measures.providers import LABELS, build_measure
from corpusmill.dataproc.measures.statistics import measure
from corpusmill.dataproc.rules import PRESETS, Rule, decide, resolve_filter, resolve_rules
from corpusmill.dataproc.rules.decision import applies_to, values_of

GOOD_PROSE = (
    "The history of the town begins with a bridge that was built by the monks of the abbey in the year of the flood.\n"
    "Merchants came to it from both sides of the valley, and some of them stayed to open inns for those who followed.\n"
    "After a hundred years there were walls, four gates, a market and a quarrel about who was to pay for all of it.\n"
    "Nobody remembers how it ended. The bridge is still there, and so is the market, on every Thursday but the last.\n"
)
GOOD_CODE = 'def greet(name):\n    """Says hello."""\n    return f"Hello, {name}!"\n'


def judge(texts: list[str], kinds: list[str], names: list[str], languages: list[str | None] | None = None):
    statistics = measure(pa.array(texts), None if languages is None else pa.array(languages, pa.string()))
    if languages is not None:
        statistics = statistics.append_column("language", pa.array(languages, pa.string()))
    return decide(statistics, pa.array(kinds), resolve_rules(names))


def table(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def test_good_documents_are_kept_by_every_preset_that_needs_no_lists():
    small = ("data-juicer", "mc4", "curator-code", "data-juicer-code")  # these documents are too small for them
    names = [name for name in PRESETS if name not in ("url", "toxicity", "toxicity-share", *small)]
    batch = pa.RecordBatch.from_pylist(
        [
            {"id": "a", "text": GOOD_PROSE, "source": "s", "kind": "web", "language": "en"},
            {"id": "b", "text": GOOD_CODE, "source": "s", "kind": "code", "language": "python"},
        ],
        schema=SCHEMA,
    )
    plan = resolve_filter(names)
    batches = [measure(batch.column("text"), batch.column("language"))]
    batches += [build_measure(name, {}).measure(batch) for name in (*plan.measures, *plan.rewriters)]
    columns = {name: part.column(name) for part in batches for name in part.schema.names}
    columns |= {name: batch.column(name) for name in LABELS}
    decision = decide(pa.RecordBatch.from_pydict(columns), batch.column("kind"), plan.rules)
    assert decision.ledger.to_pylist() == []
    assert decision.kept.tolist() == [True, True]


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
    assert rules == {rule.name for rule in PRESETS["gopher-repetition"].rules} - {
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
    rules = resolve_rules(["gopher-quality", "gopher-repetition", "fineweb", "code"])
    empty = decide(measure(pa.array([], pa.large_string())), pa.array([], pa.string()), rules)
    assert (len(empty.kept), empty.ledger.num_rows) == (0, 0)


def test_a_missing_column_is_an_error():
    with pytest.raises(UserError, match="no column 'b'"):
        decide(table(a=[1.0]), pa.array(["web"]), [Rule("r", "b", minimum=1)])


def test_a_rule_for_some_languages_knows_their_codes_and_takes_the_unknown_for_english():
    languages = ["en", "eng_Latn", "de", "de-AT", "zh_Hant", "cmn", None, "tha", "html", "und"]
    statistics = table(language=languages)
    kinds = pa.array(["web"] * len(languages))

    def asked(*names: str, negated: bool = False) -> list[str | None]:
        rule = Rule("r", "x", 0.0, not_languages=names) if negated else Rule("r", "x", 0.0, languages=names)
        mask = applies_to(rule, statistics, kinds)
        return [language for language, applies in zip(languages, mask, strict=True) if applies]

    assert asked("en") == ["en", "eng_Latn", None]
    assert asked("de", "zh") == ["de", "de-AT", "zh_Hant", "cmn"]
    assert asked("html") == ["html"]
    assert asked("html", negated=True) == [language for language in languages if language != "html"]
    without = table(x=[1.0, 2.0])
    assert applies_to(Rule("r", "x", 0.0, languages=("en",)), without, pa.array(["web"] * 2)).all()
    assert not applies_to(Rule("r", "x", 0.0, languages=("de",)), without, pa.array(["web"] * 2)).any()


def test_stop_words_are_asked_for_where_there_is_a_list():
    german = "Der Hund und die Katze sind in dem Haus, das von dem Bauern mit den Kindern gebaut wurde. " * 6
    welsh = "Mae hen wlad fy nhadau yn annwyl imi, gwlad beirdd a chantorion, enwogion o fri. " * 6
    chinese = "".join(chr(0x5E00 + 37 * number % 900) for number in range(400))
    rules = ["gopher-quality/stop-words", "gopher-quality/stop-words-unspaced"]
    texts = [german, german, german, welsh, welsh, chinese, chinese]
    decision = judge(texts, ["web"] * 7, rules, ["de", "en", None, "cy", None, "zh", None])
    assert decision.kept.tolist() == [True, False, False, True, False, False, True]


def test_an_expression_is_broken_where_it_is_false_or_unknown():
    statistics = table(a=[1.0, 3.0, None, float("nan"), 3.0], kind=["web", "web", "web", "web", "code"])
    rule = Rule("small", expression="a < 2", not_kinds=("code",))
    decision = decide(statistics, statistics.column("kind"), [rule])
    assert decision.kept.tolist() == [True, False, False, False, True]
    rows = decision.ledger.to_pylist()
    assert [(row["row"], row["threshold"]) for row in rows] == [(1, 1.0), (2, 1.0), (3, 1.0)]
    assert rows[0]["value"] == 0.0
    assert np.isnan([row["value"] for row in rows[1:]]).all()
    assert np.array_equal(values_of(rule, statistics), [1, 0, np.nan, np.nan, 0], equal_nan=True)


def test_a_label_that_is_null_throughout_is_unknown():
    statistics = table(a=[1.0, 2.0], language=pa.nulls(2))
    kinds = pa.array(["web", "web"])
    assert decide(statistics, kinds, [Rule("r", expression="language is None or a > 9")]).kept.all()
    assert not decide(statistics, kinds, [Rule("r", expression="language == 'en'")]).kept.any()
    assert applies_to(Rule("r", "a", 0.0, languages=("en",)), statistics, kinds).all()


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
