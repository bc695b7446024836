"""Small models with nothing left at its starting value, for the tests of Hugging Face folders."""

import torch

from corpusmill.training.model.config import ModelConfig, preset
from corpusmill.training.model.transformer import Transformer, initialise

VARIANTS = {
    "groups, a dense layer first": {"n_layers": 3, "n_activated_experts": 4},
    "no groups, other widths, two shared experts": {
        "n_layers": 3,
        "n_expert_groups": 1,
        "n_limited_groups": 1,
        "n_activated_experts": 3,
        "n_shared_experts": 2,
        "qk_nope_head_dim": 16,
        "v_head_dim": 12,
        "rope_theta": 500.0,
        "route_scale": 1.3,
    },
    "queries straight from the stream, experts in all layers": {
        "n_layers": 2,
        "n_dense_layers": 0,
        "q_lora_rank": 0,
        "n_activated_experts": 4,
    },
    "YaRN, a sharper softmax": {"n_activated_experts": 4, "rope_factor": 8.0, "original_seq_len": 64, "mscale": 0.7},
    "YaRN, the softmax as it was": {
        "n_activated_experts": 4,
        "rope_factor": 4.0,
        "original_seq_len": 64,
        "beta_fast": 16.0,
        "beta_slow": 2.0,
        "mscale": 0.0,
    },
}
"""Shapes that `transformers` can build, too; the preset `tiny` itself is none (one expert a group)."""


def foreign_config(variant: str = "groups, a dense layer first", **overrides: int | float) -> ModelConfig:
    """The dimensions of a variant, with some replaced."""
    return preset("tiny", {**VARIANTS[variant], **overrides})


def trained_like(config: ModelConfig, seed: int = 3) -> Transformer:
    """A model whose norms and router biases are no longer 1 and 0."""
    model = Transformer(config)
    initialise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        for name, buffer in model.named_buffers():
            if name.endswith("gate.bias"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.1)
    return model.eval()
