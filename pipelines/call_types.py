"""`pipelines/calls.pyi`: what type checkers and editors know of the stages' functions, made from the stages' models.

    python -m corpusmill.pipelines.call_types

writes it anew; a test says when that is due. Signatures are as exact as the models are: a misspelt setting, a word that
is none of a setting's choices and a wrong type are errors before anything runs. Bounds are checked when it does.
"""

import inspect
import textwrap
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ByteSize

from corpusmill.pipelines.calling import call_stage, positional_of
from corpusmill.pipelines.calls import function_name
from corpusmill.pipelines.registry import STAGES, require_description, stage_type

WIDTH = 120
HEAD = '''"""Made by `python -m corpusmill.pipelines.call_types`; do not edit."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias, TypeVar

from corpusmill.pipelines.description import Manifest

T = TypeVar("T")
OneOrMore: TypeAlias = T | Sequence[T]
Path: TypeAlias = str | PathLike[str]
Names: TypeAlias = OneOrMore[Path | Callable[..., object]]

RUN: tuple[str, ...]

def function_name(stage: str) -> str:
    """What a stage's function is called."""
'''


def _quoted(word: Any) -> str:
    return f'"{word}"' if isinstance(word, str) else str(word)


RUN = "".join(
    f"    {parameter.name}: {inspect.formatannotation(parameter.annotation)} = {_quoted(parameter.default)},\n"
    for parameter in inspect.signature(call_stage).parameters.values()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
)
"""How to run: what every function takes besides its stage's settings."""


def stub() -> str:
    """The whole text of `calls.pyi`: our own stages."""
    return HEAD + "".join(_function(stage) for stage in STAGES)


def _function(stage: str) -> str:
    fields, first = stage_type(stage).Settings.model_fields, positional_of(stage)
    required = [name for name, field in fields.items() if field.is_required() and name != first]
    optional = [name for name, field in fields.items() if not field.is_required() and name != first]
    lines = [_parameter(first, fields[first])] if first else []
    lines += ["    *,", "    output: Path,"]
    lines += [_parameter(name, fields[name]) for name in (*required, *optional)]
    described = [
        _wrapped(f"{name}: {fields[name].description}", 8) for name in ([first] if first else []) + required + optional
    ]
    about = require_description(stage)
    what = about.help or about.line or f"The stage {stage}."
    doc = [_wrapped(f'"""{what}', 4), "", "    Args:", *described]
    body = "\n".join(doc)
    head = "\n".join(lines)
    return f'\ndef {function_name(stage)}(\n{head}\n{RUN}) -> Manifest:\n{body}\n    """\n'


def _wrapped(text: str, indent: int) -> str:
    paragraphs = [" ".join(part.split()) for part in text.replace("\\", "\\\\").split("\n\n")]
    space = " " * indent
    return "\n\n".join(
        textwrap.fill(part, WIDTH, initial_indent=space, subsequent_indent=space + " " * 4 * (indent > 4))
        for part in paragraphs
    )


def _parameter(name: str, field: Any) -> str:
    return f"    {name}: {spelled(field.annotation)}{'' if field.is_required() else ' = ...'},"


def spelled(kind: Any) -> str:
    """A setting's type as an argument's: a list of strings may be one string or path, a size a number or text."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is type(None):
        return "None"
    if kind is Any:
        return "Any"
    if kind is ByteSize:
        return "int | str"
    if origin is Annotated:
        return spelled(inner[0])
    if origin is Literal:
        return f"Literal[{', '.join(_quoted(word) for word in inner)}]"
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(part for member in inner for part in spelled(member).split(" | ")))
    if origin is tuple:
        return "Names" if inner[0] is str else f"OneOrMore[{spelled(inner[0])}]"
    if origin is dict:
        return f"Mapping[{spelled(inner[0])}, {spelled(inner[1])}]"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "Mapping[str, object]"
    return "Path" if kind is str else str(kind.__name__)


if __name__ == "__main__":
    Path(__file__).with_name("calls.pyi").write_text(stub())
