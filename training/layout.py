"""How many ranks a run spreads over which axis, and whether its model and batch can be spread so.

Three axes. *Data*: ranks hold the same weights and train on different sequences. *Expert*: the same, except that each
holds a part of every layer's routed experts, and tokens travel to those that they chose. *Pipeline*: ranks hold
different layers, and activations travel. V3 has 16 pipeline ranks and 64 expert ranks (section 3.1). An expert rank
has sequences of its own, so the whole batch is cut over data times expert ranks.

The expert axis is the innermost, so its ranks are neighbours: their traffic is the heaviest. Rank numbers follow from
(pipeline, data, expert) as digits do.

Everything is checked before a process group, a model or a file is made; this file does not import torch.
"""

from dataclasses import dataclass

from corpusmill.dataproc.errors import UserError
from corpusmill.training.model.dimensions import ModelConfig
from corpusmill.training.settings import TrainSettings

WHERE = "layout"
STAGES_A_RANK = {"dualpipev": 2, "zbv": 2, "1f1b": 1}
"""Pipeline stages on each rank, by schedule."""


@dataclass(frozen=True)
class Layout:
    """Ranks along each axis."""

    data: int = 1
    expert: int = 1
    pipeline: int = 1
    node: int = 1
    """Machines that the ranks of an expert axis are on."""

    @property
    def local(self) -> int:
        """Expert ranks on one machine."""
        return self.expert // self.node

    @property
    def world_size(self) -> int:
        """Ranks in all."""
        return self.data * self.expert * self.pipeline

    @property
    def batch(self) -> int:
        """Parts that a batch is cut into."""
        return self.data * self.expert

    @property
    def only_data(self) -> bool:
        """Whether every rank holds the whole model."""
        return self.expert == self.pipeline == 1

    def place(self, rank: int) -> "Place":
        """Where a rank is on each axis."""
        rest, expert = divmod(rank, self.expert)
        pipeline, data = divmod(rest, self.data)
        return Place(data, expert, pipeline, *divmod(expert, self.local))


@dataclass(frozen=True)
class Place:
    """A rank's number on each axis, from 0."""

    data: int = 0
    expert: int = 0
    pipeline: int = 0
    node: int = 0
    local: int = 0


def layout_of(settings: TrainSettings, world_size: int) -> Layout:
    """The layout that the settings ask for on so many ranks. Raises UserError where they don't divide."""
    inner = settings.expert_ranks * settings.pipeline_ranks
    if world_size % inner:
        raise UserError(
            f"{settings.expert_ranks} expert times {settings.pipeline_ranks} pipeline ranks don't divide "
            f"{world_size} ranks",
            where=WHERE,
            hint=f"start a multiple of {inner} ranks",
        )
    return Layout(world_size // inner, settings.expert_ranks, settings.pipeline_ranks, settings.expert_nodes)


def stage_count(settings: TrainSettings) -> int:
    """Pipeline stages of a run, over all ranks."""
    return settings.pipeline_ranks * STAGES_A_RANK[settings.pipeline_schedule]


def require_layout(config: ModelConfig, settings: TrainSettings, world_size: int) -> Layout:
    """The layout of a run. Raises UserError for one that its model or its batch does not allow."""

    def require(law: bool, what: str, hint: str) -> None:
        if not law:
            raise UserError(what, where=WHERE, hint=hint)

    layout = layout_of(settings, world_size)
    if layout.only_data:
        return layout
    require(
        settings.parallel == "zero1",
        f"parallel '{settings.parallel}' shards weights over data ranks only",
        "use zero1 with expert or pipeline ranks",
    )
    _require_experts(config, settings, layout)
    if layout.pipeline > 1:
        count = stage_count(settings)
        require(
            config.n_layers >= count,
            f"{config.n_layers} layers are fewer than the {count} stages of {layout.pipeline} pipeline ranks under "
            f"{settings.pipeline_schedule}",
            "use fewer pipeline ranks, or 1f1b, which has one stage a rank",
        )
        smallest = settings.first_batch_sequences or settings.batch_sequences
        passes = -(-smallest // (layout.batch * settings.micro_batch))
        require(
            passes >= count,
            f"a batch of {smallest} sequences over {layout.batch} pipelines is {passes} micro-batches of "
            f"{settings.micro_batch}, and {count} stages need as many",
            "use a smaller micro_batch or a larger batch",
        )
    return layout


def _require_experts(config: ModelConfig, settings: TrainSettings, layout: Layout) -> None:
    def require(law: bool, what: str, hint: str) -> None:
        if not law:
            raise UserError(what, where=WHERE, hint=hint)

    experts, groups, nodes = config.n_routed_experts, config.n_expert_groups, settings.expert_nodes
    if layout.expert == 1:
        require(nodes == 1, f"expert_nodes is {nodes}, but there is one expert rank", "leave it out")
        return
    require(
        config.n_moe_layers + config.mtp_depth > 0,
        f"{layout.expert} expert ranks, but the model has no layer with experts",
        "use data ranks",
    )
    require(
        experts % layout.expert == 0,
        f"{experts} experts cannot be divided among {layout.expert} expert ranks",
        f"use a divisor of {experts}",
    )
    require(
        layout.expert % nodes == 0,
        f"{layout.expert} expert ranks cannot be divided among {nodes} nodes",
        f"use a divisor of {layout.expert}",
    )
    require(
        nodes == 1 or groups == 1 or groups % nodes == 0,
        f"{groups} expert groups cannot be divided among {nodes} nodes, so a token would cross to more nodes than its "
        "groups allow",
        f"use a divisor of {groups}",
    )
