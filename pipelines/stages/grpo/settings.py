"""Flags and recipe keys of stages that train on a model, made from the trainer's own settings."""

from collections.abc import Sequence
from typing import Annotated, Any, get_origin

from pydantic import Field, create_model

from corpusmill.pipelines.engine.stage import StageSettings
from corpusmill.training.reinforcement.settings import GrpoSettings, RewardSettings
from corpusmill.training.settings import changeable_settings, described_settings

NOT_OFFERED = ("output", "seed")
"""Settings of the trainer that come from options which all stages have."""


def stage_settings(name: str, kind: Any, text: str) -> Any:
    """A model of settings with a field for each of the trainer's; a sequence becomes a tuple."""
    fields: dict[str, Any] = {}
    for setting, about in described_settings(kind).items():
        if setting in NOT_OFFERED:
            continue
        annotation: Any = about.kind
        if get_origin(annotation) is Sequence:
            annotation = tuple[str, ...]
        annotation = annotation | None if about.optional else annotation
        field = kind.__dataclass_fields__[setting]
        required = field.default is field.default_factory  # both are the mark of a field without a default
        fields[setting] = (
            Annotated[annotation, *about.bounds] if about.bounds else annotation,
            Field(
                default=... if required else field.default,
                description=about.setting.description,
                json_schema_extra={"recipe_only": about.setting.recipe_only},
            ),
        )
    return create_model(name, __base__=StageSettings, __module__=__name__, __doc__=text, **fields)


GrpoStageSettings: Any = stage_settings("GrpoStageSettings", GrpoSettings, "Settings of `corpusmill train grpo`.")
RewardStageSettings: Any = stage_settings(
    "RewardStageSettings", RewardSettings, "Settings of `corpusmill train reward`."
)
"""`Any` to mypy, which cannot see fields that code makes."""

FREE_OF_GRPO = changeable_settings(GrpoSettings) - {"run", "prompts", "held_back", "output", "tokenizer"}
FREE_OF_REWARD = changeable_settings(RewardSettings) - {"run", "pairs", "output", "tokenizer"}
"""Settings that may change when a run is resumed. What a run reads is compared by content."""
