"""What the ids of a tokenizer will be, for `--dry-run`."""

from corpusmill.pipelines.recipe import NamedStage
from corpusmill.pipelines.stages.tokenizer.plan import TokenizerStage


def plan_lines(named: NamedStage) -> list[str]:
    """One line; none while the tokenizer that is to be continued is not there."""
    stage = named.stage
    assert isinstance(stage, TokenizerStage)
    return [f"{named.name}: {stage.sizes()}"]
