"""What of a model one rank holds, when layers are split over a pipeline and experts over ranks.

`training/model/memory.py` and `training/simulate/` count by it, so that a description of one rank and a simulation of
2,048 agree. The whole model is a share, too. MTP's module shares the embedding and the head; a rank that has it without
the first layer holds the embedding a second time (V3 puts both on the same ranks, section 3.2.3).
"""

from dataclasses import dataclass

from corpusmill.training.model.config import attention_parameters
from corpusmill.training.model.dimensions import ModelConfig


@dataclass(frozen=True)
class ModelShare:
    """Layers by kind, and what stands before and after them."""

    dense_layers: int
    moe_layers: int
    embedding: bool
    """Whether it has the first layer's input; only this, MTP apart, needs the table."""
    head: bool
    """With the final norm, and with MTP's modules if the model has any."""
    expert_ranks: int = 1
    """Over how many ranks a layer's routed experts are spread."""

    @property
    def layers(self) -> int:
        """Of both kinds, MTP's modules not counted."""
        return self.dense_layers + self.moe_layers

    def mtp_modules(self, config: ModelConfig) -> int:
        """Modules that it has."""
        return config.mtp_depth if self.head else 0

    def expert_layers(self, config: ModelConfig) -> int:
        """Layers with experts, MTP's included."""
        return self.moe_layers + self.mtp_modules(config)

    def __add__(self, other: "ModelShare") -> "ModelShare":
        """Both, for a rank that has two stages; a table is there once."""
        return ModelShare(
            self.dense_layers + other.dense_layers,
            self.moe_layers + other.moe_layers,
            self.embedding or other.embedding,
            self.head or other.head,
            self.expert_ranks,
        )


def whole(config: ModelConfig) -> ModelShare:
    """All of a model."""
    return ModelShare(config.n_dense_layers, config.n_moe_layers, True, True)


@dataclass(frozen=True)
class ShareCount:
    """Learnable numbers of a share."""

    routed: int
    """Of routed experts."""
    others: int
    """All else, routers included."""
    routers: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.routed + self.others


def share_parameters(config: ModelConfig, share: ModelShare) -> ShareCount:
    """What a rank with this share trains, or helps to train. The largest rank's experts, if they don't divide."""
    c, modules = config, share.mtp_modules(config)
    expert, router, table = 3 * c.dim * c.moe_inter_dim, c.n_routed_experts * c.dim, c.vocab_size * c.dim
    expert_layers = share.expert_layers(c)
    others = (share.layers + modules) * attention_parameters(c)
    others += share.dense_layers * 3 * c.dim * c.inter_dim
    others += expert_layers * (router + c.n_shared_experts * expert)
    others += modules * (2 * c.dim * c.dim + 3 * c.dim)
    others += table * (share.embedding or modules > 0) + (table + c.dim) * share.head
    experts_here = -(-c.n_routed_experts // share.expert_ranks)
    return ShareCount(expert_layers * experts_here * expert, others, expert_layers * router)
