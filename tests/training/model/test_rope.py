import math

import numpy as np
import pytest
import torch
from transformers import DeepseekV3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.deepseek_v3.modeling_deepseek_v3 import yarn_apply_mscale

from corpusmill.training.model.attention import MLA
from corpusmill.training.model.config import PRESETS, ModelConfig, as_dictionary, preset
from corpusmill.training.model.rope import model_rope_table, rope_table, yarn_frequencies
from corpusmill.training.model.transformer import build_model, initialise

V3_LONG = {"rope_factor": 40}
STRETCHED = [
    preset("v3-671b", V3_LONG),
    preset("v3-671b", {"rope_factor": 4.0, "original_seq_len": 8192, "beta_fast": 16, "beta_slow": 2}),
    preset("laptop", {"rope_factor": 8, "original_seq_len": 512}),
    preset("tiny", {"rope_factor": 16, "original_seq_len": 128, "rope_theta": 500.0, "mscale": 0.707}),
    preset("tiny", {"rope_factor": 2, "original_seq_len": 7}),  # the ramp has no width
]


def _reference(config: ModelConfig) -> np.ndarray:
    """YaRN's frequencies a pair at a time, in float64."""
    width, actual = config.qk_rope_head_dim, []

    def pair_of(turns: float) -> float:
        # theta ** (-2 pair / width) * length = 2 pi turns, solved for the pair
        return width / 2 * np.log(config.original_seq_len / (2 * np.pi * turns)) / np.log(config.rope_theta)

    begin = max(np.floor(pair_of(config.beta_fast)), 0)
    end = min(np.ceil(pair_of(config.beta_slow)), width - 1)
    for pair in range(width // 2):
        plain = config.rope_theta ** (-2 * pair / width)
        if pair <= begin:
            actual.append(plain)
        elif pair >= end:
            actual.append(plain / config.rope_factor)
        else:
            part = (pair - begin) / (end - begin)
            actual.append(part * plain / config.rope_factor + (1 - part) * plain)
    return np.array(actual)


@pytest.mark.parametrize("config", STRETCHED)
def test_yarn_is_the_reference_written_a_pair_at_a_time(config: ModelConfig):
    np.testing.assert_allclose(yarn_frequencies(config).numpy(), _reference(config), rtol=1e-6)
    angles = np.outer(np.arange(200), _reference(config))
    table = model_rope_table(config, 200).numpy()
    np.testing.assert_allclose(table, np.exp(1j * angles), atol=5e-5)


@pytest.mark.parametrize("config", STRETCHED)
def test_yarn_is_that_of_transformers_for_deepseek_v3(config: ModelConfig):
    theirs = DeepseekV3Config(
        qk_rope_head_dim=config.qk_rope_head_dim,
        qk_nope_head_dim=config.qk_nope_head_dim,
        max_position_embeddings=int(config.original_seq_len * config.rope_factor),
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": config.rope_theta,
            "factor": config.rope_factor,
            "original_max_position_embeddings": config.original_seq_len,
            "beta_fast": config.beta_fast,
            "beta_slow": config.beta_slow,
            "mscale": config.mscale,
            "mscale_all_dim": config.mscale,
        },
    )
    frequencies, table_factor = ROPE_INIT_FUNCTIONS["yarn"](theirs)
    torch.testing.assert_close(yarn_frequencies(config), frequencies, rtol=1e-6, atol=0)
    assert table_factor == 1, "the table itself is not scaled"
    scale = yarn_apply_mscale(theirs.rope_parameters, config.qk_head_dim**-0.5)
    assert config.softmax_scale == pytest.approx(scale, rel=1e-12)


def test_v3_keeps_eleven_pairs_and_divides_nine():
    config = preset("v3-671b", V3_LONG)
    stretch = yarn_frequencies(PRESETS["v3-671b"]) / yarn_frequencies(config)
    assert torch.equal(stretch[:11], torch.ones(11))
    torch.testing.assert_close(stretch[23:], torch.full((9,), 40.0))
    assert ((stretch[11:23] > 1) & (stretch[11:23] < 40)).all()
    assert round(config.softmax_scale, 5) == 0.13523
    assert round(PRESETS["v3-671b"].softmax_scale, 5) == 0.07217


@pytest.mark.parametrize("name", PRESETS)
def test_without_a_factor_nothing_changes_to_the_bit(name: str):
    config = PRESETS[name]
    plain = rope_table(64, config.qk_rope_head_dim, config.rope_theta)
    assert torch.equal(model_rope_table(config, 64), plain)
    assert config.softmax_scale == 1 / math.sqrt(config.qk_head_dim)
    assert not {"rope_factor", "mscale", "original_seq_len"} & set(as_dictionary(config)), "config.json is what it was"


def test_the_dictionary_of_a_stretched_model_makes_it_again():
    for config in STRETCHED:
        assert ModelConfig(**as_dictionary(config)) == config


def test_attention_is_sharpened_as_if_queries_were_longer():
    torch.manual_seed(0)
    stretched = preset("tiny", V3_LONG)
    layer, plain = MLA(stretched), MLA(preset("tiny"))
    plain.load_state_dict(layer.state_dict())
    with torch.no_grad():
        plain.wq_b.weight *= (0.1 * math.log(40) + 1) ** 2
    x, table = torch.randn(1, 12, 32), model_rope_table(stretched, 12)
    torch.testing.assert_close(layer(x, table), plain(x, table))


def test_every_layer_of_a_model_gets_the_stretched_table():
    config = preset("tiny", {"rope_factor": 16, "original_seq_len": 8})
    model = build_model(config)
    initialise(model, 0)
    seen: list[torch.Tensor] = []
    for module in model.modules():
        if isinstance(module, MLA):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    model(torch.zeros(1, 20, dtype=torch.int64))
    assert len(seen) == config.n_layers + config.mtp_depth
    for table in seen:
        assert torch.equal(table, model_rope_table(config, len(table)))
