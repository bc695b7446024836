import subprocess
import sys

import pytest
import torch

from corpusmill.dataproc.errors import UserError
from corpusmill.training.model.config import PRESETS, ModelConfig, flops_per_token, parameters, parts, preset
from corpusmill.training.model.transformer import Transformer


def test_v3_has_the_published_parameter_counts():
    counted = parameters(PRESETS["v3-671b"])
    assert round(counted.total / 1e9, 3) == 671.026
    assert round(counted.active / 1e9, 2) == 36.63
    assert round(counted.mtp_total / 1e9, 2) == 11.61
    assert round(counted.mtp_active / 1e9, 3) == 0.688


def test_v3_has_the_published_operations_a_token():
    config = PRESETS["v3-671b"]
    actual = [flops_per_token(config, 4096, causal, mtp) / 1e9 for mtp in (False, True) for causal in (True, False)]
    assert [round(flops, 1) for flops in actual] == [250.5, 281.2, 260.6, 291.9]


def test_v2_lite_has_the_published_size():
    counted = parameters(PRESETS["v2-lite-16b"])
    assert round(counted.total / 1e9, 1) == 15.7
    assert counted.mtp_total == 0


@pytest.mark.parametrize(("name", "billions", "gigabytes"), [("h200-small", 5.65, 74), ("v3-slice", 5.62, 73)])
def test_the_models_for_one_gpu_leave_room_beside_their_state(name: str, billions: float, gigabytes: int):
    counted = parameters(PRESETS[name])
    trained = counted.total + counted.mtp_total
    assert round(trained / 1e9, 2) == billions
    assert round(14 * trained / 2**30) == gigabytes


PLACES = {
    "mtp.": "MTP modules",
    "embed.": "embedding",
    "head.": "final norm and output head",
    "attn": "attention and norms",
    "ffn_norm": "attention and norms",
    ".gate.": "routers",
    ".experts.": "routed experts",
    ".shared_experts.": "shared experts",
    ".ffn.": "dense networks",
    "norm.": "final norm and output head",
}
"""Part by what a parameter's name contains; the first match counts."""


def _uncompressed() -> ModelConfig:
    return preset("tiny", {"q_lora_rank": 0, "n_shared_experts": 2, "mtp_depth": 2})


@pytest.mark.parametrize("config", [*PRESETS.values(), _uncompressed()], ids=[*PRESETS, "uncompressed"])
def test_counts_are_those_of_the_built_model(config: ModelConfig):
    with torch.device("meta"):
        model = Transformer(config)
    counted = parameters(config)
    mtp = sum(parameter.numel() for parameter in model.mtp.parameters())
    assert counted.mtp_total == mtp
    assert counted.total == sum(parameter.numel() for parameter in model.parameters()) - mtp


@pytest.mark.parametrize("config", [*PRESETS.values(), _uncompressed()], ids=[*PRESETS, "uncompressed"])
def test_parts_are_those_of_the_built_model(config: ModelConfig):
    with torch.device("meta"):
        model = Transformer(config)
    total, active = dict.fromkeys((part.name for part in parts(config)), 0), 0.0
    for name, parameter in model.named_parameters():
        part = next(part for place, part in PLACES.items() if place in name)
        total[part] += parameter.numel()
        used = config.n_activated_experts / config.n_routed_experts if ".experts." in name else 1.0
        active += parameter.numel() * used * (part not in ("embedding", "MTP modules"))
    assert {part.name: part.total for part in parts(config)} == total
    assert parameters(config).active == round(active)


def test_laptop_is_about_fifteen_million():
    assert 13e6 < parameters(PRESETS["laptop"]).total < 17e6


@pytest.mark.parametrize(
    "overrides",
    [
        {"dim": 33},
        {"qk_rope_head_dim": 7},
        {"n_expert_groups": 3},
        {"n_limited_groups": 8},
        {"n_activated_experts": 3},
        {"n_activated_experts": 8},
        {"n_heads": 0},
        {"n_dense_layers": 3},
        {"dims": 32},
        {"dim": "32"},
        {"dim": 32.0},
        {"mtp_depth": True},
        {"rope_factor": 0.5},
        {"beta_fast": 1.0},
        {"original_seq_len": 0},
    ],
)
def test_impossible_shapes_are_refused(overrides: dict):
    with pytest.raises(UserError):
        preset("tiny", overrides)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(UserError, match="laptop"):
        preset("huge")


def test_describing_a_preset_does_not_import_torch():
    code = "import sys, training.model.config, training.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
