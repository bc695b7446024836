"""How several processes train one model: who they are, and who keeps which weights, gradients and moments."""

from typing import TYPE_CHECKING

import torch

from corpusmill.training.layout import stage_count
from corpusmill.training.model.dimensions import ModelConfig
from corpusmill.training.model.matrices import Matrices
from corpusmill.training.model.placement import HERE, Placement
from corpusmill.training.model.transformer import Transformer, build_model, give_memory
from corpusmill.training.parallel.ranks import Ranks
from corpusmill.training.parallel.weights import Weights
from corpusmill.training.parallel.zero1 import Zero1
from corpusmill.training.precision import TYPES
from corpusmill.training.settings import TrainSettings

if TYPE_CHECKING:
    from corpusmill.training.parallel.pipeline import Pipeline


def choose(settings: TrainSettings, model: Transformer, ranks: Ranks) -> Weights:
    """The weights of a model in the layout, precision and type of moments that the settings name.

    The model holds the values to start from, in FP32 and equal on all ranks (or anything, where a checkpoint is loaded
    next). It is taken over: parameters may be converted and spread. In one process both layouts are the same.
    """
    options = (settings.precision, settings.moments, settings.weight_decay)
    if settings.parallel == "fsdp2" and not ranks.alone:
        from corpusmill.training.parallel.fsdp2 import Fsdp2

        return Fsdp2(model, ranks, *options)
    return Zero1(model, ranks, *options)


def placement_for(settings: TrainSettings, config: ModelConfig, ranks: Ranks) -> Placement:
    """Where a run's experts are, and how tokens get there."""
    if ranks.size("expert") == 1:
        return HERE
    from corpusmill.training.parallel.expert import ExpertParallel

    placement = ExpertParallel(ranks, packed=settings.precision == "fp8", chunk=settings.expert_chunk)
    if not settings.expert_chunk:
        placement.measure(config.dim, TYPES[settings.precision])
    return placement


def build(
    settings: TrainSettings, config: ModelConfig, ranks: Ranks, matrices: Matrices, placement: Placement
) -> Transformer:
    """What a rank has of a run's model, with undefined weights."""
    if ranks.size("pipeline") == 1:
        return build_model(config, ranks.device, settings.recompute, matrices, placement)
    from corpusmill.training.parallel.stages import StagedTransformer

    with torch.device("meta"):
        model = StagedTransformer(config, ranks, stage_count(settings), settings.recompute, matrices, placement)
    return give_memory(model, ranks.device)


def pipeline_of(settings: TrainSettings, model: Transformer, length: int) -> "Pipeline | None":
    """What makes the passes of a rank that has some layers only; None for one that has all."""
    if settings.pipeline_ranks == 1:
        return None
    from corpusmill.training.parallel.pipeline import Pipeline
    from corpusmill.training.parallel.stages import StagedTransformer

    assert isinstance(model, StagedTransformer)
    return Pipeline(model, settings.pipeline_schedule, settings.micro_batch, length, settings.document_mask)
