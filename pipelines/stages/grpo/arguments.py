"""What the tasks of grpo and reward are given."""

from collections.abc import Mapping
from dataclasses import dataclass

from corpusmill.training.reinforcement.settings import GrpoSettings, RewardSettings


@dataclass(frozen=True, kw_only=True)
class GrpoWork:
    """One run of GRPO; paths can be opened as they stand."""

    settings: GrpoSettings
    prompts: tuple[str, ...]
    held_back: tuple[str, ...]
    models: Mapping[str, str]
    """Folders of reward models by the names that rewards have them by."""


@dataclass(frozen=True, kw_only=True)
class RewardWork:
    """One reward model's training."""

    settings: RewardSettings
    pairs: tuple[str, ...]
