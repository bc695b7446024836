"""Expressions: what they may hold, what they are checked for, and their value, held against a walk in plain Python."""

import json
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.rules import custom_rules, rule_from_dict, rule_to_dict
from corpusmill.dataproc.rules.expression import DEEPEST, MOST_CHARACTERS, check_expression, parse_expression
from corpusmill.dataproc.rules.expression_values import evaluate

KINDS = {"a": "number", "b": "number", "language": "text", "source": "text"}


def value(text: str, **columns: Any) -> list[bool | None]:
    batch = pa.RecordBatch.from_pydict(columns)
    return evaluate(check_expression(text, KINDS), batch).to_pylist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a >= 50 and (language == 'en' or b > 12)", [True, False, False, None]),
        ("language in ('en', 'de')", [True, False, True, None]),
        ("language not in ['en']", [False, True, True, None]),
        ("language is None", [False, False, False, True]),
        ("language is not None and not a > 60", [True, True, False, False]),
        ("a in (10, 50)", [True, True, False, None]),
        ("10 < a <= 50", [True, False, False, None]),
        ("a / b > 4", [True, False, None, None]),
        ("a - -b == 60", [True, False, False, None]),
        ("max(a, b) == a and min(a, b) == b and abs(a - b) >= 0", [True, True, True, None]),
        ("'ik' in source", [True, False, True, False]),
        ("startswith(source, 'w') or endswith(source, '!')", [True, False, False, False]),
        ("lower(source) == 'wiki'", [True, False, True, False]),
        ("(a > 20) == (language == 'en')", [True, True, False, None]),
        ("a > 20 and True", [True, False, True, None]),
        ("a > 20 or not False", [True, True, True, True]),
    ],
)
def test_what_an_expression_says_of_four_documents(text, expected):
    columns = {
        "a": [50.0, 10.0, 70.0, None],
        "b": pa.array([10, 10, 0, 0], pa.int64()),
        "language": ["en", "fr", "de", None],
        "source": pa.array(["wiki", "poems", "Wiki", "news"], pa.large_string()),
    }
    assert value(text, **columns) == expected


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_what_is_unknown_stays_unknown_and_not_does_not_make_it_known(missing):
    a = pa.array([missing], pa.float64())
    assert value("a > 1", a=a) == [None]
    assert value("not a > 1", a=a) == [None]
    assert value("a != 1", a=a) == [None]
    assert value("a in (1, 2)", a=a) == [None]
    assert value("a > 1 or b > 1", a=a, b=[2.0]) == [True]
    assert value("a > 1 and b > 1", a=a, b=[0.0]) == [False]
    assert value("b / b == 1", b=[0.0]) == [None]
    assert value("1 / (b - b) > 0", b=[3.0]) == [None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wrd > 5", "unknown column 'wrd'"),
        ("lenguage == 'en'", "did you mean 'language'?"),
        ("a > 'en'", "cannot be compared"),
        ("language > 5", "cannot be compared"),
        ("language + 1 > 5", "arithmetic takes a number, and 'language' is a string"),
        ("a and b > 1", "and takes true or false, and 'a' is a number"),
        ("not a", "not takes true or false"),
        ("a + b", "not a condition"),
        ("language", "not a condition"),
        ("(a > 1) < (b > 1)", "cannot be ordered"),
        ("a in ('en', 'de')", "the list contains something else"),
        ("a in (1, 'de')", "the list contains something else"),
        ("a in ()", "at least one"),
        ("a in (b, 1)", "a list must contain at least one"),
        ("source in language", "a literal string"),
        ("'x' in a", "'in' takes a list"),
        ("a is 1", "'is' can only be used with None"),
        ("startswith(source, language)", "literal"),
        ("abs(a, b) > 1", "abs takes 1 values, not 2"),
        ("sqrt(a) > 1", "unknown function 'sqrt'"),
        ("1 > 0", "uses no column"),
        ("", "not a valid expression"),
        ("a >", "not a valid expression"),
        ("a = 5", "not a valid expression"),
        ("a > 5; b > 5", "not a valid expression"),
        ("a.real > 5", "'a.real' is not allowed"),
        ("a[0] > 5", "is not allowed"),
        ("a ** 9 > 5", "is not allowed"),
        ("a % 2 == 0", "is not allowed"),
        ("a if b > 1 else b", "is not allowed"),
        ("(lambda: a)() > 1", "is not allowed"),
        ("[x for x in a] == 1", "is not allowed"),
        ("(a := 5) > 1", "is not allowed"),
        ("f'{a}' == 'x'", "is not allowed"),
        ("b'x' == language", "is not allowed"),
        ("a > 1j", "is not allowed"),
        ("a > None", "is not allowed"),
        ("__import__('os').system('true') == a", "is not allowed"),
        ("abs(*a) > 1", "is not allowed"),
        ("abs(x=a) > 1", "unknown function"),
        ("a > 1e999", "too large"),
        ("a > 99999999999999999999", "too large"),
        ("a > \x00", "not a valid expression"),
    ],
)
def test_mistakes_are_named_before_anything_runs(text, message):
    with pytest.raises(UserError) as caught:
        check_expression(text, KINDS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a > 1 or " * MOST_CHARACTERS + "a > 1",
        "(" * 150 + "a > 1" + ")" * 150,
        "not " * (DEEPEST + 1) + "a > 1",
        "-" * 900 + "a > 1",
        " or ".join(["a>1"] * 600),
    ],
)
def test_size_and_depth_are_bounded(text):
    try:
        assert parse_expression(text).columns == ("a",)  # parentheses leave no trace in the tree
    except UserError as error:
        assert any(said in str(error) for said in ("characters", "too large", "not a valid expression"))


def test_a_rule_by_expression_survives_json():
    (rule,) = custom_rules([{"name": "e", "expression": "word_count >= 50 and language == 'en'"}])
    assert rule_from_dict(json.loads(json.dumps(rule_to_dict(rule)))) == rule


NUMBERS = st.one_of(st.none(), st.sampled_from([-2.0, 0.0, 0.5, 3.0, float("nan")]))
LANGUAGES = st.sampled_from([None, "en", "de"])
NUMERIC = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"abs({t})"),
        st.tuples(inner, inner).map(lambda t: f"max({t[0]}, {t[1]})"),
    ),
    max_leaves=4,
)
ATOMS = st.one_of(
    st.tuples(NUMERIC, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), NUMERIC).map(" ".join),
    st.tuples(NUMERIC, NUMERIC, NUMERIC).map(lambda t: f"{t[0]} < {t[1]} <= {t[2]}"),
    st.sampled_from(["language == 'en'", "language in ('en', 'fr')", "language is None", "a not in (0, 3)"]),
)
CONDITIONS = st.recursive(
    ATOMS.map(lambda text: f"({text})"),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map(lambda t: f"({''.join(t)})"),
        inner.map(lambda text: f"(not {text})"),
    ),
    max_leaves=5,
).filter(lambda text: "a" in text.replace("and", "").replace("abs", "").replace("max", "") or "b" in text)


def slow(node, row):
    """Three-valued evaluation by a walk over Python's tree; None is unknown."""
    import ast

    match node:
        case ast.BoolOp():
            values = [slow(value, row) for value in node.values]
            decisive = isinstance(node.op, ast.Or)
            return decisive if decisive in values else None if None in values else not decisive
        case ast.UnaryOp(op=ast.Not()):
            inner = slow(node.operand, row)
            return None if inner is None else not inner
        case ast.BinOp():
            left, right = slow(node.left, row), slow(node.right, row)
            if left is None or right is None or (isinstance(node.op, ast.Div) and right == 0):
                return None
            done = {ast.Add: left.__add__, ast.Sub: left.__sub__, ast.Mult: left.__mul__, ast.Div: left.__truediv__}
            return done[type(node.op)](right)
        case ast.Call():
            values = [slow(arg, row) for arg in node.args]
            return None if None in values else {"abs": abs, "max": max}[node.func.id](*values)
        case ast.Compare():
            return slow_comparison(node, row)
        case ast.Name():
            number = row[node.id]
            return None if isinstance(number, float) and math.isnan(number) else number
        case ast.Constant():
            return node.value if isinstance(node.value, str) else float(node.value)
    raise AssertionError(node)


def slow_comparison(node, row):
    import ast
    import operator

    before, known = slow(node.left, row), []
    for sign, other in zip(node.ops, node.comparators, strict=True):
        if isinstance(sign, ast.Is):
            return before is None
        if isinstance(sign, ast.In | ast.NotIn):
            inside = before in [elt.value for elt in other.elts]
            return None if before is None else inside == isinstance(sign, ast.In)
        after = slow(other, row)
        signs = {
            ast.Lt: operator.lt, ast.LtE: operator.le, ast.Eq: operator.eq,
            ast.NotEq: operator.ne, ast.Gt: operator.gt, ast.GtE: operator.ge,
        }  # fmt: skip
        known.append(None if before is None or after is None else signs[type(sign)](before, after))
        before = after
    return False if False in known else None if None in known else True


@settings(max_examples=300, deadline=None)
@given(CONDITIONS, st.lists(st.tuples(NUMBERS, NUMBERS, LANGUAGES), min_size=1, max_size=6))
def test_values_are_those_of_a_walk_in_plain_python(text, rows):
    try:
        expression = check_expression(text, KINDS)
    except UserError as error:
        assert "no column" in str(error)
        return
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([row[0] for row in rows], pa.float64()),
            pa.array([row[1] for row in rows], pa.float64()),
            pa.array([row[2] for row in rows], pa.string()),
        ],
        names=["a", "b", "language"],
    )
    expected = [slow(expression.tree, {"a": row[0], "b": row[1], "language": row[2]}) for row in rows]
    assert evaluate(expression, batch).to_pylist() == expected
