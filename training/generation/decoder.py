"""The model one stretch of tokens at a time, on top of a `LatentCache`: MLA with its projections absorbed.

Score and output of a head are linear in the latent c of a token, so the up-projections move to the side of the query:

    q_nope . (W_UK c)  =  (W_UK^T q_nope) . c            the query is taken to the latent's width, once
    sum_s p_s (W_UV c_s)  =  W_UV (sum_s p_s c_s)        the weighted latent is taken to the value's width, once

so decoding multiplies d_c + R numbers a token seen and head, and never makes keys or values. All else (norms, networks,
router, MTP's module) is the trained model's own code. Rows of a batch may be at different positions; a row's logits do
not depend on the others but for rounding.

Cost a new token, layer and token seen: 2 H (2 d_c + R) operations. Memory beside the cache: scores of a stretch, which
`prefill` keeps below 64 MiB by cutting prompts into stretches.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corpusmill.training.generation.cache import LatentCache
from corpusmill.training.model.attention import MLA
from corpusmill.training.model.matmul import linear
from corpusmill.training.model.moe import MoE
from corpusmill.training.model.mtp import MTPModule
from corpusmill.training.model.rope import model_rope_table, rotate
from corpusmill.training.model.transformer import Block, Transformer

_SCORES = 1 << 24
"""Most scores of a layer in memory at a time."""
_FEW_TOKENS = 4
"""Up to so many tokens at once are brought to experts by gathering the experts' matrices."""


class Decoder:
    """A model that reads on from a cache.

    Args:
        model: whose weights it uses; it must be in evaluation mode, so that routers count nothing.
        capacity: longest row, in tokens.
    """

    def __init__(self, model: Transformer, capacity: int) -> None:
        assert not model.training, "routers of a model in training mode count what they route"
        self.model, self.config = model, model.config
        self.device = model.embed.weight.device
        self._turns = model_rope_table(model.config, capacity, self.device)

    def cache(self, rows: int, drafts: bool = False) -> LatentCache:
        """An empty cache for `rows` rows; with `drafts` also for the first MTP module."""
        layers = self.config.n_layers + int(drafts)
        dtype = self.model.embed.weight.dtype
        return LatentCache(self.config, rows, len(self._turns), layers, dtype, self.device)

    @torch.no_grad()
    def extend(self, cache: LatentCache, tokens: Tensor) -> Tensor:
        """Reads tokens [B, T] behind what each row has; the caller says by `cache.lengths` how many of them count.

        Returns:
            hidden states before the final norm, [B, T, D].
        """
        positions = cache.positions(tokens.shape[1])
        x = self.model.embed(tokens)
        seen = _seen(cache, positions)
        for number, layer in enumerate(self.model.layers):
            x = self._block(cast(Block, layer), x, cache, number, positions, seen)
        return x

    @torch.no_grad()
    def draft(self, cache: LatentCache, hidden: Tensor, ahead: Tensor) -> Tensor:
        """The first MTP module at the positions that `hidden` [B, T, D] is of, given the token after each [B, T].

        `cache.lengths` are those before these positions. Returns the module's output for the shared head [B, T, D].
        """
        module = cast(MTPModule, self.model.mtp[0])
        positions = cache.positions(ahead.shape[1])
        joined = torch.cat([module.hidden_norm(hidden), module.embed_norm(self.model.embed(ahead))], -1)
        x = self._block(
            cast(Block, module.block),
            module.projection(joined),
            cache,
            self.config.n_layers,
            positions,
            _seen(cache, positions),
        )
        return module.norm(x)

    @torch.no_grad()
    def logits(self, hidden: Tensor) -> Tensor:
        """FP32 logits [..., V] of hidden states before the final norm."""
        return self.head(self.model.norm(hidden))

    @torch.no_grad()
    def head(self, normed: Tensor) -> Tensor:
        """FP32 logits [..., V] of what has been normalised."""
        return linear(normed, self.model.head.weight).float()

    def stretch(self, rows: int) -> int:
        """How many tokens of a prompt are read at a time."""
        return max(1, min(256, _SCORES // (rows * self.config.n_heads * len(self._turns))))

    def _block(
        self, block: Block, x: Tensor, cache: LatentCache, layer: int, positions: Tensor, seen: Tensor | None
    ) -> Tensor:
        x = x + self._attention(block.attn, block.attn_norm(x), cache, layer, positions, seen)
        return x + _network(block.ffn, block.ffn_norm(x))

    def _attention(
        self, attn: MLA, x: Tensor, cache: LatentCache, layer: int, positions: Tensor, seen: Tensor | None
    ) -> Tensor:
        """MLA over the cache, which gets the latents of x [B, T, D] first: [B, T, D]."""
        c = self.config
        turns = self._turns[positions]
        latent, k_rope = attn.wkv_a(x).split([c.kv_lora_rank, c.qk_rope_head_dim], -1)
        new = torch.cat([attn.kv_norm(latent), rotate(k_rope.unsqueeze(2), turns).squeeze(2)], -1)
        end = max(cache.lengths) + x.shape[1]
        kept = cache.write(layer, positions, new)[:, :end]

        query = attn.wq_b(attn.q_norm(attn.wq_a(x)) if c.q_lora_rank else x).unflatten(-1, (c.n_heads, -1))
        q_nope, q_rope = query.split([c.qk_nope_head_dim, c.qk_rope_head_dim], -1)
        up = attn.wkv_b.weight.unflatten(0, (c.n_heads, -1))
        up_keys, up_values = up.split([c.qk_nope_head_dim, c.v_head_dim], 1)
        absorbed = torch.cat([_by_head(q_nope, up_keys), rotate(q_rope, turns)], -1)

        scores = torch.matmul(absorbed.flatten(1, 2), kept.transpose(1, 2)).float() * c.softmax_scale
        if seen is not None:
            scores = scores.masked_fill(~seen.repeat_interleave(c.n_heads, 1), float("-inf"))
        weights = scores.softmax(-1).to(kept.dtype)
        read = torch.matmul(weights, kept[..., : c.kv_lora_rank]).unflatten(1, (-1, c.n_heads))
        return attn.wo(_by_head(read, up_values.transpose(1, 2)).flatten(2))


def _seen(cache: LatentCache, positions: Tensor) -> Tensor | None:
    """Which cached tokens each new one sees: bool [B, T, S'], up to the last one; None where each sees all of them."""
    end = max(cache.lengths) + positions.shape[1]
    if positions.shape[1] == 1 and min(cache.lengths) == end - 1:
        return None
    return torch.arange(end, device=positions.device) <= positions[:, :, None]


def _by_head(x: Tensor, matrices: Tensor) -> Tensor:
    """x [B, T, H, I] times a matrix [H, I, O] a head: [B, T, H, O]."""
    rows = x.flatten(0, 1).transpose(0, 1)
    return torch.bmm(rows, matrices).transpose(0, 1).unflatten(0, x.shape[:2])


def _network(network: nn.Module, x: Tensor) -> Tensor:
    """The layer's network for x [B, T, D]: [B, T, D]."""
    if not isinstance(network, MoE):
        return network(x)
    if x.shape[0] * x.shape[1] > _FEW_TOKENS:
        return network(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))[0]
    out = _chosen_experts(network, x.flatten(0, 1)).view_as(x)
    return out if network.shared_experts is None else out + network.shared_experts(x)


def _chosen_experts(moe: MoE, x: Tensor) -> Tensor:
    """The routed part for few tokens [N, D]: their experts' matrices are gathered, where sorting tokens by expert and
    the loss over their balance would take most of the time."""
    _, chosen, gates = moe.gate(x, torch.ones(len(x), dtype=torch.bool, device=x.device))
    w1, w2, w3 = (weight[chosen].flatten(0, 1) for weight in (moe.experts.w1, moe.experts.w2, moe.experts.w3))
    rows = x.repeat_interleave(chosen.shape[1], 0).unsqueeze(-1)
    inner = F.silu(torch.bmm(w1, rows)) * torch.bmm(w3, rows)
    return (torch.bmm(w2, inner).view(*chosen.shape, -1) * gates.unsqueeze(-1).to(x.dtype)).sum(1)


@torch.no_grad()
def full_logits(model: Transformer, tokens: Tensor) -> Tensor:
    """FP32 logits [B, T, V] by the training's own forward pass: what decoding is compared with."""
    return F.linear(model(tokens, mtp=False).main, model.head.weight).float()
