import pytest
import torch

from corpusmill.dataproc.errors import UserError
from corpusmill.training.average import MovingAverage
from corpusmill.training.model.config import PRESETS, parameters, parts, preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.memory import FLOAT32, MemoryLayout, memory
from corpusmill.training.model.transformer import build_model, initialise
from corpusmill.training.parallel.ranks import ALONE
from corpusmill.training.parallel.zero1 import Zero1


def _bytes(tensors) -> int:
    return sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("name", ["tiny", "quickstart", "laptop"])
def test_state_is_what_a_step_in_fp32_has_in_memory(name: str):
    config = preset(name)
    model = build_model(config)
    initialise(model, 0)
    weights = Zero1(model, ALONE)
    tokens = torch.randint(0, config.vocab_size, (1, 16))
    losses(model, tokens, torch.ones_like(tokens, dtype=torch.bool)).total(15, 1, 0.3, 1e-4).backward()
    weights.reduce_gradients()
    weights.step(1e-3)
    actual = memory(config, MemoryLayout(sequence_length=16, **FLOAT32))
    assert actual.weights == _bytes(model.parameters())
    assert actual.gradients == _bytes(parameter.grad for parameter in model.parameters())
    assert actual.moments == _bytes(weights.moments().values())
    assert actual.master_weights == 0
    assert actual.state == 16 * sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", ["tiny", "quickstart"])
def test_state_in_mixed_precision_is_what_a_step_of_it_has_in_memory(name: str):
    config = preset(name)
    model = build_model(config)
    initialise(model, 0)
    weights = Zero1(model, ALONE, precision="bfloat16", moments="bfloat16")
    average = MovingAverage(weights.masters(), 0.9)
    tokens = torch.randint(0, config.vocab_size, (1, 16))
    losses(model, tokens, torch.ones_like(tokens, dtype=torch.bool)).total(15, 1, 0.3, 1e-4).backward()
    weights.reduce_gradients()
    weights.step(1e-3)
    actual = memory(config, MemoryLayout(sequence_length=16))
    computing = {parameter.data_ptr() for parameter in model.parameters()}
    assert actual.weights == _bytes(model.parameters())
    assert actual.master_weights == _bytes(
        master for master in weights.masters().values() if master.data_ptr() not in computing
    )
    assert actual.gradients == _bytes(parameter.grad for parameter in model.parameters())
    assert actual.moments == _bytes(weights.moments().values())
    assert actual.average == _bytes(average.tensors().values())


@pytest.mark.parametrize("ranks", [2, 3, 64])
def test_zero_shares_out_what_the_optimiser_owns(ranks: int):
    config = PRESETS["laptop"]
    alone, shared = memory(config, MemoryLayout()), memory(config, MemoryLayout(ranks=ranks, zero=1))
    assert (shared.weights, shared.gradients) == (alone.weights, alone.gradients)
    assert shared.activations == alone.activations
    for role in ("master_weights", "moments", "average"):
        whole, part = getattr(alone, role), getattr(shared, role)
        assert whole <= ranks * part < whole + 4 * ranks
    assert memory(config, MemoryLayout(ranks=ranks)) == alone, "without ZeRO every rank has everything"


def test_fourteen_bytes_a_parameter_and_activations_in_proportion_to_sequences():
    config = PRESETS["h200-small"]
    counted = parameters(config)
    one, four = (memory(config, MemoryLayout(micro_batch=count)) for count in (1, 4))
    routers = sum(part.total for part in parts(config) if part.name == "routers") // config.n_moe_layers
    in_float32 = routers * (config.n_moe_layers + config.mtp_depth)  # which have no masters besides
    assert one.state == 14 * (counted.total + counted.mtp_total) - 2 * in_float32
    for part in ("attention", "dense networks"):
        assert four.activations[part] == 4 * one.activations[part]
    assert four.total == four.state + sum(four.activations.values()) + four.workspace


@pytest.mark.parametrize(
    "layout", [{"ranks": 0}, {"zero": 2}, {"micro_batch": 0}, {"weights": "float8"}, {"moments": None}]
)
def test_impossible_layouts_are_refused(layout: dict):
    with pytest.raises(UserError):
        MemoryLayout(**layout)


def test_sequences_too_short_to_predict_in_are_refused():
    with pytest.raises(UserError, match="short"):
        memory(PRESETS["tiny"], MemoryLayout(sequence_length=2))
