"""Equality with an implementation that is not ours: DeepseekV3ForCausalLM of `transformers`, in FP32, offline."""

import json

import pytest
import torch
import torch.nn.functional as F

from corpusmill.training.huggingface.folder import export_model, import_model
from corpusmill.training.huggingface.tensors import correspondence
from corpusmill.training.model.loss import losses
from corpusmill.training.model.rope import rope_table
from corpusmill.training.model.transformer import Transformer
from tests.training.foreign_models import VARIANTS, foreign_config, trained_like

transformers = pytest.importorskip("transformers")

LOGITS, GRADIENTS = 1e-5, 1e-4
"""Absolute, and relative to the largest number of a gradient."""


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing is asked of the network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers.utils.logging.disable_progress_bar()


def _load(folder):
    model, info = transformers.DeepseekV3ForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"]
    return model.eval(), info


def _tokens(config, batch: int = 3, length: int = 24) -> torch.Tensor:
    return torch.randint(0, config.vocab_size, (batch, length), generator=torch.Generator().manual_seed(1))


def _their_gradients(model) -> dict[str, torch.Tensor]:
    """Gradients by the names of files: `transformers` keeps all experts of a layer in two tensors."""
    named = {}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        if name.endswith("experts.gate_up_proj"):
            for expert, both in enumerate(gradient):
                gate, up = both.chunk(2)
                prefix = name.removesuffix("gate_up_proj")
                named[f"{prefix}{expert}.gate_proj.weight"] = gate
                named[f"{prefix}{expert}.up_proj.weight"] = up
        elif name.endswith("experts.down_proj"):
            for expert, down in enumerate(gradient):
                named[f"{name.removesuffix('down_proj')}{expert}.down_proj.weight"] = down
        else:
            named[name] = gradient
    return named


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_and_every_gradient_are_equal(variant, tmp_path):
    config = foreign_config(variant, mtp_depth=0)
    ours = trained_like(config)
    export_model(ours, config, tmp_path / "out")
    theirs, info = _load(tmp_path / "out")
    assert not info["unexpected_keys"]
    tokens = _tokens(config)

    logits = theirs(tokens).logits
    assert logits.std() > 0.3  # the comparison is of numbers that say something
    off = (ours.logits(tokens) - logits).abs().max().item()
    assert off < LOGITS

    F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
    actual = losses(ours, tokens, torch.ones_like(tokens, dtype=torch.bool))
    (actual.main / tokens[:, 1:].numel()).backward()
    expected = _their_gradients(theirs)
    named = dict(ours.named_parameters())
    compared, worst = set(), 0.0
    for piece in correspondence(config):
        if piece.ours not in named:
            assert piece.is_bias
            continue
        gradient, wanted = piece.of(named[piece.ours].grad), expected[piece.theirs]
        scale = wanted.abs().max().item()
        worst = max(worst, (gradient - wanted).abs().max().item() / max(scale, 1e-12))
        assert worst < GRADIENTS, piece.theirs
        compared.add(piece.theirs)
    assert compared == set(expected)


def test_the_same_text_is_generated_greedily(tmp_path):
    config = foreign_config()
    ours = trained_like(config)
    export_model(ours, config, tmp_path / "out", more={"max_position_embeddings": 64})
    theirs, _ = _load(tmp_path / "out")
    prompt = _tokens(config, 2, 5)
    generated = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=40, do_sample=False, pad_token_id=0
    )
    own = prompt
    for _ in range(40):
        own = torch.cat([own, ours.logits(own)[:, -1:].argmax(-1)], 1)
    assert len(set(own[0, 5:].tolist())) > 10
    assert generated.tolist() == own.tolist()


def test_several_files_in_bf16_load_there_with_biases_in_fp32(tmp_path):
    config = foreign_config(mtp_depth=0)
    ours = trained_like(config)
    export_model(ours, config, tmp_path / "out", "bfloat16", file_bytes=30_000)
    theirs, info = _load(tmp_path / "out")
    assert not info["unexpected_keys"] and theirs.dtype == torch.bfloat16
    for layer in (1, 2):
        gate = theirs.model.layers[layer].mlp.gate
        # transformers 5.24 keeps a router's weight in FP32 once it is read; the values are those of BF16.
        assert torch.equal(gate.weight.bfloat16(), ours.layers[layer].ffn.gate.weight.bfloat16())
        assert torch.equal(gate.e_score_correction_bias, ours.layers[layer].ffn.gate.bias)
    assert torch.equal(theirs.lm_head.weight, ours.head.weight.bfloat16())


def _positions(config) -> dict:
    if config.rope_factor == 1:
        return {"rope_type": "default", "rope_theta": config.rope_theta}
    stated = {"rope_type": "yarn", "rope_theta": config.rope_theta, "factor": config.rope_factor}
    stated |= {"original_max_position_embeddings": config.original_seq_len, "attention_factor": 1.0}
    stated |= {"beta_fast": config.beta_fast, "beta_slow": config.beta_slow}
    return {**stated, "mscale": config.mscale, "mscale_all_dim": config.mscale}


def _foreign_model(config, **changes):
    """A model that `transformers` made, with nothing at its starting value."""
    values = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.dim,
        "intermediate_size": config.inter_dim,
        "moe_intermediate_size": config.moe_inter_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_heads,
        "n_shared_experts": config.n_shared_experts,
        "n_routed_experts": config.n_routed_experts,
        "routed_scaling_factor": config.route_scale,
        "kv_lora_rank": config.kv_lora_rank,
        "q_lora_rank": config.q_lora_rank or None,
        "qk_rope_head_dim": config.qk_rope_head_dim,
        "qk_nope_head_dim": config.qk_nope_head_dim,
        "v_head_dim": config.v_head_dim,
        "n_group": config.n_expert_groups,
        "topk_group": config.n_limited_groups,
        "num_experts_per_tok": config.n_activated_experts,
        "first_k_dense_replace": config.n_dense_layers,
        "initializer_range": 0.09,
        "rope_parameters": _positions(config),
    }
    torch.manual_seed(5)
    model = transformers.DeepseekV3ForCausalLM(transformers.DeepseekV3Config(**{**values, **changes}))
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if "norm" in name or name.endswith("e_score_correction_bias"):
                tensor.add_(torch.randn_like(tensor) * 0.1)
    return model.eval()


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_checkpoint_that_transformers_saved_gives_equal_logits(variant, interleaved, tmp_path):
    config = foreign_config(variant, mtp_depth=0, init_std=0.09)
    theirs = _foreign_model(config, rope_interleave=interleaved)
    theirs.save_pretrained(tmp_path / "saved", max_shard_size="40KB")
    assert (tmp_path / "saved" / "model.safetensors.index.json").exists()
    actual, state = import_model(tmp_path / "saved")
    assert actual == config
    ours = Transformer(actual)
    ours.load_state_dict(state)
    tokens = _tokens(config)
    with torch.no_grad():
        off = (ours.eval().logits(tokens) - theirs(tokens).logits).abs().max().item()
    assert off < LOGITS


def test_the_mtp_module_computes_the_same_there(tmp_path, monkeypatch):
    """`transformers` looks for MTP weights in layer 61 only; which layer they are in is all that is changed here."""
    from transformers.modeling_layers import MtpModel

    config = foreign_config()
    ours = trained_like(config)
    export_model(ours, config, tmp_path / "out")
    monkeypatch.setattr(
        transformers.DeepseekV3ForCausalLM,
        "_keys_to_ignore_on_load_unexpected",
        [rf"model\.layers\.{config.n_layers}.*"],
    )
    theirs, info = _load(tmp_path / "out")
    assert not info["unexpected_keys"]
    module = MtpModel.from_pretrained(theirs)
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(2, 11, config.dim, generator=generator)
    ahead = _tokens(config, 2, 11)
    with torch.no_grad():
        positions = torch.arange(11).unsqueeze(0)
        wanted = module.forward_layer(0, hidden, positions, None, input_ids=ahead)
        rope = rope_table(11, config.qk_rope_head_dim, config.rope_theta)
        valid = torch.ones(2, 11, dtype=torch.bool)
        _, actual, _ = ours.mtp[0](hidden, ours.embed(ahead), rope, valid, None)
        off = (ours.head(actual) - theirs.lm_head(wanted)).abs().max().item()
    assert off < LOGITS


def test_config_json_is_read_there_as_it_was_meant(tmp_path):
    config = foreign_config(rope_theta=500.0)
    export_model(
        trained_like(config), config, tmp_path / "out", more={"eos_token_id": 7, "max_position_embeddings": 99}
    )
    read = transformers.AutoConfig.from_pretrained(tmp_path / "out")
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert read.rope_parameters == {"rope_type": "default", "rope_theta": 500.0}
    assert (read.eos_token_id, read.bos_token_id, read.max_position_embeddings) == (7, None, 99)
    elsewhere = {"dtype", "torch_dtype", "rope_theta", "rope_scaling", "num_nextn_predict_layers"}
    for name in written.keys() - elsewhere:
        assert getattr(read, name) == written[name], name
    assert read.num_mtp_layers == written["num_nextn_predict_layers"] == 1
    assert read.dtype == torch.float32
