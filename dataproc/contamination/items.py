"""Reads evaluation sets: JSON lines, a JSON array (plain, .gz, .zst), Parquet, or plain text with an item a line.

An item is the text that a model would be tested on. It is made of the fields that are named, in that order, joined by
line breaks ("question+answer"), so that an n-gram may reach from the question into the answer, as it does where a page
quotes both. A field may lie inside others ("choices.text"); a list gives all its values. An item without any of the
fields' text is kept as an empty one, so that items are numbered as they stand in the file.

A set has to be whole: a line that is not JSON, or a field that no record has, is an error that names the place, since
an item that is left out in silence would never be looked for. Memory: the texts of all sets, which are small beside any
corpus (GSM8K, MMLU, HumanEval and ARC together are 10 MB).
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, cast

import orjson
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.decompression import ENDINGS, BrokenStream, codec_of, open_decompressed
from corpusmill.dataproc.errors import UserError

FIELDS = ("text",)
ID = "id"
FIELDS_SHOWN = 12


class EvaluationSet(NamedTuple):
    """A named set of I items: `ids` (string) and `texts` (large_string), neither with nulls."""

    name: str
    ids: pa.Array
    texts: pa.Array


def read_evaluation_set(
    name: str, paths: Sequence[str], fields: Sequence[str] = FIELDS, id_field: str = ID
) -> EvaluationSet:
    """The items of one or more files, in order.

    Args:
        name: what hits will call the set.
        paths: files; their endings say the format.
        fields: what makes an item, in order; dots lead into nested records. Not asked for plain text.
        id_field: holds the item's id; items without one are called `<file>#<number>`, counted from 0.

    Raises UserError, naming file and record, for what is not JSON or no record, and for a field that no record has.
    """
    ids: list[str] = []
    texts: list[str] = []
    for path in paths:
        present: set[str] = set()
        names: dict[str, None] = {}
        number = -1
        for number, record in enumerate(_records(path)):
            if isinstance(record, str):
                identity, text = None, record
                present.update(fields)
            else:
                pieces = {field: _text_at(record, field, f"{path}, record {number}") for field in fields}
                present.update(field for field, piece in pieces.items() if piece is not None)
                names.update(dict.fromkeys(record) if len(names) < FIELDS_SHOWN else {})
                text = "\n".join(piece for piece in pieces.values() if piece)
                identity = _text_at(record, id_field, path)
            ids.append(identity or f"{path.rsplit('/', 1)[-1]}#{number}")
            texts.append(text)
        missing = [field for field in fields if field not in present]
        if number >= 0 and missing:
            hint = f"name the fields of an item; this file has {', '.join(list(names)[:FIELDS_SHOWN])}"
            raise UserError(f"no record has a text in the field '{missing[0]}'", path, hint)
    if not texts:
        raise UserError(f"the evaluation set '{name}' has no items", ", ".join(paths), "give its files")
    return EvaluationSet(name, pa.array(ids, pa.string()), pa.array(texts, pa.large_string()))


def _text_at(record: Any, field: str, place: str) -> str | None:
    """The text of a field, or None if it has none."""
    value = record
    for key in field.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    if isinstance(value, Mapping):
        raise UserError(f"the field '{field}' contains nested fields", place, f"name one of them, as in {field}.text")
    words = list(_strings(value))
    return "\n".join(words) if words else None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from _strings(element)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _records(path: str) -> Iterator[dict[str, Any] | str]:
    """Records of a file; lines of plain text as strings."""
    if path.endswith(".parquet"):
        for batch in read_batches(path):
            yield from batch.to_pylist()
        return
    plain = next((path.removesuffix(ending) for ending in ENDINGS if path.endswith(ending)), path)
    try:
        with storage.open_input(path) as file:
            stream = open_decompressed(file, codec_of(path))
            if plain.endswith(".json") and (data := stream.read()).lstrip().startswith(b"["):
                yield from _json_array(data, path)
            elif plain.endswith(".json"):  # which much that is called so is
                yield from _lines(cast(BinaryIO, io.BytesIO(data)), path, as_json=True)
            else:
                yield from _lines(stream, path, as_json=plain.endswith((".jsonl", ".ndjson")))
    except BrokenStream as error:
        raise UserError(f"this file is damaged ({error})", path, "download it again") from error


def _json_array(data: bytes, path: str) -> Iterator[dict[str, Any]]:
    try:
        values = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UserError(f"not JSON ({error})", path, "use JSON lines (.jsonl)") from error
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise UserError("not a JSON array of objects", path, "use an array of objects, or JSON lines (.jsonl)")
    yield from values


def _lines(stream: BinaryIO, path: str, *, as_json: bool) -> Iterator[dict[str, Any] | str]:
    for number, line in enumerate(stream):
        if not line.strip():
            continue
        where = f"{path}, line {number + 1}"
        try:
            value = orjson.loads(line) if as_json else line.decode().strip()
        except (orjson.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(
                f"not {'JSON' if as_json else 'UTF-8'} ({error})", where, "repair the file or download it again"
            ) from error
        if as_json and not isinstance(value, dict):
            raise UserError(f"a JSON {type(value).__name__}, not an object", where)
        yield value
