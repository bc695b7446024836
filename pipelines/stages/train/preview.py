"""What a run would come to on other machines, for `--dry-run`: of a `train` that names a layout.

Needs no shards, so a recipe can be priced before there is any data.
"""

from typing import Any

from corpusmill.pipelines.recipe import NamedStage
from corpusmill.pipelines.stages.train.plan import TrainStage
from corpusmill.pipelines.stages.train.simulated import campaign_rows, campaign_values


def plan_lines(named: NamedStage, sequence_length: int) -> list[str]:
    """A line for each figure; none for a run that names no layout."""
    stage = named.stage
    assert isinstance(stage, TrainStage)
    if (simulated := stage.simulated(sequence_length)) is None:
        return []
    work, gpu, campaign = simulated
    rows = campaign_rows(stage.settings.preset, work, gpu, campaign)
    wide = max(len(what) for what, _ in rows)
    return [f"{named.name} as simulated:", *(f"  {what:<{wide}}  {figure}" for what, figure in rows)]


def plan_values(named: NamedStage, sequence_length: int) -> dict[str, Any] | None:
    """The same for `--json`."""
    stage = named.stage
    assert isinstance(stage, TrainStage)
    simulated = stage.simulated(sequence_length)
    return None if simulated is None else campaign_values(*simulated)
