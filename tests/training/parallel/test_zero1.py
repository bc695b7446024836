import pytest
import torch

from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.moe import Gate
from corpusmill.training.model.transformer import Transformer, build_model, initialise
from corpusmill.training.parallel import choose
from corpusmill.training.parallel.ranks import ALONE
from corpusmill.training.parallel.weights import Weights
from corpusmill.training.parallel.zero1 import Zero1
from corpusmill.training.settings import TrainSettings

CONFIG = preset("tiny")


def _model(seed: int = 0) -> Transformer:
    model = build_model(CONFIG)
    initialise(model, seed)
    return model


def _backward(model: Transformer, step: int, micro_batch: int = 2) -> None:
    tokens = torch.randint(0, CONFIG.vocab_size, (4, 12), generator=torch.Generator().manual_seed(step))
    for part in tokens.split(micro_batch):
        losses(model, part, torch.ones_like(part, dtype=torch.bool)).total(44, 4, 0.3, 1e-4).backward()


def _train(weights: Weights, steps: int) -> list[float]:
    norms = []
    for step in range(steps):
        with weights.accumulating(last=True):
            _backward(weights.model, step)
        weights.reduce_gradients()
        norms.append(weights.clip_gradients(0.5))
        weights.step(1e-3)
        weights.zero_gradients()
    return norms


def test_alone_in_fp32_every_bit_is_that_of_torchs_adamw_and_clipping():
    weights, plain = Zero1(_model(), ALONE), _model()
    matrices = [parameter for parameter in plain.parameters() if parameter.dim() > 1]
    norms = [parameter for parameter in plain.parameters() if parameter.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)
    wanted = []
    for step in range(3):
        _backward(plain, step)
        wanted.append(torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5).item())
        optimizer.step()
        optimizer.zero_grad()
    assert _train(weights, 3) == wanted
    for name, parameter in plain.named_parameters():
        assert torch.equal(weights.masters()[name], parameter), name
        assert torch.equal(weights.tensors()[f"exp_avg_sq.{name}"], optimizer.state[parameter]["exp_avg_sq"]), name


def test_alone_in_fp32_masters_are_the_models_own_parameters():
    weights = Zero1(_model(), ALONE)
    for name, parameter in weights.model.named_parameters():
        assert weights.masters()[name].data_ptr() == parameter.data_ptr()


def test_bytes_a_parameter_in_bf16_with_bf16_moments():
    weights = Zero1(_model(), ALONE, "bfloat16", "bfloat16")
    _backward(weights.model, 0)
    weights.reduce_gradients()
    for name, parameter in weights.model.named_parameters():
        router = name.endswith("gate.weight")
        assert parameter.dtype == (torch.float32 if router else torch.bfloat16), name
        assert parameter.grad is not None and parameter.grad.dtype == torch.float32, name
        assert weights.masters()[name].dtype == torch.float32
        # A router computes with its master.
        assert (weights.masters()[name].data_ptr() == parameter.data_ptr()) == router
        assert weights.moments()[f"exp_avg.{name}"].dtype == torch.bfloat16
        assert weights.masters()[name].grad is parameter.grad, "the optimiser sees the gradient itself, no copy"
    weights.zero_gradients()
    assert all(parameter.grad is None for parameter in weights.model.parameters())


def test_masters_keep_what_bf16_weights_would_swallow():
    """A hundred updates of 1e-4 of a weight: each is below half of BF16's step there, together they are not."""
    weights = Zero1(_model(), ALONE, "bfloat16", weight_decay=0.0)
    name = "layers.0.attn.wo.weight"
    master, parameter = weights.masters()[name], weights.model.get_parameter(name)
    with torch.no_grad():
        for tensor in weights.masters().values():
            tensor.fill_(1.0)
    weights.follow()
    rounded = parameter.detach().clone()
    for step in range(100):
        for one in weights.model.parameters():
            one.grad = torch.full(one.shape, -1.0)
        weights.reduce_gradients()
        weights.step(1e-4)
        rounded += 1e-4
        if step == 0:
            assert torch.allclose(master, torch.tensor(1.0001))
            assert torch.equal(parameter, torch.ones_like(parameter))
    assert torch.allclose(master, torch.tensor(1.01), atol=1e-5)
    assert torch.equal(parameter, master.bfloat16())
    assert (parameter > 1).all() and (rounded == 1).all()


@pytest.mark.parametrize(("precision", "moments"), [("float32", "float32"), ("bfloat16", "bfloat16")])
def test_tensors_of_a_run_put_into_another_continue_it_bit_for_bit(precision: str, moments: str):
    first = Zero1(_model(), ALONE, precision, moments)
    assert all(not tensor.any() for tensor in first.moments().values()), "moments exist before the first step"
    _train(first, 2)
    with torch.no_grad():
        for module in first.model.modules():
            if isinstance(module, Gate):
                module.bias += torch.arange(len(module.bias))
    second = Zero1(_model(1), ALONE, precision, moments)
    assert second.tensors().keys() == first.tensors().keys()
    for name, tensor in second.tensors().items():
        tensor.copy_(first.tensors()[name])
    second.loaded(2)
    assert _train(first, 3) == _train(second, 3)
    for name, tensor in first.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name
    for name, parameter in first.model.named_parameters():
        assert torch.equal(parameter, second.model.get_parameter(name)), name


def test_tensors_are_weights_router_biases_and_moments_but_no_counts():
    model = _model()
    saved = {f"model.{name}" for name in model.state_dict()}
    moments = {f"{moment}.{name}" for name, _ in model.named_parameters() for moment in ("exp_avg", "exp_avg_sq")}
    assert set(Zero1(model, ALONE).tensors()) == saved | moments
    assert any(name.endswith("gate.bias") for name in saved) and not any("load" in name for name in saved)


def test_settings_choose_and_alone_both_layouts_are_one():
    for parallel in ("zero1", "fsdp2"):
        settings = TrainSettings(shards="", output="", parallel=parallel, precision="bfloat16", moments="bfloat16")
        weights = choose(settings, _model(), ALONE)
        assert isinstance(weights, Zero1)
        assert weights.passes(0) == 0
        assert weights.model.head.weight.dtype == weights.moments()["exp_avg.head.weight"].dtype == torch.bfloat16
