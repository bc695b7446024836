import pytest
import torch
import torch.nn.functional as F

from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.transformer import Transformer, build_model, initialise
from corpusmill.training.parallel.ranks import ALONE
from corpusmill.training.parallel.zero1 import Zero1
from corpusmill.training.precision import compute_types, set_compute_weight

CONFIG = preset("tiny")


def _model() -> Transformer:
    """Router biases, which only select, outweigh all scores, so that rounding sends no token to another expert."""
    model = build_model(CONFIG)
    initialise(model, 0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("gate.bias"):
                tensor += 2 * torch.arange(len(tensor))
            elif tensor.dim() > 1:
                tensor.mul_(3)  # at V3's 0.006 this narrow model's layers add next to nothing to the embedding
    return model


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randint(0, CONFIG.vocab_size, (8, 48), generator=torch.Generator().manual_seed(3))
    return tokens, torch.ones_like(tokens, dtype=torch.bool)


def test_routers_alone_stay_in_fp32():
    types = compute_types(_model(), "bfloat16")
    kept = {name for name, dtype in types.items() if dtype == torch.float32}
    assert kept == {"layers.1.ffn.gate.weight", "mtp.0.block.ffn.gate.weight"}
    assert set(compute_types(_model(), "float32").values()) == {torch.float32}
    assert list(types) == [name for name, _ in _model().named_parameters()]


def test_a_step_in_bf16_is_close_to_one_in_fp32():
    plain, mixed = Zero1(_model(), ALONE), Zero1(_model(), ALONE, "bfloat16")
    values = {}
    for name, weights in (("plain", plain), ("mixed", mixed)):
        actual = losses(weights.model, *_batch())
        assert actual.main.dtype == actual.mtp.dtype == actual.balance.dtype == torch.float32
        total = actual.total(8 * 47, 8, 0.3, 1e-4)
        total.backward()
        weights.reduce_gradients()
        values[name] = total.item()
    assert values["mixed"] == pytest.approx(values["plain"], rel=1e-3)
    for name, master in plain.masters().items():
        actual, wanted = mixed.masters()[name].grad, master.grad
        assert actual is not None and wanted is not None
        assert F.cosine_similarity(actual.flatten(), wanted.flatten(), 0) > 0.99, name
        assert actual.norm().item() == pytest.approx(wanted.norm().item(), rel=0.05), name


def test_activations_are_bf16_and_router_scores_fp32():
    mixed = Zero1(_model(), ALONE, "bfloat16").model
    seen = {}
    for name, module in mixed.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    out = mixed(*_batch())
    assert out.main.dtype == out.mtp[0].dtype == torch.bfloat16
    scores, _, gates = seen["layers.1.ffn.gate"]
    assert scores.dtype == gates.dtype == torch.float32
    for name in ("embed", "layers.0.attn", "layers.0.attn_norm", "layers.1.ffn.shared_experts", "mtp.0.projection"):
        assert seen[name].dtype == torch.bfloat16, name


def test_small_gradients_of_many_micro_batches_add_up():
    """256 gradients of 1 after one of 256: in BF16, whose step is 2 there, the sum would stay where it is."""
    parameter = torch.nn.Parameter(torch.zeros(8, 8))
    set_compute_weight(parameter, torch.zeros(8, 8, dtype=torch.bfloat16))
    ones, many = (torch.full((1, 8), value, dtype=torch.bfloat16) for value in (1.0, 256.0))
    F.linear(many, parameter).sum().backward()
    first = parameter.grad
    assert first is not None and first.dtype == torch.float32
    for _ in range(256):
        F.linear(ones, parameter).sum().backward()
    assert torch.equal(parameter.grad, torch.full((8, 8), 512.0))
    assert parameter.grad.data_ptr() == first.data_ptr(), "they are added in place, as views into a buffer need"
