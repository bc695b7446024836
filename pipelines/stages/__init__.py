"""The stages by name. Each file holds one stage: its settings, its plan and its phases; what its workers do is in
`pipelines/tasks/`, so that planning never imports a heavy library."""

import importlib

from dataproc.errors import UserError
from pipelines.engine.stage import Stage

STAGES = {
    "ingest": "pipelines.stages.ingest:IngestStage",
    "filter": "pipelines.stages.filter:FilterStage",
    "dedup": "pipelines.stages.dedup:DedupStage",
    "count": "pipelines.stages.count:CountStage",
    "tokenizer": "pipelines.stages.tokenizer:TokenizerStage",
    "pack": "pipelines.stages.pack:PackStage",
    "spans": "pipelines.stages.spans:SpansStage",
    "decontaminate": "pipelines.stages.decontaminate:DecontaminateStage",
    "mixture": "pipelines.stages.mixture:MixtureStage",
    "quality-train": "pipelines.stages.quality_train:QualityTrainStage",
    "quality-score": "pipelines.stages.quality_score:QualityScoreStage",
    "quality-keep": "pipelines.stages.quality_keep:QualityKeepStage",
    "quality-domains": "pipelines.stages.quality_domains:QualityDomainsStage",
    "quality-seeds": "pipelines.stages.quality_domains:QualitySeedsStage",
    "export": "pipelines.stages.export:ExportStage",
    "import": "pipelines.stages.import_tokens:ImportStage",
    "train": "pipelines.stages.train:TrainStage",
}


def stage_type(name: str) -> type[Stage]:
    """The class of a stage. Raises UserError for a name that is none."""
    if name not in STAGES:
        raise UserError(f"no stage '{name}'", mend=f"the stages are {', '.join(STAGES)}")
    module, _, attribute = STAGES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
