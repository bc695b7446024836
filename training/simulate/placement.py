"""Which layers are in which stage: as even as whole layers allow.

The last stage has the head and MTP, which take as long as several layers, so it gets fewer. What counts is the sum of
the stages that one rank has. V3's report does not say how its 61 layers are cut; its published profile has 4 in a
stage.
"""

from collections.abc import Callable

from corpusmill.training.model.dimensions import ModelConfig
from corpusmill.training.model.shares import ModelShare
from corpusmill.training.simulate.layout import Layout


def place(config: ModelConfig, layout: Layout, seconds: Callable[[ModelShare], float]) -> list[ModelShare]:
    """The share of each stage. Layers go one by one to the stage whose ranks have the least to do.

    Args:
        config: the model.
        layout: how many stages there are, and which of them share a rank.
        seconds: how long a share takes.
    """
    stages = layout.stages
    partners = _partners(layout)
    layer = seconds(_share(0, 1, False, False, layout))
    ends = [seconds(_share(0, 0, stage == 0, stage == stages - 1, layout)) for stage in range(stages)]
    counts, loads = [1] * stages, [end + layer for end in ends]
    rank_loads = [sum(loads[partner] for partner in partners[stage]) for stage in range(stages)]
    for _ in range(config.n_layers - stages):
        fewest = min(range(stages), key=lambda stage: (round(rank_loads[stage], 9), loads[stage], stage))
        counts[fewest] += 1
        loads[fewest] += layer
        for partner in partners[fewest]:
            rank_loads[partner] += layer
    shares, begin = [], 0
    for stage, count in enumerate(counts):
        dense = max(0, min(config.n_dense_layers - begin, count))
        shares.append(_share(dense, count - dense, stage == 0, stage == stages - 1, layout))
        begin += count
    return shares


def _share(dense: int, moe: int, first: bool, last: bool, layout: Layout) -> ModelShare:
    return ModelShare(dense, moe, first, last, layout.expert)


def _partners(layout: Layout) -> dict[int, tuple[int, ...]]:
    """The stages that are on one rank with each stage, itself included."""
    by_rank = (layout.plan.stages(rank, layout.pipeline) for rank in range(layout.pipeline))
    return {stage: stages for stages in by_rank for stage in stages}
