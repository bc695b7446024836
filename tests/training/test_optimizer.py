from math import sqrt

import pytest
import torch
from torch import Tensor

from corpusmill.training.model.config import preset
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.optimizer import (
    MOMENTS,
    BFloat16MomentsAdamW,
    make_optimizer,
    set_learning_rate,
    set_steps,
)

SHAPES = [(3, 5), (7,), (300, 257), (1,), (2, 3, 4), (0, 4)]
"""The third is longer than a chunk, and no multiple of one."""


def _tensors(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def _reference(
    weights: list[Tensor], steps: list[list[Tensor]], rate: float, decay: float, kept: torch.dtype
) -> list[Tensor]:
    """AdamW in FP64 from the paper's equations, with moments rounded to `kept` after each step."""
    actual = []
    for place, weight in enumerate(weights):
        weight, m, v = weight.double(), torch.zeros(weight.shape).double(), torch.zeros(weight.shape).double()
        for step, gradients in enumerate(steps, 1):
            gradient = gradients[place].double()
            m, v = 0.9 * m + 0.1 * gradient, 0.95 * v + 0.05 * gradient**2
            weight = weight - rate * (decay if weight.dim() > 1 else 0.0) * weight
            weight = weight - rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.95**step)).sqrt() + 1e-8)
            m, v = m.to(kept).double(), v.to(kept).double()
        actual.append(weight)
    return actual


def _run(weights: list[Tensor], steps: list[list[Tensor]], rate: float, moments: torch.dtype) -> torch.optim.Optimizer:
    optimizer = make_optimizer(weights, 0.1, moments)
    set_learning_rate(optimizer, rate)
    for gradients in steps:
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("moments", [torch.float32, torch.bfloat16])
def test_ten_steps_are_those_of_the_papers_equations(moments: torch.dtype):
    weights, steps = _tensors(), [_tensors(1 + step) for step in range(10)]
    wanted = _reference(weights, steps, 0.01, 0.1, moments)
    optimizer = _run(weights, steps, 0.01, moments)
    assert isinstance(optimizer, BFloat16MomentsAdamW) == (moments == torch.bfloat16)
    for actual, expected in zip(weights, wanted, strict=True):
        # A moment that lies between two BF16 numbers to within FP32's rounding may be kept as either.
        apart = (actual - expected).abs()
        assert (apart > 2e-6).double().mean().nan_to_num() <= (0.001 if moments == torch.bfloat16 else 0)
        assert (apart < 1e-4).all()


def test_one_step_of_bf16_moments_is_that_of_fp32_moments():
    """The update is computed before moments are rounded, so rounding shows from the second step on."""
    first, second, gradients = _tensors(), _tensors(), _tensors(1)
    _run(first, [gradients], 0.01, torch.bfloat16)
    _run(second, [gradients], 0.01, torch.float32)
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_moments_are_rounded_to_nearest():
    weight, gradient = torch.zeros(10_000), torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    state = _run([weight], [[gradient]], 0.01, torch.bfloat16).state[weight]
    wanted = {"exp_avg": 0.1 * gradient.double(), "exp_avg_sq": 0.05 * gradient.double() ** 2}
    for name in MOMENTS:
        assert state[name].dtype == torch.bfloat16
        # Half of the step between neighbours of 8 bits of mantissa, and FP32's own rounding.
        assert ((state[name].double() - wanted[name]).abs() <= wanted[name].abs() * (2**-8 + 1e-6)).all()
        assert abs(((state[name].double() - wanted[name]) / wanted[name]).mean()) < 2**-8 / sqrt(10_000) * 5


def test_bf16_moments_need_no_more_scratch_than_a_few_chunks():
    weight, gradient = torch.zeros(2_000_000), torch.ones(2_000_000)
    weight.grad = gradient
    optimizer = make_optimizer([weight], moments=torch.bfloat16)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        optimizer.step()
    largest = max(abs(event.cpu_memory_usage) for event in profile.events())
    assert 0 < largest < 2_000_000, "bytes; an FP32 copy of one moment is 8 MB"


@pytest.mark.parametrize("moments", [torch.float32, torch.bfloat16])
def test_state_put_into_another_optimiser_continues_bit_for_bit(moments: torch.dtype):
    steps = [_tensors(1 + step) for step in range(4)]
    first = _tensors()
    straight = [tensor.clone() for tensor in first]
    _run(straight, steps, 0.01, moments)
    before = _run(first, steps[:2], 0.01, moments)
    after = make_optimizer(first, 0.1, moments)
    saved = [{name: before.state[tensor][name].clone() for name in MOMENTS} for tensor in first]
    set_learning_rate(after, 0.01)
    for tensor, moment in zip(first, saved, strict=True):
        for name in MOMENTS:
            after.state[tensor][name].copy_(moment[name])
    set_steps(after, 2)
    for gradients in steps[2:]:
        for tensor, gradient in zip(first, gradients, strict=True):
            tensor.grad = gradient.clone()
        after.step()
    assert all(torch.equal(one, other) for one, other in zip(first, straight, strict=True))


def test_a_tensor_without_gradient_stays_as_it_is():
    weights = [torch.ones(3, 3), torch.ones(3, 3)]
    optimizer = make_optimizer(weights, moments=torch.bfloat16)
    set_learning_rate(optimizer, 0.1)
    weights[0].grad = torch.ones(3, 3)
    optimizer.step()
    assert (weights[0] < 1).all() and (weights[1] == 1).all()


def test_norms_do_not_decay_and_every_parameter_is_trained():
    model = Transformer(preset("tiny"))
    optimizer = make_optimizer(model, 0.1)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.0 if "norm" in name else 0.1), name
