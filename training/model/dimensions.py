"""The shape of a model, as plain numbers: every dimension of DeepSeek-V3.

One frozen dataclass, checked when it is made. This file does not import torch (4 s on a cold machine), so the command
line can describe a model at once. Names are those of DeepSeek's released `inference/model.py`; equation and section
numbers are of the technical report (arXiv 2412.19437).
"""

from dataclasses import asdict, dataclass, fields
from math import log, sqrt

from corpusmill.dataproc.errors import UserError

V3_INIT_STD = 0.006
_YARN = ("rope_factor", "original_seq_len", "beta_fast", "beta_slow", "mscale")


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
    rope_factor: float = 1.0
    """How many times longer than `original_seq_len` YaRN lets sequences be, s (section 4.3: 40); 1: plain RoPE."""
    original_seq_len: int = 4096
    """Length of pre-training's sequences, from which YaRN stretches. As the three below, of no use to plain RoPE."""
    beta_fast: float = 32.0
    """Pairs that turn more often than this within `original_seq_len` keep their frequency (beta)."""
    beta_slow: float = 1.0
    """Pairs that turn less often than this have it divided by `rope_factor` (alpha)."""
    mscale: float = 1.0
    """Strength of YaRN's sharper softmax, see `softmax_scale`; 0: none."""

    def __post_init__(self) -> None:
        def require(law: bool, what: str) -> None:
            if not law:
                raise UserError(what, where="model configuration", hint="change these dimensions")

        optional = {"q_lora_rank", "n_dense_layers", "mtp_depth", "n_shared_experts", "mscale"}
        for field in fields(self):
            value = getattr(self, field.name)
            require(
                value > 0 or (value == 0 and field.name in optional), f"{field.name} is {value}; it must be positive"
            )
        require(self.n_dense_layers <= self.n_layers, "n_dense_layers is above n_layers")
        require(self.qk_rope_head_dim % 2 == 0, "qk_rope_head_dim must be even: RoPE turns pairs")
        # torch's grouped matmul wants rows of whole 16 bytes; 8 elements are that in BF16.
        require(self.dim % 8 == 0 and self.moe_inter_dim % 8 == 0, "dim and moe_inter_dim must be multiples of 8")
        require(self.rope_factor >= 1, f"rope_factor is {self.rope_factor}; YaRN stretches by 1 or more")
        require(self.beta_slow < self.beta_fast, "beta_slow must be below beta_fast")
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

    @property
    def softmax_scale(self) -> float:
        """What attention scores are multiplied with: 1/sqrt(d_qk), under YaRN times (0.1 mscale ln s + 1)^2.

        Section 4.3 and DeepSeek's `inference/model.py`; for V3 at s = 40 it is 0.1352 instead of 0.0722.
        """
        sharper = 0.1 * self.mscale * log(self.rope_factor) + 1.0
        return sharper * sharper / sqrt(self.qk_head_dim)


def as_dictionary(config: ModelConfig) -> dict[str, int | float]:
    """The fields by name, for `config.json` and checkpoints. YaRN's are left out where RoPE is plain."""
    left_out = _YARN if config.rope_factor == 1 else ()
    return {name: value for name, value in asdict(config).items() if name not in left_out}
