from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from training.config import preset
from training.model import Transformer
from training.optimizer import clip_gradients, make_optimizer
from training.schedule import DEEPSEEK_V3, schedule


@pytest.mark.parametrize(
    ("tokens", "step", "rate"),
    [
        (1e9, 999, 1.1e-4),
        (5e12, 100_000, 2.2e-4),
        (12.15e12, 200_000, 1.21e-4),
        (14.3e12, 230_000, 2.2e-5),
        (14.5e12, 240_000, 2.2e-5),
    ],
)
def test_v3_learning_rate(tokens, step, rate):
    assert schedule(DEEPSEEK_V3, tokens, step).learning_rate == pytest.approx(rate)


def test_warm_up_rises_from_its_first_step_to_the_peak():
    settings = replace(DEEPSEEK_V3, warmup_steps=4)
    assert [schedule(settings, 0, step).learning_rate / 2.2e-4 for step in range(6)] == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 1]
    )


def test_mtp_weight_and_bias_speed_switch_at_their_marks():
    found = [schedule(DEEPSEEK_V3, tokens, 10**6) for tokens in (9.99e12, 10e12, 14.29e12, 14.3e12)]
    assert [(now.mtp_weight, now.bias_speed) for now in found] == [(0.3, 0.001), (0.1, 0.001), (0.1, 0.001), (0.1, 0.0)]


def test_no_jump_between_the_phases():
    rates = [schedule(DEEPSEEK_V3, tokens * 1e9, 10**6).learning_rate for tokens in range(9_900, 14_400)]
    assert max(a - b for a, b in pairwise(rates)) < 1e-7
    assert all(a >= b for a, b in pairwise(rates))


def test_norms_do_not_decay_and_every_parameter_is_trained():
    model = Transformer(preset("tiny"))
    optimizer = make_optimizer(model, 0.1)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.0 if "norm" in name else 0.1), name


def test_clipping_keeps_the_direction():
    layer = torch.nn.Linear(3, 3)
    layer.weight.grad, layer.bias.grad = torch.full((3, 3), 4.0), torch.zeros(3)
    assert clip_gradients(layer, 1.0).item() == pytest.approx(12.0)
    torch.testing.assert_close(layer.weight.grad, torch.full((3, 3), 1 / 3))
