"""Settings of rewriters as plain JSON: checked against the fields that a rewriter declares, before anything runs."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from corpusmill.dataproc.errors import UserError


def check_settings(rewriter: Any) -> None:
    """Makes tuples of the lists among a new rewriter's settings, and checks all by the types of its fields.

    Counts (int) may not be negative and strings in a tuple not blank. Raises UserError.
    """
    hints = get_type_hints(type(rewriter))
    for field in fields(rewriter):
        where = f"{rewriter.name}, setting '{field.name}'"
        value = getattr(rewriter, field.name)
        object.__setattr__(rewriter, field.name, _checked(value, hints[field.name], where))


def _checked(value: Any, wanted: Any, where: str) -> Any:
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise UserError(f"'{value}' is none of the choices", where, f"use one of {', '.join(get_args(wanted))}")
        return value
    if wanted == tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise UserError(f"this is a list of strings, not {value!r}", where)
        if not all(isinstance(each, str) and each.strip() for each in value):
            raise UserError("an entry is no string, or blank", where)
        return tuple(value)
    if get_origin(wanted) is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"this is a mapping, not {value!r}", where)
        return {str(key): _checked(each, get_args(wanted)[1], f"{where}, '{key}'") for key, each in value.items()}
    if type(value) is not wanted:
        kinds = {int: "a whole number", bool: "true or false", str: "a string"}
        raise UserError(f"this is {kinds[wanted]}, not {value!r}", where)
    if wanted is int and value < 0:
        raise UserError("this may not be negative", where)
    return value
