"""Layouts of special tokens as plain values: what a user's file says, and what `training.json` keeps.

    name: mine                       # for people; optional
    first: ["<s>", "</s>"]           # ids 0, 1
    last:                            # ids behind the last merge
      - "<pad>"
      - {text: "<reserved_{}>", from: 0, to: 99}
    roles: {bos: "<s>", eos: "</s>", pad: "<pad>"}
    visible: ["<pad>"]               # shown even where special tokens are skipped; none unless said
    counted: true                    # the vocabulary size asked for includes `last`
    rows_multiple: 64                # the embedding's rows are a multiple of this

A record written from a layout has this very form, rows of numbered tokens as ranges, so that it may be used as a file
again. Whoever reads files turns them into values (YAML has no place in this package).
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.special import ROLES, SpecialLayout
from corpusmill.tokenizer.vocabulary import byte_characters

FIELDS = ("name", "first", "last", "roles", "visible", "counted", "rows_multiple")
MOST_TOKENS = 1 << 17
LONGEST_SPELLING = 1024


def check_spellings(spellings: Iterable[str], where: str) -> None:
    """Raises UserError when one is empty, too long, there twice, no Unicode, or that of an ordinary byte."""
    met: set[str] = set()
    for text in spellings:
        if not text:
            raise UserError("a special token must not be empty", where=where)
        if text in met:
            raise UserError(f"the special token {text!r} occurs twice", where=where)
        if len(text) == 1 and text in byte_characters():
            raise UserError(f"the special token {text!r} is spelled like an ordinary byte", where=where)
        if len(text) > LONGEST_SPELLING:
            raise UserError(f"a special token has more than {LONGEST_SPELLING} characters", where=where)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise UserError(f"the special token {text!r} contains half of a surrogate pair", where=where)
        met.add(text)


def _numbered(entry: Any, where: str) -> list[str]:
    """The spellings of one entry: itself, or a range of them."""
    if isinstance(entry, str):
        return [entry]
    if not isinstance(entry, dict) or set(entry) != {"text", "from", "to"}:
        raise UserError(f"{entry!r} is neither a spelling nor a range", where, "write {text: '<x{}>', from: 0, to: 9}")
    text, first, last = entry["text"], entry["from"], entry["to"]
    if not isinstance(text, str) or text.count("{}") != 1 or type(first) is not int or type(last) is not int:
        raise UserError(f"{entry!r} is not a range: `text` must contain {{}} once, `from` and `to` are numbers", where)
    if not 0 <= first <= last <= first + MOST_TOKENS:
        raise UserError(f"a range from {first} to {last} is empty or too long", where)
    return [text.replace("{}", str(number)) for number in range(first, last + 1)]


def _spellings(values: Any, where: str) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise UserError("not a list of spellings", where)
    spelled = tuple(islice((text for entry in values for text in _numbered(entry, where)), MOST_TOKENS + 1))
    if len(spelled) > MOST_TOKENS:
        raise UserError(f"more than {MOST_TOKENS:,} special tokens", where)
    return spelled


def layout_from_record(record: Any, where: str, name: str = "own") -> SpecialLayout:
    """The layout that a record states; `name` is its name when it states none. Raises UserError with the field."""
    if not isinstance(record, dict):
        raise UserError("a layout of special tokens must be a table of fields", where, f"fields: {', '.join(FIELDS)}")
    if unknown := [str(key) for key in record if key not in FIELDS]:
        raise UserError(f"unknown field '{unknown[0]}'", where, f"fields: {', '.join(FIELDS)}")
    first, last, visible = (
        _spellings(record.get(key, []), f"{where}, field {key}") for key in ("first", "last", "visible")
    )
    check_spellings((*first, *last), where)
    roles = record.get("roles", {})
    if not isinstance(roles, dict):
        raise UserError("not a table of role and spelling", f"{where}, field roles")
    check_roles(roles, (*first, *last), f"{where}, field roles")
    if lost := [text for text in visible if text not in {*first, *last}]:
        raise UserError(f"{lost[0]!r} is not a token of this layout", f"{where}, field visible")
    counted, multiple, called = record.get("counted", True), record.get("rows_multiple", 64), record.get("name", name)
    if not isinstance(counted, bool) or not isinstance(called, str):
        raise UserError("`counted` must be true or false, and `name` a string", where)
    if type(multiple) is not int or not 1 <= multiple <= 1 << 20:
        raise UserError(f"rows_multiple is {multiple!r}: use a number from 1 to {1 << 20:,}", where)
    return SpecialLayout(called, first, last, dict(roles), frozenset(visible), counted, multiple)


def check_roles(roles: dict[Any, Any], spellings: Iterable[str], where: str) -> None:
    """Raises UserError for an unknown role, or one that names no token."""
    known = set(spellings)
    for role, text in roles.items():
        if role not in ROLES:
            raise UserError(f"unknown role {role!r}", where, f"roles: {', '.join(ROLES)}")
        if not isinstance(text, str) or text not in known:
            raise UserError(f"the role '{role}' names {text!r}, which is not a special token", where)


def _ranges(spellings: Iterable[str]) -> list[str | dict[str, Any]]:
    """Spellings as a record has them: rows of three and more that count up become a range."""
    entries: list[list[Any]] = []
    for text in spellings:
        parts = re.fullmatch(r"([^{}]*?)(0|[1-9][0-9]{0,6})([^0-9{}]*)", text)
        number = int(parts[2]) if parts else 0
        shape = f"{parts[1]}{{}}{parts[3]}" if parts else None
        if shape and entries and entries[-1][:1] == [shape] and entries[-1][2] == number - 1:
            entries[-1][2] = number
            entries[-1][3].append(text)
        else:
            entries.append([shape, number, number, [text]])
    packed: list[str | dict[str, Any]] = []
    for shape, first, last, texts in entries:
        packed += [{"text": shape, "from": first, "to": last}] if len(texts) > 2 else texts
    return packed


def layout_record(layout: SpecialLayout) -> dict[str, Any]:
    """A layout as plain values, which `layout_from_record` reads back."""
    return {
        "name": layout.name,
        "first": _ranges(layout.first),
        "last": _ranges(layout.last),
        "roles": dict(layout.roles),
        "visible": _ranges(text for text in (*layout.first, *layout.last) if text in layout.visible),
        "counted": layout.counted,
        "rows_multiple": layout.rows_multiple,
    }
