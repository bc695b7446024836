"""The value of an expression over a batch of columns: one Arrow call a node, and unknown stays unknown throughout.

Trees come from `dataproc.rules.expression`, which checked their form and, against the same columns, their types.

Cost: one Arrow call a node and batch. Memory: a few values a document.
"""

import ast
import functools
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.rules.expression import Expression, constant_of, kind_of_type

_ARITHMETIC: dict[type, str] = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply"}
_COMPARISONS: dict[type, str] = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}


def evaluate(expression: Expression, columns: pa.RecordBatch) -> pa.Array:
    """True, false or null for each row: a bool array of shape (N,).

    Args:
        columns: holds every column that the expression names, of a type that it was checked against.
    """
    value = _value(expression.tree, columns)
    if isinstance(value, pa.Scalar):
        return pa.repeat(value, columns.num_rows)
    return value


def _value(node: ast.expr, columns: pa.RecordBatch) -> Any:
    """The value of a part: an Arrow array of shape (N,), or a scalar where it looks at no column."""
    match node:
        case ast.BoolOp(op=operator, values=parts):
            join = pc.and_kleene if isinstance(operator, ast.And) else pc.or_kleene
            return functools.reduce(join, (_value(part, columns) for part in parts))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return pc.invert(_value(operand, columns))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return pc.negate(_value(operand, columns))
        case ast.UnaryOp(operand=operand):
            return _value(operand, columns)
        case ast.BinOp(left=left, op=operator, right=right):
            return _combined(operator, _value(left, columns), _value(right, columns))
        case ast.Call(func=ast.Name(id=name), args=parts):
            return _called(name, parts, columns)
        case ast.Compare(left=left, ops=operators, comparators=others):
            return _comparison(left, operators, others, columns)
        case ast.Name(id=name):
            return _column(columns.column(name))
        case ast.Constant(value=value):
            assert isinstance(value, str | bool | int | float)
            return pa.scalar(value if isinstance(value, str | bool) else float(value))
    raise AssertionError(f"{ast.dump(node)} passed the check of the form")


def _column(column: pa.Array) -> pa.Array:
    if kind_of_type(column.type) == "number":
        return _known(column.cast(pa.float64(), safe=False))
    return column if pa.types.is_boolean(column.type) else column.cast(pa.string())


def _known(numbers: Any) -> Any:
    """Numbers with NaN as null."""
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)


def _combined(operator: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(operator, ast.Div):
        return _known(pc.divide(left, pc.if_else(pc.equal(right, 0.0), pa.scalar(None, pa.float64()), right)))
    return _known(getattr(pc, _ARITHMETIC[type(operator)])(left, right))


def _called(name: str, parts: list[ast.expr], columns: pa.RecordBatch) -> Any:
    values = [_value(part, columns) for part in parts]
    match name:
        case "abs":
            return pc.abs(values[0])
        case "min":
            return pc.min_element_wise(*values, skip_nulls=False)
        case "max":
            return pc.max_element_wise(*values, skip_nulls=False)
        case "lower":
            return pc.utf8_lower(values[0])
        case "startswith":
            return pc.starts_with(values[0], pattern=values[1].as_py())
        case _:
            return pc.ends_with(values[0], pattern=values[1].as_py())


def _comparison(left: ast.expr, operators: list[ast.cmpop], others: list[ast.expr], columns: pa.RecordBatch) -> Any:
    result, before = None, _value(left, columns)
    for operator, other in zip(operators, others, strict=True):
        if isinstance(operator, ast.Is | ast.IsNot):
            return pc.is_null(before) if isinstance(operator, ast.Is) else pc.is_valid(before)
        if isinstance(operator, ast.In | ast.NotIn):
            contained = _among(before, other, columns)
            return pc.invert(contained) if isinstance(operator, ast.NotIn) else contained
        after = _value(other, columns)
        compared = getattr(pc, _COMPARISONS[type(operator)])(before, after)
        result = compared if result is None else pc.and_kleene(result, compared)
        before = after
    return result


def _among(value: Any, other: ast.expr, columns: pa.RecordBatch) -> Any:
    if not isinstance(other, ast.List | ast.Tuple | ast.Set):
        return pc.match_substring(_value(other, columns), value.as_py())
    kind = pa.string() if isinstance(constant_of(other.elts[0]), str) else pa.float64()
    contained = pc.is_in(value, value_set=pa.array([constant_of(elt) for elt in other.elts], kind))
    return pc.if_else(pc.is_null(value), pa.scalar(None, pa.bool_()), contained)
