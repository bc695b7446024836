"""What a task reserves of a cluster's nodes: CPUs, GPUs, memory, resources of the cluster's own, and labels of nodes.

A recipe says it for each stage, a command line for some (`--resources`):

    resources: {CPU: 4, memory: 16GiB, fast_disk: 1, label.ray.io/market-type: spot}
    --resources 'model:GPU=1,label.ray.io/accelerator-type=H100'

`CPU`, `GPU` and `memory` are Ray's names, `label.NAME` asks for nodes of that label (Ray's operators `!value` and
`in(a,b)` included), and any other name is a resource that nodes were started with. The local engine has one machine and
needs none of it. Nothing of this changes a byte of an output, and no plan has it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ByteSize, TypeAdapter, ValidationError

from corpusmill.dataproc.errors import UserError

LABEL = "label."
NUMBERED = ("CPU", "GPU")
NONE = ("memory", 0)
_LABEL_NAME = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?/)?[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?", re.ASCII
)
_LABEL_VALUE = r"[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?"
_LABEL_WANTED = re.compile(rf"!?(?:{_LABEL_VALUE}|in\({_LABEL_VALUE}(?: *, *{_LABEL_VALUE})*\))", re.ASCII)
"""What Ray takes as a label's name and as what is asked of it."""
_COMMA = re.compile(r",(?![^(]*\))")


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """What one task, or one rank of a training run, reserves.

    Attributes:
        cpus, gpus: None to leave it to the stage: one CPU, and what ranks need.
        memory: bytes; 0 for none.
        custom: resources of the cluster's own, by name.
        labels: of nodes, by name.
    """

    cpus: float | None = None
    gpus: float | None = None
    memory: int = 0
    custom: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_values(self) -> dict[str, Any]:
        """As a call has it: values that JSON keeps; nothing for what was left out."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and value != {} and (name, value) != NONE
        }


def read_reserved(values: Mapping[str, Any], where: str) -> Reserved:
    """From names and values. Raises UserError for what is no amount or label."""
    numbers: dict[str, float] = {}
    labels: dict[str, str] = {}
    memory = 0
    for name, value in values.items():
        place = f"{where}: {name}"
        if not isinstance(name, str):
            raise UserError("the name of a resource is not text", where=place, hint="as in CPU: 4")
        if name not in NUMBERED and name.upper() in NUMBERED:
            raise UserError(f"Ray calls this resource {name.upper()}", where=place, hint=f"write {name.upper()}")
        if name.startswith(LABEL):
            label = name.removeprefix(LABEL)
            if not isinstance(value, str) or not value.strip() or not label:
                raise UserError("a label has a name and a text", where=place, hint=f"as in {LABEL}zone: us-east-1a")
            if not _LABEL_NAME.fullmatch(label) or not _LABEL_WANTED.fullmatch(value.strip()):
                hint = f"as in {LABEL}zone: us-east-1a, {LABEL}zone: '!us-east-1a', or {LABEL}zone: in(a, b)"
                raise UserError("Ray does not take a label of this form", where=place, hint=hint)
            labels[label] = value.strip()
        elif name == "memory":
            memory = _size(value, place)
        else:
            numbers[name] = _amount(value, place)
    custom = {name: number for name, number in numbers.items() if name not in NUMBERED}
    return Reserved(cpus=numbers.get("CPU"), gpus=numbers.get("GPU"), memory=memory, custom=custom, labels=labels)


def read_flags(texts: Sequence[str], stages: Sequence[str]) -> dict[str, Reserved]:
    """{stage: what its tasks reserve} from `STAGE:NAME=VALUE,...`; `STAGE:` may be left out where there is one stage.

    Raises UserError for another stage, and for what is no assignment.
    """
    given: dict[str, Reserved] = {}
    for text in texts:
        head, colon, rest = text.partition(":")
        if not colon or "=" in head:
            head, rest = (stages[0] if len(stages) == 1 else ""), text
        if head not in stages:
            hint = f"write STAGE:NAME=VALUE, with one of {', '.join(stages)}"
            raise UserError(f"no stage '{head}' in '{text}'", where="--resources", hint=hint)
        if head in given:
            raise UserError(f"'{head}' is given twice", where="--resources", hint="separate its values by commas")
        assignments = [_assignment(part) for part in _COMMA.split(rest) if part.strip()]
        values = dict(assignments)
        if len(values) < len(assignments):
            raise UserError(f"'{text}' gives a resource twice", where="--resources", hint="give it once")
        given[head] = read_reserved(values, "--resources")
    return given


def _assignment(part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not equals or not name.strip():
        raise UserError(f"'{part}' is not NAME=VALUE", where="--resources")
    return name.strip(), value.strip()


def _amount(value: Any, place: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if isinstance(value, bool) or not 0 <= number < 1e6 or (number > 1 and number != int(number)):
        hint = "write a number: whole, or a share below 1"
        raise UserError(f"{value!r} is not an amount of a resource", where=place, hint=hint)
    return number


def _size(value: Any, place: str) -> int:
    try:
        return int(TypeAdapter(ByteSize).validate_python(value))
    except ValidationError as error:
        raise UserError(
            f"{value!r} is not a size", where=place, hint="write a number and a unit, as in 8GiB"
        ) from error
