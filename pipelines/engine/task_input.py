"""What a task reads, in a few words for people: its arguments know, whatever stage they are of."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def input_of(arguments: Any) -> str:
    """What a task reads, for people: the first path among its arguments, and how many more there are."""
    paths = list(dict.fromkeys(_paths(arguments)))
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}" if paths else ""


def _paths(value: Any, name: str = "") -> Iterator[str]:
    """URLs, absolute paths, and what stands in a field of paths, in the order of the fields.

    Other texts may have a slash, too: names of rules, media types.
    """
    if isinstance(value, str):
        if "://" in value or value.startswith("/") or (name in ("path", "paths") and value):
            yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _paths(getattr(value, field.name), field.name)
    elif isinstance(value, Mapping):
        for inner_name, inner in value.items():
            yield from _paths(inner, str(inner_name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _paths(inner, name)
