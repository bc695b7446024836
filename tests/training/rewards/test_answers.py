"""Rule rewards say 1 for what is right, in time that no text can stretch."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.training.rewards.answers import (
    boxed,
    brackets_reward,
    exact_reward,
    matches,
    number,
    number_reward,
    quoted,
    same,
)
from corpusmill.training.rewards.named import checked, labels, needs_answers, read_reward, rule


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        (r"so it is \boxed{42}", "42", 1),
        (r"\boxed{1} no, \boxed{42}.", "42", 1),
        (r"\boxed{42} no, \boxed{1}.", "42", 0),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", 1),
        (r"\boxed{1,200.0}", "1200", 1),
        (r"\boxed{ 2 / 4 }", "0.5", 1),
        (r"\boxed{5e2}", "500", 1),
        (r"\boxed{$7$}", "7", 1),
        (r"\boxed{1/0}", "1/0", 1),
        (r"\boxed{1/0}", "0", 0),
        (r"\boxed{42", "42", 0),
        ("42", "42", 0),
        (r"\boxed{}", "42", 0),
        (r"\boxed{x + 1}", "x+1", 1),
        (r"\boxed{1e999}", "1e999", 1),
        (r"\boxed{1e9999999999}", "1", 0),
    ],
)
def test_a_number_in_a_box(text: str, answer: str, right: int) -> None:
    assert number_reward(text, answer) == right


@given(st.fractions(max_denominator=10**6))
def test_a_number_is_itself_however_it_is_written(value: Fraction) -> None:
    assert number(str(value)) == value
    assert same(f" {value.numerator:,}/{value.denominator}", str(value))


@given(st.text(max_size=30))
def test_any_text_has_a_box_or_none(text: str) -> None:
    assert boxed(text) is None or "\\boxed{" in text
    if text.count("{") == text.count("}") == 0:
        assert boxed(f"a \\boxed{{{text}}} b") == text


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_quoted_text_is_found_and_nothing_else(text: str, other: str) -> None:
    text, other = (one.encode("utf-8", "ignore").decode() for one in (text, other))
    assert matches("^{answer}$", text, text) == 1 or "\n" in text
    assert matches("{answer}", other, text) == (text in other)
    assert quoted("a.b") != "a.b"


def test_exact_and_brackets() -> None:
    assert exact_reward(" 42\n", "42") == 1 and exact_reward("42.", "42") == 0
    balanced = [("", "()"), ("([", "])"), ("f(", "x)"), ("", "{[()()]}")]
    assert [brackets_reward(*one) for one in balanced] == [1, 1, 1, 1]
    wrong = [("", ""), ("(", "]"), ("(", ""), ("", ")("), ("()", "abc"), ("", "((")]
    assert [brackets_reward(*one) for one in wrong] == [0] * 6


def test_no_pattern_and_no_text_stalls() -> None:
    begun = time.perf_counter()
    assert matches("(a+)+$", "a" * 50_000 + "b", None) == 0
    assert number_reward("\\boxed{" * 50_000, "1") == 0
    assert number_reward("\\boxed{" + "9" * 10**6 + "}", "1") == 0
    assert brackets_reward("", "(" * 10**6) == 0
    assert time.perf_counter() - begun < 5


def test_rewards_are_read_by_their_names() -> None:
    one = read_reward("0.5*regex:^a{2,3}$")
    assert (one.weight, one.name, one.argument, one.label) == (0.5, "regex", "^a{2,3}$", "regex")
    assert read_reward("regex:a*b").argument == "a*b", "a star after a name is the pattern's"
    own = read_reward("-1*my.package:too_long")
    assert own.is_function and own.weight == -1 and own.label == "too_long"
    assert labels([read_reward(name) for name in ("exact", "regex:a", "regex:b")]) == ["exact", "regex", "regex_2"]
    needing = ("exact", "regex:{answer}", "regex:a", "brackets", "code")
    assert [needs_answers(read_reward(name)) for name in needing] == [True, True, False, False, True]
    for written, why in (
        ("exakt", "unknown reward 'exakt'; did you mean 'exact'"),
        ("regex", "an argument is missing"),
        ("number:7", "takes no argument"),
        ("regex:(", "no regular expression that RE2 takes"),
        (r"regex:(a)\1", "no regular expression that RE2 takes"),
        ("nan*exact", "weight nan"),
    ):
        with pytest.raises(UserError, match=why.replace("(", r"\(")):
            read_reward(written)


def test_what_is_no_number_is_an_error() -> None:
    two = checked(read_reward("2*exact"), rule(read_reward("exact")))
    assert two(["a"] * 2, ["1", "2"], ["1", "1"]) == [1.0, 0.0]
    for given_, why in (([1.0], "gave 1 values for 2"), ([1.0, float("nan")], "not a finite number")):
        with pytest.raises(UserError, match=why):
            checked(read_reward("my.module:f"), lambda *_, values=given_: values)(["a"] * 2, ["b"] * 2, [None] * 2)
