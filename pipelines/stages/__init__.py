"""The stages by name. Each file holds one stage: its settings, its plan and its phases; what its workers do is in
`pipelines/tasks/`, so that planning never imports a heavy library."""

import importlib

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.stage import Stage

STAGES = {
    "ingest": "corpusmill.pipelines.stages.ingest.plan:IngestStage",
    "filter": "corpusmill.pipelines.stages.filter.plan:FilterStage",
    "dedup": "corpusmill.pipelines.stages.dedup.plan:DedupStage",
    "count": "corpusmill.pipelines.stages.tokenizer.count:CountStage",
    "tokenizer": "corpusmill.pipelines.stages.tokenizer.plan:TokenizerStage",
    "pack": "corpusmill.pipelines.stages.pack.plan:PackStage",
    "spans": "corpusmill.pipelines.stages.spans.plan:SpansStage",
    "decontaminate": "corpusmill.pipelines.stages.decontaminate.plan:DecontaminateStage",
    "mixture": "corpusmill.pipelines.stages.mixture.plan:MixtureStage",
    "quality-train": "corpusmill.pipelines.stages.quality_train.plan:QualityTrainStage",
    "quality-score": "corpusmill.pipelines.stages.quality_score.plan:QualityScoreStage",
    "quality-keep": "corpusmill.pipelines.stages.quality_keep.plan:QualityKeepStage",
    "quality-domains": "corpusmill.pipelines.stages.quality_domains.plan:QualityDomainsStage",
    "quality-seeds": "corpusmill.pipelines.stages.quality_domains.plan:QualitySeedsStage",
    "export": "corpusmill.pipelines.stages.export.plan:ExportStage",
    "import": "corpusmill.pipelines.stages.import_tokens.plan:ImportStage",
    "train": "corpusmill.pipelines.stages.train.plan:TrainStage",
}


def stage_type(name: str) -> type[Stage]:
    """The class of a stage. Raises UserError for a name that is none."""
    if name not in STAGES:
        raise UserError(f"no stage '{name}'", hint=f"the stages are {', '.join(STAGES)}")
    module, _, attribute = STAGES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
