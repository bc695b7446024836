"""What keeps experts evenly loaded: the balance loss at points where equations 17 to 20 can be solved by hand, and the
bias, which is to bring a skewed router down to a violation of 0.2 within 500 steps at V3's speed. There, every step
routes the same 4,096 tokens, which stand for batches so large that their loads hardly vary: with new tokens each step,
chance alone took the highest of 32 even loads past 1.2 times their mean in 4 steps of a thousand.

Violation (MaxVio): the highest load of an expert over the mean load, less 1.
"""

import pytest
import torch
from torch import Tensor

from corpusmill.training.model.config import ModelConfig, preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.moe import Gate, balance_loss, take_loads, update_biases, violations
from corpusmill.training.model.transformer import Transformer, initialise

SPEED, BAR = 0.001, 0.2
STEPS = 300  # of the 500 that are allowed; the slowest of the skews below takes 230
TOKENS = 4096


def _all(sequences: int, length: int) -> Tensor:
    return torch.ones(sequences, length, dtype=torch.bool)


@pytest.mark.parametrize("depth", [0, 2])
def test_the_models_balance_loss_is_alpha_a_router_where_all_scores_are_equal(depth: int):
    model = Transformer(preset("tiny", {"n_layers": 3, "mtp_depth": depth}))
    initialise(model, 0)
    gates = [module for module in model.modules() if isinstance(module, Gate)]
    for gate in gates:
        gate.weight.data.zero_()  # every score is sigmoid(0)
    tokens = torch.randint(3, 256, (4, 20), generator=torch.Generator().manual_seed(0))
    valid = torch.arange(20) < torch.tensor([20, 7, 20, 13]).unsqueeze(1)
    actual = losses(model, tokens, valid)
    assert len(gates) == 2 + depth
    assert actual.balance.item() == pytest.approx(4 * len(gates), rel=1e-5)
    alone = actual.total(57, 4, 0.3, 1e-4) - actual.total(57, 4, 0.3, 0.0)
    assert alone.item() == pytest.approx(1e-4 * len(gates), rel=0.05)  # the difference of two FP32 numbers


@pytest.mark.parametrize(("experts", "chosen"), [(8, 2), (16, 4), (256, 8)])
def test_an_even_load_of_unequal_scores_costs_one(experts: int, chosen: int):
    """Token t prefers experts t, t+1, … around the circle: all f and P are equal, though no token's scores are."""
    circle = (torch.arange(experts) - torch.arange(experts).unsqueeze(1)) % experts
    scores = 0.9 - 0.8 * circle / experts
    assert balance_loss(scores.unsqueeze(0), _all(1, experts), chosen).item() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("low", [0.8, 0.2, 1e-6])
@pytest.mark.parametrize(("experts", "chosen"), [(8, 2), (16, 4), (256, 8)])
def test_a_collapsed_router_costs_what_the_equations_say(experts: int, chosen: int, low: float):
    """All tokens choose the same K of N experts, with scores of 0.9, the others `low`: f is N/K for these and 0 for the
    others, so the loss is N 0.9 / (0.9 K + low (N - K)), which goes to N/K, its highest value."""
    scores = torch.full((3, 10, experts), low)
    scores[..., -chosen:] = 0.9
    expected = experts * 0.9 / (0.9 * chosen + low * (experts - chosen))
    assert balance_loss(scores, _all(3, 10), chosen).item() == pytest.approx(3 * expected, rel=1e-5)


def test_following_the_gradient_evens_the_load_out():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 64, 8, generator=generator) + torch.linspace(-1, 1, 8)
    before = balance_loss(logits.sigmoid(), _all(1, 64), 2).item()
    shift = torch.zeros(8, requires_grad=True)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(balance_loss((logits + shift).sigmoid(), _all(1, 64), 2), shift)
        shift = (shift - 0.5 * gradient).detach().requires_grad_()
    after = balance_loss((logits + shift).sigmoid(), _all(1, 64), 2).item()
    assert before > 1.2 and after < 1.02


SKEWS = {
    "a slope": lambda n: torch.linspace(-0.5, 0.5, n),
    "a steep slope": lambda n: torch.linspace(-1.0, 1.0, n),
    "two favourites": lambda n: 1.0 * (torch.arange(n) < 2),
    "half disliked": lambda n: -1.0 * (torch.arange(n) % 2),
    "like ranks of words": lambda n: -0.3 * torch.log(torch.arange(1.0, n + 1)),
}
SHAPES = {
    "no groups": {"n_routed_experts": 32, "n_activated_experts": 4, "n_expert_groups": 1, "n_limited_groups": 1},
    "groups": {"n_routed_experts": 32, "n_activated_experts": 4, "n_expert_groups": 8, "n_limited_groups": 2},
}


def _violations(config: ModelConfig, skew: Tensor, seed: int, steps: int = STEPS, speed: float = SPEED) -> list[float]:
    """The violation at each of the steps of a router that `skew` [E] is added to the logits of."""
    generator = torch.Generator().manual_seed(seed)
    gate = Gate(config)
    with torch.no_grad():
        gate.weight.normal_(0.0, 0.05, generator=generator)
        gate.weight[:, 0] = skew
    actual = []
    x = torch.randn(TOKENS, config.dim, generator=generator)
    x[:, 0] = 1.0
    for _ in range(steps):
        gate(x, torch.ones(TOKENS, dtype=torch.bool))
        loads = take_loads(gate)
        update_biases(gate, loads, speed)
        actual += violations(loads)
    return actual


def _settled(violations: list[float]) -> int:
    """The first step from which on the violation stays below the bar; one more than there are if it doesn't."""
    above = [step for step, violation in enumerate(violations, 1) if violation >= BAR]
    return above[-1] + 1 if above else 1


@pytest.mark.parametrize(("skew", "shape"), [*((skew, "groups") for skew in SKEWS), ("a steep slope", "no groups")])
def test_bias_control_makes_a_skewed_router_even(skew: str, shape: str):
    config = preset("tiny", SHAPES[shape])
    actual = _violations(config, SKEWS[skew](config.n_routed_experts), seed=0)
    assert actual[0] > 1.0, "the router is skewed to begin with"
    assert _settled(actual) <= STEPS


def test_without_bias_control_the_skew_stays():
    actual = _violations(preset("tiny", SHAPES["groups"]), SKEWS["a slope"](32), seed=0, steps=20, speed=0.0)
    assert min(actual) > 1.0
