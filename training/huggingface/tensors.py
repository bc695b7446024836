"""Which of Hugging Face's tensors is which part of ours, for the layout of DeepSeek's release of V3.

Most tensors differ in name only. Three differ in their numbers:

- Routed experts are stacked here, [E, out, in], and one tensor each there.
- The MTP module's projection takes [hidden; embedding] here, as eq 21 has it, and [embedding; hidden] there
  (`eh_proj`): its halves change places. MTP module k is layer `n_layers + k` there, and has the embedding and the
  output head, which it shares with the main model, a second time under its own names.
- RoPE turns neighbouring numbers here and in the release. `transformers` does so when `rope_interleave` is true, which
  is its default and what is exported. Where it is false, the numbers at i and i + R/2 are a pair, and the rows that
  make queries and keys are put side by side on the way in; scores are the same, since both sides of a product move.

The list is made from the names and shapes of a model built without memory, so a parameter that has no counterpart
below is an error and not left out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from corpusmill.training.model.config import ModelConfig
from corpusmill.training.model.transformer import Transformer

TOP = {"embed.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight", "head.weight": "lm_head.weight"}

BLOCK = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn.wq_a": "self_attn.q_a_proj",
    "attn.q_norm": "self_attn.q_a_layernorm",
    "attn.wq_b": "self_attn.q_b_proj",
    "attn.wkv_a": "self_attn.kv_a_proj_with_mqa",
    "attn.kv_norm": "self_attn.kv_a_layernorm",
    "attn.wkv_b": "self_attn.kv_b_proj",
    "attn.wo": "self_attn.o_proj",
    "ffn.w1": "mlp.gate_proj",
    "ffn.w2": "mlp.down_proj",
    "ffn.w3": "mlp.up_proj",
    "ffn.shared_experts.w1": "mlp.shared_experts.gate_proj",
    "ffn.shared_experts.w2": "mlp.shared_experts.down_proj",
    "ffn.shared_experts.w3": "mlp.shared_experts.up_proj",
    "ffn.gate": "mlp.gate",
}
"""Modules of a layer."""

MODULE = {"hidden_norm": "hnorm", "embed_norm": "enorm", "projection": "eh_proj", "norm": "shared_head.norm"}
"""What an MTP module has around its layer."""

EXPERTS = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}

SHARED = {"embed_tokens.weight": "embed.weight", "shared_head.head.weight": "head.weight"}
"""Tensors of the main model that each MTP module repeats."""

BIAS = "e_score_correction_bias"


@dataclass(frozen=True)
class Piece:
    """One tensor of Hugging Face's layout, and where it is in ours."""

    theirs: str
    ours: str
    shape: tuple[int, ...]
    """Of theirs."""
    expert: int | None = None
    """Which of a stack of experts it is."""
    halves_swapped: bool = False
    """Whether its two halves of columns are in the other order."""
    copy: bool = False
    """Whether it repeats a tensor that has a piece of its own, so that it may be left out."""

    @property
    def is_bias(self) -> bool:
        """A router's bias, which is FP32 whatever the model is: steps of 0.001 vanish in BF16."""
        return self.theirs.endswith(BIAS)

    def of(self, tensor: Tensor) -> Tensor:
        """This piece of our tensor."""
        part = tensor if self.expert is None else tensor[self.expert]
        return swap_halves(part) if self.halves_swapped else part


def correspondence(config: ModelConfig) -> list[Piece]:
    """All pieces of a model, in the order of its layers."""
    with torch.device("meta"):
        state = Transformer(config).state_dict()
    pieces: list[Piece] = []
    for name, tensor in state.items():
        pieces += _pieces(name, tuple(tensor.shape), config)
    for depth in range(config.mtp_depth):
        prefix = f"model.layers.{config.n_layers + depth}."
        for theirs, ours in SHARED.items():
            pieces.append(Piece(prefix + theirs, ours, tuple(state[ours].shape), copy=True))
    return pieces


def _pieces(name: str, shape: tuple[int, ...], config: ModelConfig) -> list[Piece]:
    """What one tensor of ours is there."""
    if name in TOP:
        return [Piece(TOP[name], name, shape)]
    kind, number, rest = name.split(".", 2)
    layer = int(number) + (config.n_layers if kind == "mtp" else 0)
    rest = rest.removeprefix("block.") if kind == "mtp" else rest
    prefix = f"model.layers.{layer}."
    if rest.startswith("ffn.experts."):
        matrix = EXPERTS[rest.rsplit(".", 1)[1]]
        return [
            Piece(f"{prefix}mlp.experts.{expert}.{matrix}.weight", name, shape[1:], expert=expert)
            for expert in range(shape[0])
        ]
    if rest == "ffn.gate.bias":
        return [Piece(f"{prefix}mlp.gate.{BIAS}", name, shape)]
    module, leaf = rest.rsplit(".", 1)
    if kind == "mtp" and module in MODULE:
        return [Piece(f"{prefix}{MODULE[module]}.{leaf}", name, shape, halves_swapped=module == "projection")]
    theirs = "self_attn.q_proj" if module == "attn.wq_b" and not config.q_lora_rank else BLOCK[module]
    return [Piece(f"{prefix}{theirs}.{leaf}", name, shape)]


def swap_halves(matrix: Tensor) -> Tensor:
    """[out, 2 D] with its two halves of columns in the other order: its own inverse."""
    return torch.cat(matrix.chunk(2, 1)[::-1], 1)


def pair_neighbours(name: str, tensor: Tensor, config: ModelConfig) -> Tensor:
    """A tensor of ours, read from a model that pairs the numbers at i and i + R/2, for pairs of neighbours.

    Only the rows that RoPE turns move: the last R of each head's query, and of the shared key's projection.
    """
    if name.endswith("attn.wq_b.weight"):
        heads = config.n_heads
    elif name.endswith("attn.wkv_a.weight"):
        heads = 1
    else:
        return tensor
    rows = tensor.unflatten(0, (heads, -1))
    still, turned = rows.split([rows.shape[1] - config.qk_rope_head_dim, config.qk_rope_head_dim], 1)
    paired = turned.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
    return torch.cat([still, paired], 1).flatten(0, 1)
