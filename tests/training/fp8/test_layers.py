"""FP8 layers: the three products of each, what stays for the backward pass, and a model that trains with them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from corpusmill.training.fp8.linear import Fp8Linear
from corpusmill.training.fp8.network import Fp8Swiglu, swiglu_and_gradients
from corpusmill.training.fp8.operands import KINDS, Recipe
from corpusmill.training.fp8.policy import Fp8Matrices, take_counts
from corpusmill.training.fp8.quantize import dequantize, quantize_blocks, quantize_columns, quantize_rows
from corpusmill.training.fp8.reference import Emulated
from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.matrices import plain_swiglu_network
from corpusmill.training.model.transformer import build_model, initialise
from corpusmill.training.parallel.ranks import ALONE
from corpusmill.training.parallel.zero1 import Zero1
from corpusmill.training.precision import set_compute_weight


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale).bfloat16()


def layer(inputs: int, outputs: int, after_attention: bool = False, **recipe) -> Fp8Linear:
    made = Fp8Linear(inputs, outputs, Recipe(Emulated(), **recipe), after_attention)
    set_compute_weight(made.weight, normal(outputs, inputs, seed=9, scale=0.05))
    return made


def kept_bytes(run) -> int:
    """Bytes of all tensors saved for the backward pass, weights apart, each storage once."""
    storages: dict[int, int] = {}
    weights = set()

    def pack(tensor: Tensor) -> Tensor:
        if isinstance(tensor, torch.nn.Parameter):
            weights.add(tensor.untyped_storage()._cdata)
        storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()
    total = sum(count for storage, count in storages.items() if storage not in weights)
    del out
    return total


def test_a_layer_is_the_three_products_of_the_report():
    made, x, dy = layer(300, 200), normal(2, 75, 300).requires_grad_(), normal(2, 75, 200, seed=1)
    y = made(x)
    y.backward(dy)
    rows, slopes, weight = x.detach().flatten(0, 1), dy.flatten(0, 1), made.weight.detach()
    blocks = dequantize(quantize_blocks(weight))
    kept = dequantize(quantize_rows(rows))
    assert torch.equal(y.flatten(0, 1), (kept @ blocks.t()).bfloat16())
    by_x = dequantize(quantize_rows(slopes)) @ blocks
    torch.testing.assert_close(x.grad.flatten(0, 1), by_x.bfloat16(), rtol=2**-7, atol=1e-6)
    by_weight = dequantize(quantize_columns(slopes)) @ dequantize(quantize_columns(kept)).t()
    torch.testing.assert_close(made.weight.grad, by_weight, rtol=1e-5, atol=1e-5)
    assert y.dtype == x.grad.dtype == torch.bfloat16 and made.weight.grad.dtype == torch.float32


def test_gradients_in_blocks_change_the_inputs_gradient_alone():
    results = []
    for blocks in (False, True):
        made, x = layer(256, 256, gradient_blocks=blocks), normal(200, 256).requires_grad_()
        made(x).backward(normal(200, 256, seed=1) * torch.logspace(-3, 3, 200).bfloat16().unsqueeze(1))
        results.append((x.grad, made.weight.grad))
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[1][0])


def test_a_layer_keeps_its_input_in_8_bits_and_attentions_output_in_12():
    x = normal(256, 384)
    for after_attention, bits in ((False, 8), (True, 12)):
        made = layer(384, 128, after_attention)
        kept = kept_bytes(lambda made=made: made(x))
        assert kept == 256 * 384 * bits // 8 + 4 * 256 * 3


def test_layers_that_read_one_tensor_keep_it_once():
    x, first, second = normal(256, 384), layer(384, 128), layer(384, 256)
    assert kept_bytes(lambda: (first(x), second(x))) == 256 * 384 + 4 * 256 * 3


def network_weights(inner: int, width: int, experts: tuple[int, ...] = ()) -> list[torch.nn.Parameter]:
    shapes = ((*experts, inner, width), (*experts, inner, width), (*experts, width, inner))
    weights = [torch.nn.Parameter(normal(*shape, seed=n, scale=0.1)) for n, shape in enumerate(shapes)]
    for weight in weights:
        set_compute_weight(weight, weight.data)
    return weights


@pytest.mark.parametrize("ends", [None, [100, 100, 230, 300]], ids=["dense", "experts"])
def test_a_network_and_its_gradients_are_the_plain_ones_within_the_error_of_8_bits(ends):
    experts = () if ends is None else (4,)
    ends = None if ends is None else torch.tensor(ends, dtype=torch.int32)
    results = []
    for network in (Fp8Swiglu(Recipe(Emulated())), plain_swiglu_network):
        w1, w3, w2 = network_weights(160, 256, experts)
        x = normal(300, 256, seed=5).requires_grad_()
        y = network(x, w1, w3, w2, ends)
        y.backward(normal(300, 256, seed=6))
        results.append([y.detach(), x.grad, w1.grad, w3.grad, w2.grad])
    for ours, plain in zip(*results, strict=True):
        assert ours.shape == plain.shape
        assert (ours.float() - plain.float()).norm() < 0.12 * plain.float().norm()
    if experts:
        assert all(not gradient[1].any() for gradient in results[0][2:])


def test_a_network_keeps_one_byte_of_input_gate_and_up():
    x, weights = normal(256, 384), network_weights(128, 384)
    kept = kept_bytes(lambda: Fp8Swiglu(Recipe(Emulated()))(x, *weights))
    assert kept == 256 * (384 + 2 * 128) + 4 * 256 * (3 + 2)
    plain = kept_bytes(lambda: plain_swiglu_network(x, *weights))
    assert plain == 2 * 256 * (384 + 4 * 128)


def test_swiglus_gradients_are_autograds():
    gate, up, slopes = (normal(40, 60, seed=seed).float() for seed in range(3))
    gate.requires_grad_(), up.requires_grad_()
    out = F.silu(gate) * up
    out.backward(slopes)
    activated, by_gate, by_up = swiglu_and_gradients(gate.detach(), up.detach(), slopes.bfloat16())
    for ours, exact in ((activated, out.detach()), (by_gate, gate.grad), (by_up, up.grad)):
        torch.testing.assert_close(ours.float(), exact, rtol=2**-7, atol=1e-4)


def train(steps: int, recompute: bool = False, **recipe) -> tuple[list[float], dict[str, Tensor]]:
    matrices = Fp8Matrices(Recipe(Emulated(), **recipe))
    model = build_model(preset("tiny"), recompute=recompute, matrices=matrices)
    initialise(model, 0)
    weights = Zero1(model, ALONE, "fp8", "bfloat16")
    tokens = torch.randint(0, 256, (2, 40), generator=torch.Generator().manual_seed(1))
    valid, trace = torch.ones_like(tokens, dtype=torch.bool), []
    for _ in range(steps):
        result = losses(model, tokens, valid)
        result.total(78, 2, 0.3, 1e-4).backward()
        weights.reduce_gradients()
        weights.clip_gradients(1.0)
        weights.step(1e-2)
        weights.zero_gradients()
        trace.append(result.main.item() / 78)
    return trace, weights.masters()


def test_a_model_learns_in_fp8_and_recomputation_changes_no_bit():
    plain, again = train(6), train(6, recompute=True)
    assert plain[0][-1] < plain[0][0] - 0.5
    assert plain[0] == again[0]
    assert all(torch.equal(plain[1][name], again[1][name]) for name in plain[1])


def test_saturated_and_flushed_values_are_counted_by_layer_only_where_that_is_wanted():
    recipe = Recipe(Emulated())
    model = build_model(preset("tiny"), matrices=Fp8Matrices(recipe))
    initialise(model, 0)
    Zero1(model, ALONE, "fp8", "bfloat16")
    tokens, valid = torch.zeros(1, 20, dtype=torch.int64), torch.ones(1, 20, dtype=torch.bool)
    for counting in (False, True):
        recipe.counting = counting
        losses(model, tokens, valid).total(19, 1, 0.3, 1e-4).backward()
        layers, counts = take_counts(model, torch.device("cpu"))
        assert layers == ["layers.0", "layers.1", "mtp.0"] and counts.shape == (3, len(KINDS), 3)
        assert bool(counts[..., 0].all()) == counting
        assert bool((counts[..., 1:] <= counts[..., :1]).all())
    assert not take_counts(model, torch.device("cpu"))[1].any()
