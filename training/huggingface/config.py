"""Converts a model's dimensions to and from Hugging Face's `config.json` of the type `deepseek_v3`.

Most fields only have another name. The rest of the file states what that type leaves open and this model does not:
SwiGLU, sigmoid gates, normalised gates, untied embeddings, interleaved RoPE. A file that says otherwise is refused by
name rather than read wrongly.

Four things `transformers` (5.23) has as constants, so a model that differs there has no counterpart and is refused in
both directions: RMSNorm of the two latents uses an epsilon of 1e-6 whatever `rms_norm_eps` says; a group of experts is
worth the sum of its two highest keys (the report: its K_r / M highest); there is at least one shared expert; and a
group has at least two experts.

`initializer_range` is kept as `init_std`. DeepSeek's release says 0.02 there where the report says 0.006 (section 4.2);
it makes no difference to a model that already has weights.
"""

from collections.abc import Mapping
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.training.huggingface.rope import read_rope, rope_fields
from corpusmill.training.model.config import ModelConfig

FIELDS = {
    "vocab_size": "vocab_size",
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_dense_layers": "first_k_dense_replace",
    "n_heads": "num_attention_heads",
    "q_lora_rank": "q_lora_rank",
    "kv_lora_rank": "kv_lora_rank",
    "qk_nope_head_dim": "qk_nope_head_dim",
    "qk_rope_head_dim": "qk_rope_head_dim",
    "v_head_dim": "v_head_dim",
    "inter_dim": "intermediate_size",
    "moe_inter_dim": "moe_intermediate_size",
    "n_routed_experts": "n_routed_experts",
    "n_shared_experts": "n_shared_experts",
    "n_activated_experts": "num_experts_per_tok",
    "n_expert_groups": "n_group",
    "n_limited_groups": "topk_group",
    "route_scale": "routed_scaling_factor",
    "mtp_depth": "num_nextn_predict_layers",
    "init_std": "initializer_range",
    "norm_eps": "rms_norm_eps",
}
"""What Hugging Face calls the fields of `ModelConfig`; those on positions are in `training.huggingface.rope`."""

ALWAYS: dict[str, Any] = {
    "hidden_act": "silu",
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "norm_topk_prob": True,
    "moe_layer_freq": 1,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "tie_word_embeddings": False,
}
"""What every model here has; a file that leaves one of these out implies it."""

NAMED_LATER = ("bos_token_id", "eos_token_id", "pad_token_id", "max_position_embeddings")
"""Fields that say nothing about weights, but are needed to generate text."""

_REAL = {"route_scale", "init_std", "norm_eps"}
_LATENT_EPSILON = 1e-6
_GROUP_BEST = 2
_MAY_BE_NULL = {"q_lora_rank", "n_shared_experts", "mtp_depth"}


def to_huggingface(config: ModelConfig, dtype: str, more: Mapping[str, int | None]) -> dict[str, Any]:
    """The content of `config.json`.

    Args:
        config: the dimensions.
        dtype: `float32` or `bfloat16`, what the weights are written in.
        more: fields of `NAMED_LATER`, as far as they are known; an unknown id is null.

    Raises:
        UserError: when `transformers` cannot build the model.
    """
    _require_counterpart(config, "model configuration")
    values = {theirs: getattr(config, ours) for ours, theirs in FIELDS.items()}
    values["q_lora_rank"] = config.q_lora_rank or None
    return {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        **values,
        **ALWAYS,
        "num_key_value_heads": config.n_heads,
        # transformers 5 reads the first of these, other engines and versions the second.
        "dtype": dtype,
        "torch_dtype": dtype,
        "rope_interleave": True,
        "use_cache": True,
        **{name: more.get(name) for name in NAMED_LATER if name != "max_position_embeddings" or name in more},
        **rope_fields(config),
    }


def from_huggingface(values: Mapping[str, Any], where: str) -> ModelConfig:
    """The dimensions that a `config.json` states. Raises UserError for what is missing or has no counterpart here."""
    if values.get("model_type") != "deepseek_v3":
        raise UserError(
            f"the model type is {values.get('model_type')!r}", where, "only deepseek_v3 can be read into this model"
        )
    if values.get("quantization_config"):
        raise UserError("the weights are quantised", where, "convert them to BF16 first")
    for name, wanted in ALWAYS.items():
        if values.get(name, wanted) != wanted:
            raise UserError(f"{name} is {values[name]!r}; this model has {wanted!r}", where)
    fields: dict[str, Any] = {}
    for ours, theirs in FIELDS.items():
        if theirs not in values and ours != "mtp_depth":
            raise UserError(f"the field '{theirs}' is missing", where)
        fields[ours] = _number(values.get(theirs), ours, theirs, where)
    heads = values.get("num_key_value_heads")
    if heads not in (None, fields["n_heads"]):
        raise UserError(f"num_key_value_heads is {heads!r}; this model has one per head", where)
    config = ModelConfig(**fields, **read_rope(values, where))
    _require_counterpart(config, where)
    return config


def _number(value: Any, ours: str, theirs: str, where: str) -> int | float:
    if value is None and ours in _MAY_BE_NULL:
        return 0
    kinds = (int, float) if ours in _REAL else int
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise UserError(f"the field '{theirs}' is {value!r}", where, "it must be a number")
    return float(value) if ours in _REAL else value


def _require_counterpart(config: ModelConfig, where: str) -> None:
    """Raises UserError where the constants of `transformers` make another model of these dimensions."""

    def require(law: bool, what: str) -> None:
        if not law:
            raise UserError(f"{what}, so Hugging Face's DeepseekV3 and this model would differ", where)

    require(config.norm_eps == _LATENT_EPSILON, f"the norms' epsilon is {config.norm_eps:g} and not 1e-6")
    if config.n_layers == config.n_dense_layers and not config.mtp_depth:
        return
    require(config.n_shared_experts > 0, "there is no shared expert")
    require(
        config.n_routed_experts // config.n_expert_groups >= _GROUP_BEST,
        "a group has fewer than two experts",
    )
    best = config.n_activated_experts // config.n_limited_groups
    require(
        config.n_limited_groups == config.n_expert_groups or best == _GROUP_BEST,
        f"a token chooses {best} experts in each of its groups and not 2 ({config.n_activated_experts} in "
        f"{config.n_limited_groups} groups)",
    )
