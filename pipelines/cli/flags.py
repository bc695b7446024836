"""Commands made from settings: each field of a stage's model is a flag, so the flags and the recipe cannot disagree.

Values are taken as text and read by the model itself; a list is separated by commas, a size has a unit (64MiB).
"""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.stopping import USUAL_SECONDS
from corpusmill.pipelines.quarantine import DEFAULT
from corpusmill.pipelines.settings import validate

EngineOption = Annotated[
    str | None, typer.Option(help="local or ray; ray by default if RAY_ADDRESS is set", metavar="NAME")
]
AddressOption = Annotated[str | None, typer.Option(help="address of a Ray cluster to attach to", metavar="HOST:PORT")]
WorkersOption = Annotated[int, typer.Option(help="worker processes; 0 means one per core", min=0, metavar="N")]
GraceOption = Annotated[
    float, typer.Option(help="time for a training run to write a checkpoint after SIGTERM", min=0, metavar="SECONDS")
]
MemoryOption = Annotated[
    str, typer.Option(help="kill a local worker that exceeds this, e.g. 4GiB; 0 means an even share", metavar="SIZE")
]
ResourcesOption = Annotated[
    list[str],
    typer.Option(
        help="reserve for each task on Ray, e.g. GPU=1,memory=8GiB,label.zone=a; in recipes STAGE:NAME=VALUE,... "
        "(repeatable)",
        metavar="NAME=VALUE,...",
    ),
]
HeadTasksOption = Annotated[
    bool, typer.Option("--head-tasks", help="run tasks on Ray's head node, too, where there are other nodes")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="overwrite output that is already there")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="print the plan and run nothing")]
MaxQuarantineOption = Annotated[
    str | None,
    typer.Option(
        help=f"exit with 3 if a stage quarantines more: a count, or a share as in 0.5% [default: {DEFAULT}]",
        metavar="N|SHARE",
        show_default=False,
    ),
]
AllowQuarantineOption = Annotated[
    bool, typer.Option("--allow-quarantine", help="exit with 0 however much is quarantined")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print the summary (or the plan) as JSON")]
LogFormatOption = Annotated[
    str | None,
    typer.Option(
        help="format of the lines on stderr; CORPUSMILL_LOG_FORMAT sets it too [default: text]",
        metavar="text|json",
        show_default=False,
    ),
]

RUN_OPTIONS: dict[str, tuple[Any, Any]] = {
    "engine": (EngineOption, None),
    "address": (AddressOption, None),
    "workers": (WorkersOption, 0),
    "memory_per_worker": (MemoryOption, "0"),
    "resources": (ResourcesOption, []),
    "head_tasks": (HeadTasksOption, False),
    "grace_seconds": (GraceOption, USUAL_SECONDS),
    "overwrite": (OverwriteOption, False),
    "dry_run": (DryRunOption, False),
    "max_quarantine": (MaxQuarantineOption, None),
    "allow_quarantine": (AllowQuarantineOption, False),
    "json": (JsonOption, False),
    "log_format": (LogFormatOption, None),
}
"""Options that every command that runs stages has, as (annotation, default)."""


def with_options(function: Callable[..., Any], options: Mapping[str, tuple[Any, Any]]) -> Callable[..., Any]:
    """Gives a function that takes **values the signature that typer makes a command of."""
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=annotation,
            default=inspect.Parameter.empty if default is ... else default,
        )
        for name, (annotation, default) in options.items()
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {name: annotation for name, (annotation, _) in options.items()}
    return function


def options_of(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """The options that `with_options` gave a function, to add to."""
    return {
        parameter.name: (
            parameter.annotation,
            ... if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in inspect.signature(function).parameters.values()
    }


def model_options(model: type[BaseModel], positional: Sequence[str] = ()) -> dict[str, tuple[Any, Any]]:
    """A flag for each field; the fields named `positional` become arguments."""
    options: dict[str, tuple[Any, Any]] = {}
    for name, field in model.model_fields.items():
        kind = _plain(field.annotation)
        text = field.description or ""
        if (field.json_schema_extra or {}).get("recipe_only"):  # type: ignore[union-attr]
            continue
        if name in positional:
            several = get_origin(kind) is tuple
            annotation: Any = list[str] if several else str
            argument = typer.Argument(help=text, metavar=name.upper())
            if field.is_required():
                options[name] = (Annotated[annotation, argument], ...)
            else:
                options[name] = (Annotated[annotation | None, argument], None)
        elif kind is bool:
            flag = name.replace("_", "-")
            options[name] = (Annotated[bool, typer.Option(f"--{flag}/--no-{flag}", help=text)], field.default)
        else:
            option = typer.Option(help=_help(text, field), metavar=_metavar(kind), show_default=False)
            required = field.is_required()
            options[name] = (Annotated[str if required else str | None, option], ... if required else None)
    return options


def read_model(model: type[BaseModel], values: Mapping[str, Any], where: str = "") -> Any:
    """Settings from flag values: None is "not given", lists are split at commas. Raises UserError, one line."""
    given: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or name not in model.model_fields:
            continue
        kind = _plain(model.model_fields[name].annotation)
        if isinstance(value, str) and get_origin(kind) is tuple:
            value = [part.strip() for part in value.split(",") if part.strip()]
        elif isinstance(value, str) and get_origin(kind) is dict:
            value = read_assignments(value, name)
        given[name] = value
    return validate(model, given, where, flags=True)


def read_assignments(text: str, name: str) -> dict[str, str]:
    """{name: value} from "A=1,B=2". Raises UserError for what is no assignment; `name` is the flag's."""
    assigned: dict[str, str] = {}
    for part in text.split(","):
        if part.strip():
            key, value = _assignment(part, name)
            if key in assigned:
                raise UserError(f"'{key}' is given twice", where=f"--{name.replace('_', '-')}", hint="give it once")
            assigned[key] = value
    return assigned


def _assignment(text: str, name: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"'{text}' is not NAME=VALUE", where=f"--{name.replace('_', '-')}")
    return key.strip(), value.strip()


def _plain(annotation: Any) -> Any:
    """The type without `None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [word for word in get_args(annotation) if word is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(str(word) for word in get_args(kind))
    if get_origin(kind) is tuple:
        return "A,B,..."
    if get_origin(kind) is dict:
        return "NAME=VALUE,..."
    names: dict[Any, str] = {int: "N", float: "X", ByteSize: "SIZE", str: "TEXT"}
    return names.get(kind, "TEXT")


def _help(text: str, field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined or default is None or default == () or default == {}:
        return text
    if isinstance(default, ByteSize):
        shown = default.human_readable()
    elif isinstance(default, tuple):
        shown = ",".join(str(value) for value in default)
    else:
        shown = str(default)
    return f"{text} [default: {shown}]"
