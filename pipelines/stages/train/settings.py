"""The flags and recipe keys of `corpusmill train`, made from the trainer's own settings (`training/settings.py`).

What is left out follows the preset, so nearly all defaults are None. Some keys are in recipes only, because they are
rarely changed and `--help` has to stay readable. Six settings are the command's own: a length in tokens or in epochs, a
recipe, the number of ranks, threads, of which 0 divides all cores among the ranks, and a layout that a dry run prices.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_origin

from pydantic import Field, create_model

from corpusmill.pipelines.engine.stage import StageSettings
from corpusmill.training.settings import DescribedSetting, TrainSettings, changeable_settings, described_settings


class PhaseSettings(StageSettings):
    """A stretch of the run with a mixture of its own."""

    tokens: int | None = Field(
        default=None, description="length of the phase in tokens, padding included; the last may have none", ge=1
    )
    mixture: dict[str, float] = Field(default={}, description="weights by group; the run's mixture if left out")


NOT_OFFERED = ("output", "seed")
"""Settings of the trainer that come from options which all stages have."""

AS_HERE: dict[str, Any] = {"phases": tuple[PhaseSettings, ...], "model": dict[str, float], "mixture": dict[str, float]}
"""Types of settings that a recipe writes down in another way than the trainer takes them."""

OWN: dict[str, tuple[str, Any, Any]] = {
    "tokens": (
        "steps",
        int | None,
        Field(
            default=None,
            description="length in tokens, padding included, instead of steps: the fewest steps that reach it",
            ge=1,
        ),
    ),
    "epochs": (
        "steps",
        float | None,
        Field(
            default=None,
            description="length in passes over the shards, instead of steps: the fewest steps that reach it",
            gt=0,
            allow_inf_nan=False,
        ),
    ),
    "recipe": (
        "preset",
        Literal["pretrain", "sft"],
        Field(
            default="pretrain",
            description="sft: fine-tune start_from on conversations (pack --chat): two epochs, DeepSeek-V3's cosine "
            "scaled by the preset, conversations hidden from each other; what is given goes before it",
        ),
    ),
    "ranks": (
        "parallel",
        int,
        Field(default=1, description="processes that train together; torchrun's number under torchrun", ge=1),
    ),
    "threads": (
        "ranks",
        int,
        Field(default=0, description="CPU threads of each rank; 0 divides all cores among them", ge=0),
    ),
    "simulate": (
        "threads",
        str | None,
        Field(
            default=None,
            description="GPUs on which --dry-run prices the run: GPU:LAYOUT, as in train --simulate",
            json_schema_extra={"recipe_only": True},
        ),
    ),
}
"""The command's own settings: the setting that each is listed after, its type and its field."""


def _field(name: str, about: DescribedSetting) -> tuple[Any, Any]:
    """A setting of the trainer as the command offers it; if it is left out, the preset's value holds."""
    kind = AS_HERE.get(name, about.kind)
    default: Any = None
    if name == "shards":
        default = ...
    elif name == "preset" or kind is bool:
        default = TrainSettings.__dataclass_fields__[name].default
    elif get_origin(kind) in (dict, tuple):
        default = get_origin(kind)()
    annotation = kind if default is not None else kind | None
    extra: dict[str, Any] = {"recipe_only": about.setting.recipe_only}
    return Annotated[annotation, *about.bounds] if about.bounds else annotation, Field(
        default=default, description=about.setting.description, json_schema_extra=extra
    )


def _fields() -> Mapping[str, tuple[Any, Any]]:
    fields: dict[str, tuple[Any, Any]] = {}
    for name, about in described_settings().items():
        if name not in NOT_OFFERED and name not in OWN:
            fields[name] = _field(name, about)
        for own, (behind, annotation, field) in OWN.items():
            if behind in fields and own not in fields:
                fields[own] = (annotation, field)
    return fields


_FIELDS: dict[str, Any] = dict(_fields())
TrainStageSettings: Any = create_model(
    "TrainStageSettings",
    __base__=StageSettings,
    __module__=__name__,
    __doc__="Settings of `corpusmill train`; what is left out follows the preset.",
    **_FIELDS,
)
"""Settings of `corpusmill train`; what is left out follows the preset.

`Any` to mypy, which cannot see fields that code makes; naming them a second time for it would undo the one home. The
stage reads few of them, and hands all on to `TrainSettings`, where mypy knows every field.
"""

FREE = (changeable_settings() | {"ranks", "simulate"}) - {"shards", "output"}
"""Settings that may change when a run is resumed."""

NOT_THE_TRAINERS = {
    "shards", "preset", "threads", "tokens", "epochs", "recipe", "ranks", "start_from", "simulate",
}  # fmt: skip
"""Settings that reach the trainer in another way, or not at all."""
