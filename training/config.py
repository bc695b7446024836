"""The shape of a model, as plain numbers: every dimension of DeepSeek-V3, its presets, and what a shape costs.

This file does not import torch (4 s on a cold machine), so the command line can describe a preset at once. Counts are
closed forms over the dimensions; a test builds the model on the meta device and compares. Names are those of
DeepSeek's released `inference/model.py`; equation and section numbers are of the technical report (arXiv 2412.19437).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from dataproc.errors import UserError

V3_DIM = 7168
V3_INIT_STD = 0.006


@dataclass(frozen=True)
class ModelConfig:
    """Dimensions of one model. Raises UserError for a combination that cannot be built."""

    vocab_size: int
    """Rows of the embedding and of the output head: the tokenizer's ids, rounded up."""
    dim: int
    """Width of the residual stream, d."""
    n_layers: int
    """Transformer layers of the main model, the dense ones included."""
    n_dense_layers: int
    """How many of the first layers have a dense feed-forward network instead of experts."""
    n_heads: int
    """Attention heads."""
    q_lora_rank: int
    """Width of the compressed query latent, d_c' (eq 6); 0: queries are projected straight from the stream."""
    kv_lora_rank: int
    """Width of the compressed key-value latent, d_c (eq 1)."""
    qk_nope_head_dim: int
    """Part of a head's query and key that carries no position."""
    qk_rope_head_dim: int
    """Part of a head's query, and the one key shared by all heads, that carries RoPE (eq 3 and 8). Even."""
    v_head_dim: int
    """Width of a head's value."""
    inter_dim: int
    """Inner width of a dense layer's SwiGLU."""
    moe_inter_dim: int
    """Inner width of one expert's SwiGLU."""
    n_routed_experts: int
    """Routed experts of a layer, N_r."""
    n_shared_experts: int
    """Experts that every token passes, N_s; built as one network of this many times `moe_inter_dim`."""
    n_activated_experts: int
    """Routed experts chosen by a token, K_r."""
    n_expert_groups: int = 1
    """Groups of experts (in V3: the nodes that hold them)."""
    n_limited_groups: int = 1
    """Groups that one token may reach, M."""
    route_scale: float = 1.0
    """What a token's normalised gates sum to (2.5 in V3)."""
    mtp_depth: int = 1
    """Modules that predict one further token each, D (section 2.2)."""
    rope_theta: float = 10_000.0
    """Base of RoPE's frequencies."""
    init_std: float = V3_INIT_STD
    """Standard deviation of every learnable matrix at the start (section 4.2)."""
    norm_eps: float = 1e-6
    """Added to the mean square in RMSNorm."""

    def __post_init__(self) -> None:
        def require(law: bool, what: str) -> None:
            if not law:
                raise UserError(what, where="model configuration", mend="change these dimensions")

        optional = {"q_lora_rank", "n_dense_layers", "mtp_depth", "n_shared_experts"}
        for field in fields(self):
            value = getattr(self, field.name)
            require(
                value > 0 or (value == 0 and field.name in optional), f"{field.name} is {value}; it must be positive"
            )
        require(self.n_dense_layers <= self.n_layers, "n_dense_layers is above n_layers")
        require(self.qk_rope_head_dim % 2 == 0, "qk_rope_head_dim must be even: RoPE turns pairs")
        # torch's grouped matmul wants rows of whole 16 bytes; 8 elements are that in BF16.
        require(self.dim % 8 == 0 and self.moe_inter_dim % 8 == 0, "dim and moe_inter_dim must be multiples of 8")
        require(self.n_routed_experts % self.n_expert_groups == 0, "n_expert_groups must divide n_routed_experts")
        require(self.n_limited_groups <= self.n_expert_groups, "n_limited_groups is above n_expert_groups")
        require(
            self.n_activated_experts % self.n_limited_groups == 0, "n_limited_groups must divide n_activated_experts"
        )
        experts = self.n_routed_experts // self.n_expert_groups * self.n_limited_groups
        require(self.n_activated_experts <= experts, "more experts are chosen than the reachable groups hold")

    @property
    def n_moe_layers(self) -> int:
        """Layers of the main model that have experts."""
        return self.n_layers - self.n_dense_layers

    @property
    def qk_head_dim(self) -> int:
        """Width of a head's query and key: the part without position and the part with it."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim


def scaled_init_std(dim: int) -> float:
    """V3's 0.006 carried to another width by 1/sqrt(d), so that a matrix keeps the gain that it has in V3.

    At width 7168, 0.006 is about half of 1/sqrt(d); at width 128 it would be 7 % of it, and every layer would start
    near zero. Seen with `quickstart` after 100 steps on Python sources (unigram 6.78 nats): 6.74 nats a token from
    0.006, 5.66 from 0.02, 5.49 from the 0.045 given here, 5.54 from 0.06.
    """
    return V3_INIT_STD * (V3_DIM / dim) ** 0.5


PRESETS: dict[str, ModelConfig] = {
    # Section 4.2 and DeepSeek's config_671B.json.
    "v3-671b": ModelConfig(
        vocab_size=129_280,
        dim=V3_DIM,
        n_layers=61,
        n_dense_layers=3,
        n_heads=128,
        q_lora_rank=1536,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        inter_dim=18_432,
        moe_inter_dim=2048,
        n_routed_experts=256,
        n_shared_experts=1,
        n_activated_experts=8,
        n_expert_groups=8,
        n_limited_groups=4,
        route_scale=2.5,
    ),
    # About 15 million parameters: every part of V3 at a size that a laptop trains in an evening.
    "laptop": ModelConfig(
        vocab_size=8192,
        dim=256,
        n_layers=6,
        n_dense_layers=1,
        n_heads=8,
        q_lora_rank=128,
        kv_lora_rank=64,
        qk_nope_head_dim=32,
        qk_rope_head_dim=16,
        v_head_dim=32,
        inter_dim=768,
        moe_inter_dim=128,
        n_routed_experts=16,
        n_shared_experts=1,
        n_activated_experts=4,
        n_expert_groups=4,
        n_limited_groups=2,
        init_std=scaled_init_std(256),
    ),
    # Half a minute of two CPU cores shows that the data can be learned from. The output head and MTP's use of it are
    # 60 % of the work; widths of 96 and 64, at more steps in the same time, ended higher (5.53 and 5.89 nats to 5.50).
    "quickstart": ModelConfig(
        vocab_size=8192,
        dim=128,
        n_layers=2,
        n_dense_layers=1,
        n_heads=4,
        q_lora_rank=64,
        kv_lora_rank=32,
        qk_nope_head_dim=16,
        qk_rope_head_dim=16,
        v_head_dim=32,
        inter_dim=384,
        moe_inter_dim=96,
        n_routed_experts=8,
        n_shared_experts=1,
        n_activated_experts=2,
        init_std=scaled_init_std(128),
    ),
    # For tests: every branch of the code (groups, both kinds of layer, MTP), milliseconds a step.
    "tiny": ModelConfig(
        vocab_size=256,
        dim=32,
        n_layers=2,
        n_dense_layers=1,
        n_heads=2,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=8,
        v_head_dim=8,
        inter_dim=64,
        moe_inter_dim=16,
        n_routed_experts=8,
        n_shared_experts=1,
        n_activated_experts=2,
        n_expert_groups=4,
        n_limited_groups=2,
        route_scale=2.5,
        init_std=scaled_init_std(32),
    ),
}


def preset(name: str, overrides: Mapping[str, Any] | None = None) -> ModelConfig:
    """A preset, with some fields replaced. Raises UserError for an unknown preset or field, or an unfit value."""
    if name not in PRESETS:
        raise UserError(f"there is no model preset '{name}'", mend=f"choose one of {', '.join(PRESETS)}")
    types = {field.name: field.type for field in fields(ModelConfig)}
    for key, value in (overrides or {}).items():
        if key not in types:
            raise UserError(f"a model has no field '{key}'", mend=f"choose from {', '.join(types)}")
        whole = types[key] is int
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise UserError(
                f"the model field '{key}' is {value!r}", mend="give a whole number" if whole else "give a number"
            )
    return replace(PRESETS[name], **(overrides or {}))


def as_dictionary(config: ModelConfig) -> dict[str, int | float]:
    """The fields by name, for `config.json` and checkpoints."""
    return asdict(config)


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


def _layer_counts(config: ModelConfig) -> tuple[int, int, int, int]:
    """(attention with norms, dense network, experts and router, active part of these) of one layer."""
    c = config
    wide = c.n_heads * c.qk_head_dim
    query = c.dim * c.q_lora_rank + c.q_lora_rank + c.q_lora_rank * wide if c.q_lora_rank else c.dim * wide
    key_value = c.dim * (c.kv_lora_rank + c.qk_rope_head_dim) + c.kv_lora_rank
    key_value += c.kv_lora_rank * c.n_heads * (c.qk_nope_head_dim + c.v_head_dim)
    attention = query + key_value + c.n_heads * c.v_head_dim * c.dim + 2 * c.dim
    expert = 3 * c.dim * c.moe_inter_dim
    router = c.n_routed_experts * c.dim
    experts = router + (c.n_routed_experts + c.n_shared_experts) * expert
    active = router + (c.n_activated_experts + c.n_shared_experts) * expert
    return attention, 3 * c.dim * c.inter_dim, experts, active


def parameters(config: ModelConfig) -> ParameterCount:
    """Total and active parameters: for V3 671.026 B and 36.63 B, with 11.61 B and 0.69 B in the MTP module."""
    attention, dense, experts, active = _layer_counts(config)
    table = config.vocab_size * config.dim
    shared = config.n_layers * attention + config.n_dense_layers * dense + config.dim + table
    module = attention + 2 * config.dim * config.dim + 3 * config.dim
    return ParameterCount(
        total=shared + table + config.n_moe_layers * experts,
        active=shared + config.n_moe_layers * active,
        mtp_total=config.mtp_depth * (module + experts),
        mtp_active=config.mtp_depth * (module + active),
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
