"""Validates values into settings: a value that a model rejects gives a one-line error with the field and a hint."""

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from corpusmill.dataproc.errors import UserError, is_utf8, suggest

Place = tuple[int | str, ...]


def validate(model: type[BaseModel], values: Mapping[str, Any], where: str = "", *, flags: bool = False) -> Any:
    """The model, or one line that names the first field that is wrong and why."""
    for key, value in values.items():
        if not _is_utf8_throughout(value):
            place = f"--{key.replace('_', '-')}" if flags else ".".join(part for part in (where, str(key)) if part)
            raise UserError("a lone surrogate, which is no character", where=place, hint="write it in UTF-8")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # misspelt, it is missing as well
        keys, around = _located(model, first["loc"])
        place = f"--{keys.replace('_', '-')}" if flags else ".".join(part for part in (where, keys) if part)
        what, hint = first["msg"], ""
        if first["type"] == "extra_forbidden":
            what, hint = _unknown(str(first["loc"][-1]), around, nested=around is not model)
        elif first["type"] == "missing":
            what = "this setting is required"
        elif first["type"] in ("byte_size", "byte_size_unit"):
            what, hint = f"{first['input']!r} is not a size", "write a number and a unit, as in 64MiB"
        elif first["type"] == "tuple_type":
            what, hint = f"{first['input']!r} is not a list", "write a list, as in [a, b]"
        elif first["type"] in ("model_type", "model_attributes_type"):
            what, hint = f"{first['input']!r} is not a mapping", f"its keys are {', '.join(around.model_fields)}"
        else:
            what = f"{what} (got {first['input']!r})"
        raise UserError(what, where=place, hint=hint) from error


def _unknown(key: str, around: type[BaseModel], *, nested: bool) -> tuple[str, str]:
    """What to say of a key that a model has not got."""
    known = list(around.model_fields)
    near = suggest(key, known)
    listed = f"the {'keys here' if nested else 'settings'} are {', '.join(known)}"
    return ("no such key" if nested else "no such setting"), f"{listed}; {near}" if near.startswith("did") else listed


def _located(model: type[BaseModel], place: Place) -> tuple[str, type[BaseModel]]:
    """(the keys to a place as a recipe has them, the model that the last of them is looked for in).

    Places of pydantic also name the alternatives of a union, which are no keys.
    """
    keys, inside, around = "", [model], model
    for number, part in enumerate(place):
        if isinstance(part, int):
            keys += f"[{part}]"
            around = inside[0] if inside else around
            continue
        holder = next((candidate for candidate in inside if part in candidate.model_fields), None)
        if holder is not None:
            around, keys = holder, f"{keys}.{part}"
            inside = list(_models(holder.model_fields[part].annotation))
        elif (named := next((candidate for candidate in inside if candidate.__name__ == part), None)) is not None:
            inside, around = [named], named
        elif number == len(place) - 1 or not inside:
            around, keys = (inside[0] if inside else around), f"{keys}.{part}"
    return keys.lstrip("."), around


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type may hold: itself, or an alternative, element or value of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and get_origin(annotation) is None:
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, types.UnionType, tuple, list, dict):
        for inner in get_args(annotation):
            yield from _models(inner)


def _is_utf8_throughout(value: Any) -> bool:
    if isinstance(value, str):
        return is_utf8(value)
    if isinstance(value, Mapping):
        return all(_is_utf8_throughout(key) and _is_utf8_throughout(inner) for key, inner in value.items())
    return not isinstance(value, list | tuple) or all(map(_is_utf8_throughout, value))
