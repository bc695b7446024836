"""Named shapes of models, from DeepSeek-V3 itself down to what a test trains in milliseconds.

Each says what it is for. Where DeepSeek published the dimensions, they are taken over as they stand; the others keep
V3's proportions where size allows (heads of 128 + 64, latents narrower than the stream, experts in groups).
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from corpusmill.dataproc.errors import UserError
from corpusmill.training.model.dimensions import V3_INIT_STD, ModelConfig

V3_DIM = 7168


def scaled_init_std(dim: int) -> float:
    """V3's 0.006 carried to another width by 1/sqrt(d), so that a matrix keeps the gain that it has in V3.

    At width 7168, 0.006 is about half of 1/sqrt(d); at width 128 it would be 7 % of it, and every layer would start
    near zero. Seen with `quickstart` after 100 steps on Python sources (unigram 6.78 nats): 6.74 nats per token from
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
    # DeepSeek-V2-Lite (arXiv 2405.04434, appendix B; config.json of the release): its widths, depths and counts as they
    # stand, in V3's architecture: sigmoid gates that sum to 1 over the six chosen experts (there: softmax over all 64,
    # not normalised), balance by bias instead of by loss, no expert groups, no MTP, as there. The usual model of which
    # other trainers report figures.
    "v2-lite-16b": ModelConfig(
        vocab_size=102_400,
        dim=2048,
        n_layers=27,
        n_dense_layers=1,
        n_heads=16,
        q_lora_rank=0,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        inter_dim=10_944,
        moe_inter_dim=1408,
        n_routed_experts=64,
        n_shared_experts=2,
        n_activated_experts=6,
        mtp_depth=0,
        init_std=scaled_init_std(2048),
    ),
    # The whole of V3 (q latent, groups, MTP, its vocabulary) on one GPU of 141 GB: 5.65 B parameters, whose state at 14
    # bytes each is 74 GiB and leaves room for some sequences of 4,096. For speed of a whole training step.
    "h200-small": ModelConfig(
        vocab_size=129_280,
        dim=2048,
        n_layers=12,
        n_dense_layers=1,
        n_heads=16,
        q_lora_rank=768,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        inter_dim=8192,
        moe_inter_dim=1024,
        n_routed_experts=64,
        n_shared_experts=1,
        n_activated_experts=8,
        n_expert_groups=8,
        n_limited_groups=4,
        route_scale=2.5,
        init_std=scaled_init_std(2048),
    ),
    # Every matrix of V3's layers at its true width, for kernels: one dense and three expert layers with an eighth of
    # the experts (a rank's share in V3 is smaller still), a small vocabulary and no MTP, so that layers are all there
    # is to measure. One GPU holds it: 73 GiB at 14 bytes a parameter.
    "v3-slice": ModelConfig(
        vocab_size=8192,
        dim=V3_DIM,
        n_layers=4,
        n_dense_layers=1,
        n_heads=128,
        q_lora_rank=1536,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        inter_dim=18_432,
        moe_inter_dim=2048,
        n_routed_experts=32,
        n_shared_experts=1,
        n_activated_experts=8,
        n_expert_groups=8,
        n_limited_groups=4,
        route_scale=2.5,
        mtp_depth=0,
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
        raise UserError(f"unknown model preset '{name}'", hint=f"choose one of {', '.join(PRESETS)}")
    types = {field.name: field.type for field in fields(ModelConfig)}
    for key, value in (overrides or {}).items():
        if key not in types:
            raise UserError(f"unknown model field '{key}'", hint=f"choose from {', '.join(types)}")
        whole = types[key] is int
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise UserError(
                f"the model field '{key}' is {value!r}", hint="give a whole number" if whole else "give a number"
            )
    return replace(PRESETS[name], **(overrides or {}))
