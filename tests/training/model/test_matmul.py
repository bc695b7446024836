import pytest
import torch
import torch.nn.functional as F

from corpusmill.training.model.matmul import Linear, linear, onednn_is_faster, product, takes_onednn, transposed_product
from corpusmill.training.model.matrices import PLAIN

SHAPES = [(1, 32, 16), (37, 16, 80), (129, 80, 24)]


@pytest.fixture(params=[False, True], ids=["as torch multiplies", "by oneDNN"])
def library(request, monkeypatch):
    """Both ways, whoever made this machine's processor."""
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("this torch is built without oneDNN")
    monkeypatch.setattr("corpusmill.training.model.matmul.onednn_is_faster", lambda: request.param)
    return request.param


@pytest.mark.parametrize(("rows", "inputs", "outputs"), SHAPES)
def test_value_and_gradients_are_those_of_double_precision(library, rows, inputs, outputs):
    torch.manual_seed(0)
    x, weight = torch.randn(2, rows, inputs, requires_grad=True), torch.randn(outputs, inputs, requires_grad=True)
    weights = torch.randn(2, rows, outputs)
    out = linear(x, weight)
    actual = torch.autograd.grad((out * weights).sum(), (x, weight))
    wide = [tensor.detach().double().requires_grad_() for tensor in (x, weight)]
    expected = F.linear(*wide)
    wanted = torch.autograd.grad((expected * weights.double()).sum(), wide)
    for ours, theirs in zip((out, *actual), (expected, *wanted), strict=True):
        assert ours.is_contiguous()
        assert (ours.double() - theirs).abs().max() < 2e-6 * theirs.abs().max() + 1e-6


def test_operands_may_lie_in_memory_as_they_like(library):
    torch.manual_seed(0)
    a, b = torch.randn(20, 3, 12)[:, 1], torch.randn(12, 40)[:, ::2].t()
    torch.testing.assert_close(product(a, b), a @ b.t(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(transposed_product(a, a[:, :5]), a.t() @ a[:, :5], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_repetition_gives_the_same_bits(library, threads):
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        torch.manual_seed(0)
        x, weight = torch.randn(2000, 64, requires_grad=True), torch.randn(96, 64, requires_grad=True)

        def once():
            out = linear(x, weight)
            return out.detach(), *torch.autograd.grad(out.square().sum(), (x, weight))

        first = once()
        for _ in range(8):
            assert all(torch.equal(a, b) for a, b in zip(first, once(), strict=True))
    finally:
        torch.use_deterministic_algorithms(False)


def test_only_what_wants_a_gradient_gets_one(library):
    x, weight = torch.randn(4, 8), torch.randn(6, 8, requires_grad=True)
    linear(x, weight).sum().backward()
    assert x.grad is None and weight.grad.shape == (6, 8)
    with torch.no_grad():
        assert not linear(x, weight).requires_grad


def test_other_types_and_places_go_torchs_way(library):
    x, weight = torch.randn(4, 8), torch.randn(6, 8)
    assert takes_onednn(x, weight) == library
    halves = x.bfloat16(), weight.bfloat16()
    assert not takes_onednn(*halves) and torch.equal(linear(*halves), F.linear(*halves))
    assert linear(x.to("meta"), weight.to("meta")).shape == (4, 6)
    assert linear(x[:0], weight).shape == (0, 6)


def test_the_module_is_a_torch_linear_by_name_and_number(library):
    module = PLAIN.linear(8, 6)
    assert isinstance(module, Linear) and list(module.state_dict()) == ["weight"]
    x = torch.randn(3, 5, 8)
    torch.testing.assert_close(module(x), F.linear(x, module.weight), rtol=1e-5, atol=1e-5)


def test_the_choice_is_made_by_the_machine_once():
    assert onednn_is_faster() is onednn_is_faster()
    assert torch.backends.mkldnn.is_available() or not onednn_is_faster()
