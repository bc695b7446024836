import subprocess
import sys

import pytest
import torch

from dataproc.errors import UserError
from training.config import PRESETS, ModelConfig, flops_per_token, parameters, preset
from training.model import Transformer


def test_v3_has_the_published_parameter_counts():
    counted = parameters(PRESETS["v3-671b"])
    assert counted.total == pytest.approx(671.026e9, abs=1e5 * 10)
    assert counted.active == pytest.approx(36.626e9, abs=1e6)
    assert counted.mtp_total == pytest.approx(11.610e9, abs=1e6)
    assert counted.mtp_active == pytest.approx(0.688e9, abs=1e6)


def test_v3_has_the_published_operations_a_token():
    config = PRESETS["v3-671b"]
    found = [flops_per_token(config, 4096, causal, mtp) / 1e9 for mtp in (False, True) for causal in (True, False)]
    assert found == pytest.approx([250.5, 281.2, 260.6, 291.9], abs=0.1)


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
    ],
)
def test_impossible_shapes_are_refused(overrides: dict):
    with pytest.raises(UserError):
        preset("tiny", overrides)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(UserError, match="laptop"):
        preset("huge")


def test_describing_a_preset_does_not_import_torch():
    code = "import sys, training.config, training.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
