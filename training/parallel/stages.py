"""Which layers each rank of a pipeline has, and the model that has only these.

A pipeline's stages are stretches of layers, cut so that the dearest costs as little as can be; the first also has the
embedding, the last the final norm, the head and the MTP modules, whose cost counts. With two stages a rank
(`dualpipev`, `zbv`) they lie in a V: rank r of P has stages r and 2 P - 1 - r. So the first rank has embedding and
head, and MTP uses the very same, as in section 3.2.3 of the report: one copy, one gradient. With one stage a rank
(`1f1b`) the embedding is on the first rank and MTP on the last; there the tokens' embeddings travel along with the
activations, and their gradients back, so again there is one copy.

Layers keep their numbers, so parameters have the names that they have in the whole model.
"""

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from corpusmill.training.model.config import ModelConfig, parts
from corpusmill.training.model.matrices import PLAIN, Matrices
from corpusmill.training.model.moe import routers
from corpusmill.training.model.placement import HERE, Placement
from corpusmill.training.model.recompute import recomputation
from corpusmill.training.model.transformer import Representations, Transformer
from corpusmill.training.parallel.ranks import Ranks


def layer_costs(config: ModelConfig) -> tuple[list[float], float]:
    """(cost of each layer, cost of what follows the last), in multiply-adds a token."""
    active = {part.name: part.active for part in parts(config)}
    experts = active["routers"] + active["routed experts"] + active["shared experts"]
    attention = active["attention and norms"] / config.n_layers
    dense = active["dense networks"] / max(1, config.n_dense_layers)
    routed = experts / max(1, config.n_moe_layers)
    layers = [attention + (dense if layer < config.n_dense_layers else routed) for layer in range(config.n_layers)]
    head = config.vocab_size * config.dim
    return layers, active["final norm and output head"] + active["MTP modules"] + config.mtp_depth * head


def cut(config: ModelConfig, count: int) -> list[range]:
    """The layers of each of so many stages, so that the dearest is as cheap as can be.

    Each has one layer at least; the last may have none, since head and MTP alone may cost more than any other.
    """
    layers, end = layer_costs(config)
    sums = [0.0]
    for cost in layers:
        sums.append(sums[-1] + cost)
    # best[s][n]: the dearest of s stages over the first n layers; what follows the last layer is the last stage's.
    best = [[float("inf")] * (len(layers) + 1) for _ in range(count + 1)]
    came: list[list[int]] = [[0] * (len(layers) + 1) for _ in range(count + 1)]
    best[0][0] = 0.0
    for stage in range(1, count + 1):
        for last in range(stage - (stage == count > 1), len(layers) + 1):
            for first in range(stage - 1, last + (stage == count > 1)):
                cost = max(best[stage - 1][first], sums[last] - sums[first] + (end if stage == count else 0.0))
                if cost < best[stage][last]:
                    best[stage][last], came[stage][last] = cost, first
    cuts, last = [], len(layers)
    for stage in range(count, 0, -1):
        cuts.append(range(came[stage][last], last))
        last = came[stage][last]
    return cuts[::-1]


class Absent(nn.Module):
    """Stands for a layer that another rank has."""


class StagedTransformer(Transformer):
    """The stages of one rank of a pipeline; see `Transformer` for the other arguments.

    Args:
        ranks: laid out, with several on the pipeline axis.
        count: stages of the whole pipeline.
    """

    def __init__(
        self,
        config: ModelConfig,
        ranks: Ranks,
        count: int,
        recompute: bool = False,
        matrices: Matrices = PLAIN,
        placement: Placement = HERE,
    ) -> None:
        super().__init__(config, recompute, matrices, placement)
        self.ranks, self.count = ranks, count
        self.cuts = cut(config, count)
        number, size = ranks.number("pipeline"), ranks.size("pipeline")
        self.mine = [number] if count == size else [number, count - 1 - number]
        """Numbers of the stages that are here."""
        self.has_embedding, self.has_head = 0 in self.mine, count - 1 in self.mine
        self.embedding_travels = count == size and config.mtp_depth > 0
        rows = {id(gate): row for row, gate in enumerate(routers(self))}
        here = {layer for stage in self.mine for layer in self.cuts[stage]}
        for layer in range(config.n_layers):
            if layer not in here:
                self.layers[layer] = Absent()
        absent: Any = Absent
        if not self.has_embedding:
            self.embed = absent()
        if not self.has_head:
            self.norm, self.head, self.mtp = absent(), absent(), nn.ModuleList()
        self.router_rows = [rows[id(gate)] for gate in routers(self)]

    def owner(self, stage: int) -> int:
        """The pipeline rank that has a stage."""
        return min(stage, self.count - 1 - stage) if self.count > self.ranks.size("pipeline") else stage

    def forward(
        self, tokens: Tensor, valid: Tensor | None = None, mask: Tensor | None = None, mtp: bool = True
    ) -> Representations:
        """A forward pass by all ranks of the pipeline, one stage after the other, without gradients and MTP.

        `main` is empty on ranks without the head: [0, T, D].
        """
        assert not mtp and not torch.is_grad_enabled(), "training goes by a schedule"
        if valid is None:
            valid = torch.ones_like(tokens, dtype=torch.bool)
        number, group = self.ranks.number("pipeline"), self.ranks.group("pipeline")
        shape = (*tokens.shape, self.config.dim)
        x = torch.empty(0, *shape[1:], device=tokens.device)
        with recomputation(False):
            for stage in self.mine:
                if stage == 0:
                    x = self.embed(tokens)
                elif (before := self.owner(stage - 1)) != number:
                    x = torch.empty(shape, dtype=self.dtype, device=tokens.device)
                    dist.recv(x, group=group, group_src=before)
                x, balance = self.run_layers(x, self.cuts[stage], self.rope_for(x), valid, mask)
                if stage < self.count - 1 and (after := self.owner(stage + 1)) != number:
                    dist.send(x.contiguous(), group=group, group_dst=after)
        if not self.has_head:
            return Representations(x[:0], [], x.new_zeros(()))
        return self.finish(x, None, balance, self.rope_for(x), valid, mask, mtp=False)

    @property
    def dtype(self) -> torch.dtype:
        """Of activations."""
        norm: Any = self.norm if self.has_head else self.layers[self.cuts[self.mine[0]].start].attn_norm
        return cast(torch.dtype, norm.weight.dtype)
