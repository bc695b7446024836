"""The plan of a mixture, group by group, for `--dry-run`: the input's texts are measured in this process for it."""

from corpusmill.pipelines.datasets import list_parts
from corpusmill.pipelines.recipe import NamedStage
from corpusmill.pipelines.stages.mixture.about import plan_rows
from corpusmill.pipelines.stages.mixture.plan import MixtureStage
from corpusmill.pipelines.stages.mixture.work import sum_groups


def plan_lines(named: NamedStage) -> list[str]:
    """What becomes of each group, a line each. Raises UserError as the run itself would."""
    stage = named.stage
    assert isinstance(stage, MixtureStage)
    stage.check_inputs(named.folder)
    measuring, unit = stage.measuring(), stage.settings.unit
    parts = list_parts(stage.settings.datasets, stage.resolve)
    groups = [group for part in parts for group in sum_groups(part.path, measuring)]
    plan = [group.to_values() for group in stage.planned(groups)]
    total = sum(group["target"] for group in plan)
    return [f"{named.name}: {total:,} {unit} in total", *(f"{what}: {value}" for what, value in plan_rows(plan, unit))]
