"""Multi-head latent attention (MLA, section 2.1.1): queries, keys and values out of narrow latents.

Keys and values of all heads are expanded from one latent of width d_c, which is all that decoding would have to keep
of a token, along with one RoPE key shared by the heads. Position lives only in that key and in a part of the query
("decoupled" RoPE), because RoPE between latent and head would forbid merging the two projections when decoding.
Training uses the expanded form below; the merged one only pays when one token is decoded at a time.

Expanded queries, keys and values are the widest tensors of a layer, and can be made again from the latents in the
backward pass (`training/model/recompute.py`).

Cost a layer: the projections, and 2 T H (d_qk + d_v) operations a token for the attention itself (half, causal).
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corpusmill.training.model.config import ModelConfig
from corpusmill.training.model.matrices import PLAIN, Matrices
from corpusmill.training.model.recompute import remade
from corpusmill.training.model.rope import rotate

_CPU_QUERIES = 256
_CPU_LONGEST = 1024


def document_mask(segments: Tensor) -> Tensor:
    """Who sees whom where documents share a sequence: [B, 1, T, T], true for earlier tokens of the same document.

    V3's pre-training does without (section 4.1); its fine-tuning hides packed samples from each other.

    Args:
        segments: [B, T], the number of the document that each token belongs to; padding is -1 and sees padding.
    """
    same = segments[:, :, None] == segments[:, None, :]
    return same.tril().unsqueeze(1)


class MLA(nn.Module):
    """Causal multi-head latent attention, eq 1 to 11. Legend: B sequences, T tokens, H heads."""

    def __init__(self, config: ModelConfig, matrices: Matrices = PLAIN) -> None:
        super().__init__()
        self.config = config
        c, linear = config, matrices.linear
        if c.q_lora_rank:
            self.wq_a = linear(c.dim, c.q_lora_rank)
            self.q_norm = nn.RMSNorm(c.q_lora_rank, c.norm_eps)
        self.wq_b = linear(c.q_lora_rank or c.dim, c.n_heads * c.qk_head_dim)
        # One matrix makes the latent and the shared RoPE key (W_DKV, W_KR), one both halves of a head (W_UK, W_UV).
        self.wkv_a = linear(c.dim, c.kv_lora_rank + c.qk_rope_head_dim)
        self.kv_norm = nn.RMSNorm(c.kv_lora_rank, c.norm_eps)
        self.wkv_b = linear(c.kv_lora_rank, c.n_heads * (c.qk_nope_head_dim + c.v_head_dim))
        self.wo = linear(c.n_heads * c.v_head_dim, c.dim, after_attention=True)

    def forward(self, x: Tensor, rope: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, T, D] to [B, T, D].

        Args:
            x: the normalised stream.
            rope: table of `rope_table` for these T positions.
            mask: true where a token may look, broadcastable to [B, H, T, T]; none means causal.
        """
        q = remade(self._queries, self.wq_a(x) if self.config.q_lora_rank else x, rope, modules=self._of_queries)
        k, v = remade(self._keys_and_values, self.wkv_a(x), rope, modules=(self.kv_norm, self.wkv_b))
        out = attend(q, k, v, mask, self.config.softmax_scale)
        return self.wo(out[..., : self.config.v_head_dim].flatten(2))

    @property
    def _of_queries(self) -> tuple[nn.Module, ...]:
        return (self.q_norm, self.wq_b) if self.config.q_lora_rank else (self.wq_b,)

    def _queries(self, latent: Tensor, rope: Tensor) -> Tensor:
        """[B, T, d_c'], or [B, T, D] where queries have no latent, to [B, T, H, d_qk]."""
        c = self.config
        query = self.wq_b(self.q_norm(latent) if c.q_lora_rank else latent).unflatten(-1, (c.n_heads, -1))
        q_nope, q_rope = query.split([c.qk_nope_head_dim, c.qk_rope_head_dim], -1)
        return torch.cat([q_nope, rotate(q_rope, rope)], -1)

    def _keys_and_values(self, compressed: Tensor, rope: Tensor) -> tuple[Tensor, Tensor]:
        """Latent and shared RoPE key [B, T, d_c + R] to keys [B, T, H, d_qk] and values.

        Values narrower than keys are padded with zeros to their width, which changes no output: the fused CPU kernel
        wants one width, and without it the whole T x T matrix of each head is written to memory.
        """
        c = self.config
        latent, k_rope = compressed.split([c.kv_lora_rank, c.qk_rope_head_dim], -1)
        k_rope = rotate(k_rope.unsqueeze(2), rope).expand(-1, -1, c.n_heads, -1)
        expanded = self.wkv_b(self.kv_norm(latent)).unflatten(-1, (c.n_heads, -1))
        k_nope, v = expanded.split([c.qk_nope_head_dim, c.v_head_dim], -1)
        missing = c.qk_head_dim - c.v_head_dim
        return torch.cat([k_nope, k_rope], -1), F.pad(v, (0, missing)) if missing > 0 else v


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """softmax(scale q k) v over [B, T, H, d] tensors: as `v`.

    On CPUs torch's kernel goes through keys 512 at a time, causal or not, so at 512 tokens half of what it computes is
    masked. There queries are handed to it in blocks, each with the keys that it can see: 5 % of a step at `laptop`. For
    long sequences it skips most of the masked half by itself.
    """
    length = q.shape[1]
    if mask is not None or q.device.type != "cpu" or not _CPU_QUERIES < length <= _CPU_LONGEST:
        return _attend(q, k, v, mask, scale)
    ends = range(_CPU_QUERIES, length + _CPU_QUERIES, _CPU_QUERIES)
    blocks = [
        _attend(
            q[:, end - _CPU_QUERIES : end], k[:, :end], v[:, :end], _seen(end - _CPU_QUERIES, min(end, length)), scale
        )
        for end in ends
    ]
    return torch.cat(blocks, 1)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """The same by torch's kernels; without a mask, q and k have equal lengths and it is causal."""
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=mask,
        is_causal=mask is None,
        scale=scale,
    )
    return out.transpose(1, 2)


@cache
def _seen(start: int, end: int) -> Tensor | None:
    """Which of the keys up to `end` the queries from `start` on see: bool [end - start, end]; None for the first."""
    return torch.ones(end - start, end, dtype=torch.bool).tril_(start) if start else None
