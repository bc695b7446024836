"""The page of recipe keys, made from the models that read recipes."""

import inspect
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ByteSize
from pydantic_core import PydanticUndefined

from corpusmill.pipelines import recipe
from corpusmill.pipelines.registry import recipe_stages, require_description, stage_type
from scripts.docs_site.tables import code, plain, table

HEAD = """\
# Recipe keys

A recipe is one YAML file: what stands at its top, and below `stages` the stages in order, each with the keys of its
kind. Made from the models that check recipes before anything runs.
"""
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "at least", "max_length": "at most"}


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([HEAD, *_top(), *(part for stage in recipe_stages() for part in _stage(stage))])


def _top() -> Iterator[str]:
    _, _, example = inspect.cleandoc(recipe.__doc__ or "").partition("\n\n")
    yaml, _, rest = example.partition("\n\n")
    yield f"```yaml\n{inspect.cleandoc(yaml)}\n```\n\n{plain(rest)}\n\n## The top of a recipe\n"
    yield _keys(recipe.RecipeFile)


def _stage(name: str) -> Iterator[str]:
    description, settings = require_description(name), stage_type(name).Settings
    yield f"## {name}\n"
    yield plain(description.help or description.line) + "\n"
    yield _keys(settings)
    for inner in _models_in(settings):
        yield f"### {name}: {inner.__name__}\n"
        yield plain(inspect.cleandoc(inner.__doc__ or "").split("\n\n")[0]) + "\n"
        yield _keys(inner)


def _keys(model: type[BaseModel]) -> str:
    rows = [
        (code(name), _kind(field.annotation), _default(field), plain(field.description or "") + _bounds(field))
        for name, field in model.model_fields.items()
    ]
    return table(("key", "value", "default", ""), rows)


def _models_in(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Models of structures within a stage's settings, those within them after them."""
    models: dict[type[BaseModel], None] = {}
    pending: list[Any] = [field.annotation for field in model.model_fields.values()]
    while pending:
        kind = pending.pop(0)
        pending += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in models:
            models[kind] = None
            pending += [field.annotation for field in kind.model_fields.values()]
    return list(models)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None or default is PydanticUndefined or default in ((), {}, ""):
        return ""
    if isinstance(default, ByteSize):
        return code(default.human_readable(separator=""))
    if isinstance(default, tuple):
        return code(f"[{', '.join(map(str, default))}]")
    return code(str(default).lower() if isinstance(default, bool) else default)


def _bounds(field: Any) -> str:
    bounds = [
        f"{words} {getattr(bound, name)}"
        for bound in field.metadata
        for name, words in BOUNDS.items()
        if getattr(bound, name, None) is not None
    ]
    return f" ({', '.join(bounds)})" if bounds else ""


def _kind(kind: Any) -> str:
    """A type in words of YAML."""
    origin, inner = get_origin(kind), [part for part in get_args(kind) if part is not type(None)]
    if origin is Annotated:
        return _kind(inner[0])
    if origin is Literal:
        return ", ".join(map(code, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_kind, inner)))
    if origin is tuple:
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"mapping of {_kind(inner[0])} to {_kind(inner[1])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.__name__
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "`true` or `false`",
        ByteSize: "size",
        Any: "value",
    }
    return names.get(kind, getattr(kind, "__name__", str(kind)))
