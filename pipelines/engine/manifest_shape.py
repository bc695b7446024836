"""What a manifest must be made of to be read at all: it may come from elsewhere, or have been damaged on the way.

Everybody who reads a folder relies on these fields, so they are looked at once, where the manifest is read. Paths are
held to the folder: a file that a manifest names is opened, copied or removed by that name.
"""

from collections.abc import Mapping
from typing import Any

from corpusmill.dataproc.errors import UserError, is_utf8

_FIELDS: dict[str, type] = {
    "stage": str,
    "stage_version": int,
    "counts": dict,
    "facts": dict,
    "files": list,
    "parts": list,
    "inputs": dict,
    "settings": dict,
}
_NUMBERS = ("bytes", "rows", "arrow_bytes")


def require_shape(manifest: Any, path: str) -> None:
    """Raises UserError naming the field that is missing or is not what it should be."""
    if not isinstance(manifest, dict):
        raise _damaged("it is not a JSON object", path)
    for name, kind in _FIELDS.items():
        if not isinstance(manifest.get(name), kind):
            raise _damaged(f"'{name}' is missing or is not {_article(kind)}", path)
    for name, value in manifest["counts"].items():
        if not isinstance(value, int):
            raise _damaged(f"'counts.{name}' is not a whole number", path)
    for listed in ("parts", "files"):
        for number, entry in enumerate(manifest[listed]):
            if problem := _entry_problem(entry):
                raise _damaged(f"'{listed}', entry {number}: {problem}", path)


def _entry_problem(entry: Any) -> str:
    """What is wrong with an entry of a file; "" for nothing."""
    if not isinstance(entry, Mapping):
        return "it is not a JSON object"
    path = entry.get("path")
    if not isinstance(path, str) or not path:
        return "it has no path"
    if path.startswith("/") or "\\" in path or "\0" in path or ".." in path.split("/"):
        return "its path leads out of the folder"
    if not is_utf8(path):
        return "its path is not Unicode"
    if not isinstance(entry.get("bytes"), int) or not isinstance(entry.get("digest"), str):
        return "it has no size or no digest"
    wrong = [name for name in _NUMBERS if name in entry and not (isinstance(entry[name], int) and entry[name] >= 0)]
    return f"'{wrong[0]}' is not a number of them" if wrong else ""


def _article(kind: type) -> str:
    return {str: "text", int: "a whole number", dict: "an object", list: "a list"}[kind]


def _damaged(problem: str, path: str) -> UserError:
    return UserError(f"this manifest is damaged: {problem}", where=path, hint="make the folder again, or copy it again")
