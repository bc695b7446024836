"""Validates values into settings: a value that a model rejects gives a one-line error with the field and a hint."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from corpusmill.dataproc.errors import UserError, is_utf8


def validate(model: type[BaseModel], values: Mapping[str, Any], where: str = "", *, flags: bool = False) -> Any:
    """The model, or one line that names the first field that is wrong and why."""
    for key, value in values.items():
        if not _is_utf8_throughout(value):
            place = f"--{key.replace('_', '-')}" if flags else ".".join(part for part in (where, str(key)) if part)
            raise UserError("a lone surrogate, which is no character", where=place, hint="write it in UTF-8")
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        place = f"--{key.replace('_', '-')}" if flags else ".".join(part for part in (where, key) if part)
        what, hint = first["msg"], ""
        if first["type"] == "extra_forbidden":
            what, hint = "no such setting", f"the settings are {', '.join(model.model_fields)}"
        elif first["type"] == "missing":
            what = "this setting is required"
        elif first["type"] in ("byte_size", "byte_size_unit"):
            what, hint = f"{first['input']!r} is not a size", "write a number and a unit, as in 64MiB"
        elif first["type"] == "tuple_type":
            what, hint = f"{first['input']!r} is not a list", "write a list, as in [a, b]"
        else:
            what = f"{what} (got {first['input']!r})"
        raise UserError(what, where=place, hint=hint) from error


def _is_utf8_throughout(value: Any) -> bool:
    if isinstance(value, str):
        return is_utf8(value)
    if isinstance(value, Mapping):
        return all(_is_utf8_throughout(key) and _is_utf8_throughout(inner) for key, inner in value.items())
    return not isinstance(value, list | tuple) or all(map(_is_utf8_throughout, value))
