"""JSON objects to documents: which field is what, and the rest into `meta`.

A field is named by its key, or by a path with dots into nested objects (`content.body`); a key that holds the dots
itself goes first. What became a column is taken out of the object, and so is an object that is empty then. `meta` holds
the remaining fields, or those of them that are asked for, with sorted keys, so that equal records give equal bytes.
"""

from collections.abc import Callable
from typing import Any

import orjson

from corpusmill.dataproc.readers.pieces import Fields

Row = tuple[str | None, ...]
"""The columns of `dataproc.documents.SCHEMA`, in order."""

FIRST_BYTES = frozenset(b'{["-0123456789tfn \t\r\n\xef\xff\xfe')
"""What JSON, or what passes for it, begins with; what begins otherwise is none."""

Parse = Callable[[bytes, str, int], Row | str]
"""`parse(data, prefix, number)`: the row of one JSON object, whose id is `prefix` and `number` if it has none of its
own; or what is wrong with it."""


RowOf = Callable[[dict[str, Any], str, int], Row | str]
"""The same of an object that is parsed already, whose fields it takes out."""

TextOf = Callable[[dict[str, Any]], str]
"""Takes the fields that make up the text out of an object, and gives it. Raises ValueError, with the reason."""


def record_parser(fields: Fields, text_of: TextOf | None = None) -> Parse:
    """A function that makes rows of JSON objects; their text is the field of that name, or what `text_of` makes."""
    row = row_maker(fields, text_of)

    def parse(data: bytes, prefix: str, number: int) -> Row | str:
        if data[0] not in FIRST_BYTES:  # orjson's exception takes longer than any record
            return f"not JSON: it begins with {chr(data[0])!a}"
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            return f"not JSON: {error}"
        if type(value) is not dict:
            return f"a JSON {type(value).__name__}, not an object"
        return row(value, prefix, number)

    return parse


def row_maker(fields: Fields, text_of: TextOf | None = None) -> RowOf:
    """What `record_parser` does with an object; what never changes is looked up once."""
    text_field, meta_fields, source, kind = fields.text_field, fields.meta_fields, fields.source, fields.kind
    columns = (fields.id_field, "source", "kind", fields.language_field, fields.url_field)
    nested_text, nested = "." in text_field, any("." in field for field in columns)
    no_text = f"no text in field '{text_field}'"

    def row(value: dict[str, Any], prefix: str, number: int) -> Row | str:
        text: Any
        if text_of is not None:
            try:
                text = text_of(value)
            except ValueError as error:
                return str(error)
        else:
            text = _take_text(value, text_field) if nested_text else value.pop(text_field, None)
        if type(text) is not str:
            return no_text
        if nested:
            words = [_take_word(value, field) for field in columns]
        else:
            words = [_take_word(value, field) if field in value else None for field in columns]
        if meta_fields is not None:
            value = {key: value[key] for key in meta_fields if key in value}
        meta = None
        if value:
            try:
                meta = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
            except orjson.JSONEncodeError as error:  # reads deeper nesting than it writes
                return f"its other fields cannot be written: {error}"
        own, its_source, its_kind, language, url = words
        return own or f"{prefix}{number}", text, its_source or source, its_kind or kind, language, url, meta

    return row


def top_level_keys(data: bytes) -> list[str]:
    """The fields of a JSON object; none for anything else."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return []
    return list(value) if type(value) is dict else []


def _take_text(record: dict[str, Any], field: str) -> Any:
    """What stands at a path, taken out if it is a text."""
    if field in record:
        return record.pop(field)
    if isinstance(value := _nested(record, field), str):
        _take_out(record, field.split("."))
    return value


def _take_word(record: dict[str, Any], field: str) -> str | None:
    """Takes a string or whole number out of a record; anything else stays in it, for `meta`."""
    if field in record:
        value = record[field]
        if (type(value) is str and value) or type(value) is int:
            del record[field]
            return str(value)
    elif "." in field:
        value = _nested(record, field)
        if (type(value) is str and value) or type(value) is int:
            _take_out(record, field.split("."))
            return str(value)
    return None


def _nested(record: dict[str, Any], field: str) -> Any:
    value: Any = record
    for key in field.split("."):
        value = value.get(key) if type(value) is dict else None
    return value


def _take_out(record: dict[str, Any], keys: list[str]) -> None:
    """Removes a nested value, and the objects around it that are empty then."""
    if len(keys) > 1:
        _take_out(record[keys[0]], keys[1:])
    if len(keys) == 1 or not record[keys[0]]:
        del record[keys[0]]
