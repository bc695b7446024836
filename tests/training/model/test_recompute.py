"""Recomputation changes no bit of any gradient, runs no router and no attention twice, and keeps nothing alive."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from corpusmill.training.model.attention import document_mask
from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.recompute import recomputation, remade
from corpusmill.training.model.transformer import build_model, initialise
from corpusmill.training.parallel import choose
from corpusmill.training.parallel.ranks import Ranks, join_ranks
from corpusmill.training.precision import compute_types, set_compute_weight
from corpusmill.training.settings import TrainSettings
from tests.training.two_processes import run_ranks

SHAPES = [
    {},
    {"mtp_depth": 2, "q_lora_rank": 0, "n_shared_experts": 2},
    {"v_head_dim": 24, "n_shared_experts": 0, "n_dense_layers": 2, "n_layers": 3},
]


def _gradients(shape: dict, precision: str, masked: bool, recompute: bool) -> dict[str, Tensor]:
    """Gradients of two micro-batches, the second of another length, and the routers' loads."""
    model = build_model(preset("tiny", shape), recompute=recompute)
    initialise(model, 3)
    types = compute_types(model, precision)
    for name, parameter in model.named_parameters():
        set_compute_weight(parameter, parameter.detach().to(types[name]))
    generator = torch.Generator().manual_seed(1)
    for length in (24, 17):
        tokens = torch.randint(0, model.config.vocab_size, (2, length), generator=generator)
        valid = torch.ones_like(tokens, dtype=torch.bool)
        valid[1, length - 5 :] = False
        segments = (torch.arange(length) // 7).expand(2, -1).masked_fill(~valid, -1)
        actual = losses(model, tokens, valid, document_mask(segments) if masked else None)
        actual.total(2 * length, 4, 0.3, 1e-2).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return gradients | {name: buffer for name, buffer in model.named_buffers() if name.endswith("load")}


@pytest.mark.parametrize("masked", [False, True], ids=["causal", "documents"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES, ids=["tiny", "without query latent", "values as wide as keys"])
def test_gradients_and_router_loads_are_equal_to_the_bit(shape, precision, masked):
    kept, again = (_gradients(shape, precision, masked, recompute) for recompute in (False, True))
    assert kept.keys() == again.keys()
    for name, gradient in kept.items():
        assert gradient is not None and gradient.any(), name
        assert torch.equal(gradient, again[name]), name


def test_attention_and_routers_run_once_and_the_rest_at_most_twice(monkeypatch):
    calls = {"attention": 0, "norm": 0, "silu": 0, "sigmoid": 0}
    plain = F.scaled_dot_product_attention, F.rms_norm, F.silu, Tensor.sigmoid

    def counted(name, function):
        def call(*inputs, **options):
            calls[name] += 1
            return function(*inputs, **options)

        return call

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted("attention", plain[0]))
    monkeypatch.setattr(F, "rms_norm", counted("norm", plain[1]))
    monkeypatch.setattr(F, "silu", counted("silu", plain[2]))
    monkeypatch.setattr(Tensor, "sigmoid", counted("sigmoid", plain[3]))
    config = preset("tiny")
    model = build_model(config, recompute=True)
    initialise(model, 0)
    tokens = torch.arange(20).view(2, 10)
    loss = losses(model, tokens, torch.ones_like(tokens, dtype=torch.bool)).total(18, 2, 0.3, 1e-4)
    forward = dict(calls)
    loss.backward()
    layers, experts = config.n_layers + config.mtp_depth, config.n_moe_layers + config.mtp_depth
    assert forward["attention"] == layers and forward["sigmoid"] == experts
    assert calls["attention"] == forward["attention"] and calls["sigmoid"] == forward["sigmoid"]
    assert calls["norm"] == 2 * forward["norm"] and calls["silu"] == 2 * forward["silu"]


class _Doubled(nn.Module):
    """Counts its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.factor, self.runs = nn.Parameter(torch.tensor(2.0)), 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return x * self.factor


def test_a_remade_output_is_freed_in_the_forward_pass_and_made_once_in_the_backward_pass():
    double = _Doubled()
    x = torch.ones(3, requires_grad=True)
    with recomputation(True):
        out = remade(double, x)
        first, second = out[:2].exp() * out[:2], out[1:].square()  # both save views of it
    storage = StorageWeakRef(out.untyped_storage())
    total = first.sum() + second.sum()
    del out, first, second
    assert storage.expired() and double.runs == 1
    total.backward()
    assert double.runs == 2
    y = torch.full((3,), 2.0, requires_grad=True)
    (y[:2].exp() * y[:2]).sum().add(y[1:].square().sum()).backward()
    assert torch.equal(x.grad, 2 * y.grad) and torch.equal(double.factor.grad, y.grad.sum())


def test_recipes_of_a_chain_are_made_from_each_other():
    first, second = _Doubled(), _Doubled()
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with recomputation(True):
        remade(second, remade(first, x)).square().sum().backward()
    assert (first.runs, second.runs) == (2, 2)
    assert torch.equal(x.grad, 32 * x.detach()), "of (4 x)^2"


def test_a_new_tensor_in_the_place_of_a_freed_one_is_not_taken_for_it():
    double, actual = _Doubled(), []
    x = torch.ones(1000, requires_grad=True)
    with recomputation(True):
        for value in range(20):
            remade(double, x)  # freed at once, so the allocator gives its memory to the next
            other = torch.full((1000,), float(value))
            actual.append((x * other).sum())
    torch.stack(actual).sum().backward()
    assert x.grad[0] == sum(range(20)) and double.runs == 20


@pytest.mark.parametrize("wanted", [False, True])
def test_nothing_is_remembered_where_no_gradient_is_wanted(wanted):
    double = _Doubled()
    with recomputation(wanted), torch.set_grad_enabled(not wanted):
        assert torch.equal(remade(double, torch.ones(2)), torch.full((2,), 2.0))
    frozen = double.requires_grad_(False)
    with recomputation(True):
        out = remade(frozen, torch.ones(2))
    assert not out.requires_grad


def test_a_view_of_an_input_is_refused():
    x = torch.ones(4, requires_grad=True)
    with recomputation(True), pytest.raises(AssertionError, match="view of an input"):
        remade(lambda tensor: tensor.view(2, 2), x)


def test_an_error_inside_leaves_no_recomputation_behind():
    double = _Doubled()
    with pytest.raises(ZeroDivisionError), recomputation(True):
        raise ZeroDivisionError
    remade(double, torch.ones(2)).square().sum().backward()
    assert double.runs == 1


def _sharded_gradients(ranks: Ranks, precision: str, recompute: bool) -> list[Tensor]:
    """What a rank has of the gradients of two passes under FSDP2, which drops and gathers weights in between."""
    model = build_model(preset("tiny"), recompute=recompute)
    initialise(model, 3)
    settings = TrainSettings(shards="", output="", parallel="fsdp2", precision=precision)
    weights = choose(settings, model, ranks)
    for number in range(2):
        tokens = torch.arange(40).view(2, 20) + 7 * number + ranks.rank
        with weights.accumulating(last=number == 1):
            losses(model, tokens, torch.ones_like(tokens, dtype=torch.bool)).total(80, 8, 0.3, 1e-2).backward()
    weights.reduce_gradients()
    return weights.gradients()


def _on_two_ranks() -> bool:
    with join_ranks("cpu") as ranks:
        for precision in ("float32", "bfloat16"):
            kept, again = (_sharded_gradients(ranks, precision, recompute) for recompute in (False, True))
            assert len(kept) == len(again) and any(gradient.any() for gradient in kept)
            assert all(torch.equal(*pair) for pair in zip(kept, again, strict=True)), precision
        return True


@pytest.mark.slow
def test_gradients_are_equal_to_the_bit_where_weights_are_sharded_over_two_ranks():
    assert run_ranks(2, "tests.training.model.test_recompute:_on_two_ranks") == [True, True]
