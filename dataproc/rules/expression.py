"""Rules as expressions over columns: `word_count >= 50 and (language == 'en' or mean_word_length < 12)`.

The text is parsed by Python's own parser into a tree and never evaluated by Python. Only what is named here is let
through: columns, numbers, strings, `True`, `False`, `None`, lists of them, `and or not`, `+ - * /`, comparisons (in a
chain, too), `in` and `not in`, `is None`, and the functions `abs(x)`, `min(x, y)`, `max(x, y)`, `startswith(text, s)`,
`endswith(text, s)` and `lower(text)`. Names, types and sizes are checked against the columns before any run.

Numbers are 64-bit floats; strings and numbers don't mix. **What is unknown stays unknown**, as in SQL: a null or NaN,
or a division by zero, makes a comparison unknown, `unknown or true` is true, `unknown and false` is false. A document
is kept where the expression is true. So what was not measured does not pass, and `not` does not turn it into passing.

This module reads and checks; `dataproc.rules.expression_values` evaluates.
"""

import ast
import functools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from corpusmill.dataproc.errors import UserError, suggest

Kind = Literal["number", "text", "truth"]
"""Types of columns and of every part of an expression."""

MOST_CHARACTERS = 4000
MOST_NODES = 1000
DEEPEST = 40
MOST_NUMBER = 2**53

_FUNCTIONS: dict[str, tuple[tuple[Kind, ...], Kind]] = {
    "abs": (("number",), "number"),
    "min": (("number", "number"), "number"),
    "max": (("number", "number"), "number"),
    "startswith": (("text", "text"), "truth"),
    "endswith": (("text", "text"), "truth"),
    "lower": (("text",), "text"),
}
_HINT = "write something like word_count >= 50 and language == 'en'"


@dataclass(frozen=True)
class Expression:
    """A parsed expression: its text, its tree and the columns that it names, in order of their first mention."""

    text: str
    tree: ast.expr
    columns: tuple[str, ...]


def kind_of_type(type_: pa.DataType) -> Kind | None:
    """What an expression takes an Arrow type for; None for one that it cannot look at. Only labels can be all null."""
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_null(type_):
        return "text"
    return "truth" if pa.types.is_boolean(type_) else None


@functools.lru_cache(maxsize=256)
def parse_expression(text: str) -> Expression:
    """Parses an expression and checks its form, not its names.

    Raises:
        UserError: it is too long or too deep, is no expression, or holds something that is not allowed.
    """
    if len(text) > MOST_CHARACTERS:
        raise UserError(f"an expression may have at most {MOST_CHARACTERS} characters, not {len(text)}", "expression")
    where = _where(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
        nodes = list(ast.walk(tree))
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UserError(f"not a valid expression ({getattr(error, 'msg', None) or error})", where, _HINT) from error
    if len(nodes) > MOST_NODES or _depth(tree) > DEEPEST:
        raise UserError("this expression is too large", where, "split it into several rules")
    columns = tuple(dict.fromkeys(_columns(tree, where)))
    if not columns:
        raise UserError("this expression uses no column", where, _HINT)
    return Expression(text, tree, columns)


def check_expression(text: str, kinds: Mapping[str, Kind]) -> Expression:
    """Parses an expression and checks names and types against columns.

    Raises:
        UserError: as `parse_expression`, or an unknown column, types that don't go together, or a result that is
            neither true nor false.
    """
    expression, where = parse_expression(text), _where(text)
    for name in expression.columns:
        if name not in kinds:
            raise UserError(f"unknown column '{name}'", where, suggest(name, list(kinds)))
    if _kind(expression.tree, kinds, where) != "truth":
        raise UserError("this expression is not a condition", where, "compare it with something")
    return expression


def _where(text: str) -> str:
    shown = " ".join(text.split())
    return f"expression '{shown[:60]}{'...' if len(shown) > 60 else ''}'"


def _depth(tree: ast.AST) -> int:
    """Levels of a tree, counted without recursion: the tree comes from outside."""
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        waiting += [(child, level + 1) for child in ast.iter_child_nodes(node)]
    return deepest


def _columns(node: ast.AST, where: str) -> Iterator[str]:
    """The columns that a tree names, in order; refuses what is not allowed."""
    match node:
        case ast.BoolOp(values=parts):
            pass
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
            parts = [operand]
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
            parts = [left, right]
        case ast.Compare(left=left, ops=operators, comparators=others):
            parts = _compared(left, operators, others, where)
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in _FUNCTIONS:
            if len(parts) != len(_FUNCTIONS[name][0]):
                raise UserError(f"{name} takes {len(_FUNCTIONS[name][0])} values, not {len(parts)}", where)
        case ast.Call(func=ast.Name(id=name)):
            raise UserError(f"unknown function '{name}'", where, suggest(name, list(_FUNCTIONS)))
        case ast.Name(id=name):
            yield name
            return
        case ast.Constant(value=value) if isinstance(value, str | bool | int | float):
            if not isinstance(value, str) and not abs(value) <= MOST_NUMBER:
                raise UserError("this number is too large", where)
            return
        case _:
            written = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
            raise UserError(f"'{written[:40]}' is not allowed", where, _HINT)
    for part in parts:
        yield from _columns(part, where)


def _compared(left: ast.expr, operators: list[ast.cmpop], others: list[ast.expr], where: str) -> list[ast.expr]:
    """The parts of a comparison that are expressions themselves: not the None after `is`, nor a list after `in`."""
    parts = [left]
    for operator, other in zip(operators, others, strict=True):
        if isinstance(operator, ast.Is | ast.IsNot):
            if not (isinstance(other, ast.Constant) and other.value is None) or len(others) > 1:
                raise UserError("'is' can only be used with None", where, "write language is None, or use ==")
        elif isinstance(operator, ast.In | ast.NotIn):
            if len(others) > 1:
                raise UserError("'in' cannot be part of a chained comparison", where, "join comparisons with 'and'")
            if isinstance(other, ast.List | ast.Tuple | ast.Set):
                if not other.elts or not all(isinstance(constant_of(elt), str | float) for elt in other.elts):
                    raise UserError("a list must contain at least one number or string", where)
            else:
                parts.append(other)
        else:
            parts.append(other)
    return parts


def constant_of(node: ast.expr) -> Any:
    """The string or number (as float) of an element of a list; None for anything else."""
    sign = 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1.0, node.operand
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, str) and sign > 0:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST_NUMBER:
        return sign * float(value)
    return None


def _kind(node: ast.expr, kinds: Mapping[str, Kind], where: str) -> Kind:
    """The type of a part; raises UserError where types don't go together."""

    def need(part: ast.expr, kind: Kind, what: str) -> None:
        actual = _kind(part, kinds, where)
        if actual != kind:
            raise UserError(f"{what} takes {_named(kind)}, and '{ast.unparse(part)[:40]}' is {_named(actual)}", where)

    match node:
        case ast.BoolOp(op=operator, values=parts):
            for part in parts:
                need(part, "truth", "and" if isinstance(operator, ast.And) else "or")
            return "truth"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            need(operand, "truth", "not")
            return "truth"
        case ast.UnaryOp(operand=operand):
            need(operand, "number", "a sign")
            return "number"
        case ast.BinOp(left=left, right=right):
            need(left, "number", "arithmetic")
            need(right, "number", "arithmetic")
            return "number"
        case ast.Call(func=ast.Name(id=name), args=parts):
            for part, kind in zip(parts, _FUNCTIONS[name][0], strict=True):
                need(part, kind, name)
            if name in ("startswith", "endswith") and not isinstance(parts[1], ast.Constant):
                raise UserError(f"{name} needs a literal string", where)
            return _FUNCTIONS[name][1]
        case ast.Compare(left=left, ops=operators, comparators=others):
            _check_comparison(left, operators, others, kinds, where)
            return "truth"
        case ast.Name(id=name):
            return kinds[name]
        case ast.Constant(value=value):
            return "truth" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    raise AssertionError(f"{ast.dump(node)} passed the check of the form")


def _check_comparison(
    left: ast.expr, operators: list[ast.cmpop], others: list[ast.expr], kinds: Mapping[str, Kind], where: str
) -> None:
    kind = _kind(left, kinds, where)
    for operator, other in zip(operators, others, strict=True):
        if isinstance(operator, ast.Is | ast.IsNot):
            return
        if isinstance(operator, ast.In | ast.NotIn) and isinstance(other, ast.List | ast.Tuple | ast.Set):
            if any(isinstance(constant_of(elt), str) != (kind == "text") for elt in other.elts) or kind == "truth":
                raise UserError(
                    f"'{ast.unparse(left)[:40]}' is {_named(kind)}, but the list contains something else", where
                )
            return
        if isinstance(operator, ast.In | ast.NotIn):
            if kind != "text" or not (isinstance(other, ast.Name) and kinds[other.id] == "text"):
                raise UserError("'in' takes a list, or a string and a column of strings", where)
            if not isinstance(left, ast.Constant):
                raise UserError("'in' needs a literal string", where)
            return
        if _kind(other, kinds, where) != kind:
            pair = f"'{ast.unparse(left)[:40]}' is {_named(kind)} and '{ast.unparse(other)[:40]}' is not"
            raise UserError(f"{pair}, so they cannot be compared", where)
        if kind == "truth" and not isinstance(operator, ast.Eq | ast.NotEq):
            raise UserError("true and false cannot be ordered", where, "use ==, !=, and, or, not")


def _named(kind: Kind) -> str:
    return {"number": "a number", "text": "a string", "truth": "true or false"}[kind]
