"""The stages by name. Each file holds one stage: its settings, its plan and its phases; what its workers do is in
`pipelines/tasks/`, so that planning never imports a heavy library."""

import importlib

from dataproc.errors import UserError
from pipelines.engine.stage import Stage

STAGES = {
    "ingest": "pipelines.stages.ingest.plan:IngestStage",
    "filter": "pipelines.stages.filter.plan:FilterStage",
    "dedup": "pipelines.stages.dedup.plan:DedupStage",
    "count": "pipelines.stages.tokenizer.count:CountStage",
    "tokenizer": "pipelines.stages.tokenizer.plan:TokenizerStage",
    "pack": "pipelines.stages.pack.plan:PackStage",
    "spans": "pipelines.stages.spans.plan:SpansStage",
    "decontaminate": "pipelines.stages.decontaminate.plan:DecontaminateStage",
    "mixture": "pipelines.stages.mixture.plan:MixtureStage",
    "quality-train": "pipelines.stages.quality_train.plan:QualityTrainStage",
    "quality-score": "pipelines.stages.quality_score.plan:QualityScoreStage",
    "quality-keep": "pipelines.stages.quality_keep.plan:QualityKeepStage",
    "quality-domains": "pipelines.stages.quality_domains.plan:QualityDomainsStage",
    "quality-seeds": "pipelines.stages.quality_domains.plan:QualitySeedsStage",
    "export": "pipelines.stages.export.plan:ExportStage",
    "import": "pipelines.stages.import_tokens.plan:ImportStage",
    "train": "pipelines.stages.train.plan:TrainStage",
}


def stage_type(name: str) -> type[Stage]:
    """The class of a stage. Raises UserError for a name that is none."""
    if name not in STAGES:
        raise UserError(f"no stage '{name}'", mend=f"the stages are {', '.join(STAGES)}")
    module, _, attribute = STAGES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
