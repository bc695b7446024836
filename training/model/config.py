"""What a model's shape costs: learnable numbers by part, and operations a token.

Counts are closed forms over the dimensions (`training/model/dimensions.py`), which with the named shapes
(`training/model/presets.py`) are imported from here. A test builds every preset on the meta device and compares.
Nothing here imports torch (4 s on a cold machine), so the command line can describe a preset at once. Equation and
section numbers are of the technical report (arXiv 2412.19437).
"""

from dataclasses import dataclass

from corpusmill.training.model.dimensions import ModelConfig, as_dictionary
from corpusmill.training.model.presets import PRESETS, preset, scaled_init_std

__all__ = [
    "PRESETS",
    "ModelConfig",
    "ParameterCount",
    "Part",
    "as_dictionary",
    "attention_parameters",
    "flops_per_token",
    "parameters",
    "parts",
    "preset",
    "scaled_init_std",
]


@dataclass(frozen=True)
class Part:
    """Learnable numbers of one part of a model, summed over its layers."""

    name: str
    total: int
    active: int
    """Those that one token is multiplied with."""
    mtp: bool = False
    """Whether it belongs to the MTP modules, which are gone once training is over."""


@dataclass(frozen=True)
class ParameterCount:
    """Learnable numbers of a model; the router's biases are not learned by gradient and not counted."""

    total: int
    """Main model, with embedding and output head."""
    active: int
    """Those that one token is multiplied with: chosen experts only, and no embedding, which is a look-up."""
    mtp_total: int
    """What the MTP modules add; they share the embedding and the output head."""
    mtp_active: int
    """The part of `mtp_total` that one token is multiplied with; the shared head comes on top once more a module."""


def attention_parameters(config: ModelConfig) -> int:
    """One MLA with the two norms of its layer."""
    c = config
    wide = c.n_heads * c.qk_head_dim
    query = c.dim * c.q_lora_rank + c.q_lora_rank + c.q_lora_rank * wide if c.q_lora_rank else c.dim * wide
    key_value = c.dim * (c.kv_lora_rank + c.qk_rope_head_dim) + c.kv_lora_rank
    key_value += c.kv_lora_rank * c.n_heads * (c.qk_nope_head_dim + c.v_head_dim)
    return query + key_value + c.n_heads * c.v_head_dim * c.dim + 2 * c.dim


def parts(config: ModelConfig) -> tuple[Part, ...]:
    """Where a model's parameters are; they sum to what `parameters` gives. A part that a shape lacks counts 0."""
    c = config
    table, attention = c.vocab_size * c.dim, attention_parameters(c)
    expert, router = 3 * c.dim * c.moe_inter_dim, c.n_routed_experts * c.dim
    dense = c.n_dense_layers * 3 * c.dim * c.inter_dim
    shared, head = c.n_shared_experts * expert, table + c.dim
    # A module: one layer with experts, the projection of two vectors to one, and three norms.
    module = attention + router + shared + 2 * c.dim * c.dim + 3 * c.dim
    return (
        Part("embedding", table, 0),
        Part("attention and norms", c.n_layers * attention, c.n_layers * attention),
        Part("dense networks", dense, dense),
        Part("routers", c.n_moe_layers * router, c.n_moe_layers * router),
        Part(
            "routed experts",
            c.n_moe_layers * c.n_routed_experts * expert,
            c.n_moe_layers * c.n_activated_experts * expert,
        ),
        Part("shared experts", c.n_moe_layers * shared, c.n_moe_layers * shared),
        Part("final norm and output head", head, head),
        Part(
            "MTP modules",
            c.mtp_depth * (module + c.n_routed_experts * expert),
            c.mtp_depth * (module + c.n_activated_experts * expert),
            mtp=True,
        ),
    )


def parameters(config: ModelConfig) -> ParameterCount:
    """Total and active parameters: for V3 671.026 B and 36.63 B, with 11.61 B and 0.69 B in the MTP module."""
    counted = parts(config)
    return ParameterCount(
        total=sum(part.total for part in counted if not part.mtp),
        active=sum(part.active for part in counted if not part.mtp),
        mtp_total=sum(part.total for part in counted if part.mtp),
        mtp_active=sum(part.active for part in counted if part.mtp),
    )


def flops_per_token(config: ModelConfig, sequence_length: int, causal: bool = True, mtp: bool = False) -> float:
    """Floating-point operations of forward and backward for one token of a sequence of this length.

    Two a multiply-add; the backward pass counts twice the forward; recomputation is never counted. `causal` counts
    half of the attention matrix. DeepSeek's published MFU leaves MTP out: 250.5 GFLOPs (causal) and 281.2 for V3 at
    4,096; with MTP 260.6 and 291.9.
    """
    count = parameters(config)
    weights, layers = count.active, config.n_layers
    if mtp:
        weights += count.mtp_active + config.mtp_depth * config.vocab_size * config.dim
        layers += config.mtp_depth
    core = 2 * sequence_length * config.n_heads * (config.qk_head_dim + config.v_head_dim)
    return 3.0 * (2 * weights + layers * core / (2 if causal else 1))
