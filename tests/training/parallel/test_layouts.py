"""Two ranks against one process, in both layouts: the same numbers, and what one saved the other goes on from."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from corpusmill.training.loader.batch import empty_batch
from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.moe import Gate
from corpusmill.training.model.transformer import Transformer, build_model, initialise
from corpusmill.training.parallel import choose
from corpusmill.training.parallel.ranks import ALONE, Ranks, join_ranks
from corpusmill.training.parallel.weights import Weights
from corpusmill.training.settings import TrainSettings
from tests.training.two_processes import run_ranks

LENGTH = 12
BATCHES = [3, 1, 4]
"""Sequences of each step: two ranks have unequal shares, and one has none of the second."""


def _weights(ranks: Ranks, seed: int = 0, recompute: bool = False, **chosen: str) -> Weights:
    model = build_model(preset("tiny"), recompute=recompute)
    initialise(model, seed)
    return choose(TrainSettings(shards="", output="", **chosen), model, ranks)


def _batch(model: Transformer, step: int) -> tuple[Tensor, Tensor]:
    """Tokens and which are no padding, of a step's whole batch."""
    generator = torch.Generator().manual_seed(step)
    shape = (BATCHES[step], LENGTH)
    tokens = torch.randint(0, model.config.vocab_size, shape, generator=generator)
    lengths = torch.randint(4, LENGTH + 1, (shape[0], 1), generator=generator)
    return tokens, torch.arange(LENGTH) < lengths


def _loads(model: Transformer) -> list[Tensor]:
    return [module.load for module in model.modules() if isinstance(module, Gate)]


def _train(weights: Weights, steps: range) -> list[list[float]]:
    """Trains on the sequences that are this rank's, one a pass; loss and gradient norm of each step."""
    ranks, model, reported = weights.ranks, weights.model, []
    for step in steps:
        tokens, valid = _batch(model, step)
        targets = int(valid[:, 1:].sum())
        total = torch.zeros((), dtype=torch.float64)
        model.train()
        mine = [row for row in range(len(tokens)) if row * ranks.world_size // len(tokens) == ranks.rank]
        passes = weights.passes(len(mine))
        for number in range(passes):
            empty = empty_batch(LENGTH)
            rows = slice(mine[number], mine[number] + 1) if number < len(mine) else None
            pair = (tokens[rows], valid[rows]) if rows else (empty.tokens, empty.valid)
            with weights.accumulating(last=number == passes - 1):
                loss = losses(model, *pair).total(targets, len(tokens), 0.3, 1e-2)
                loss.backward()
            total += loss.detach().double()
        weights.reduce_gradients()
        norm = weights.clip_gradients(0.5)
        weights.step(1e-3)
        weights.zero_gradients()
        reported.append([ranks.sum_(total).item(), norm])
    return reported


def _whole(weights: Weights, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of all ranks' tensors, whole, on all of them."""
    copies = {}
    for name, parameter in weights.model.named_parameters():
        for prefix in ("model", "exp_avg", "exp_avg_sq"):
            tensor = tensors.get(f"{prefix}.{name}")
            if isinstance(tensor, DTensor):
                copies[f"{prefix}.{name}"] = tensor.full_tensor().clone()
            else:
                own = torch.zeros(parameter.shape) if tensor is None else tensor.float().clone()
                copies[f"{prefix}.{name}"] = weights.ranks.sum_(own)
    return {**copies, **{name: tensor.clone() for name, tensor in tensors.items() if name not in copies}}


def _fill(tensors: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        value = values[name]
        if isinstance(tensor, DTensor):
            part = distribute_tensor(value.to(tensor.dtype), tensor.device_mesh, tensor.placements)
            tensor.to_local().copy_(part.to_local())
        else:
            tensor.copy_(value)


def _furthest(results: dict[str, Tensor], wanted: dict[str, Tensor], prefix: str) -> float:
    """The largest difference of any number."""
    assert results.keys() == wanted.keys()
    return max((results[name] - wanted[name]).abs().max().item() for name in wanted if name.startswith(prefix))


def _apart(results: dict[str, Tensor], wanted: dict[str, Tensor], start: dict[str, Tensor]) -> float:
    """How far weights are apart, relative to how far they came."""
    names = [name for name in start if name.startswith("model.")]
    apart = sum(((results[name] - wanted[name]).double().norm() ** 2).item() for name in names)
    moved = sum(((start[name] - wanted[name]).double().norm() ** 2).item() for name in names)
    return (apart / moved) ** 0.5


def _compare(ranks: Ranks, chosen: dict[str, str]) -> dict[str, Any]:
    """A layout on these ranks beside one process, from the same weights."""
    weights, single = _weights(ranks, **chosen), _weights(ALONE, **chosen)
    start = _whole(single, single.tensors())
    at_start = _whole(weights, weights.tensors())
    reported, wanted = _train(weights, range(2)), _train(single, range(2))
    middle, single_middle = _whole(weights, weights.tensors()), _whole(single, single.tensors())
    loads = [ranks.sum_(load.clone()).tolist() for load in _loads(weights.model)]
    single_loads = [load.tolist() for load in _loads(single.model)]

    # What either saved after two steps, the other goes on from; both have begun with other weights.
    taken, single_taken = _weights(ranks, seed=1, **chosen), _weights(ALONE, seed=1, **chosen)
    _fill(taken.tensors(), single_middle)
    _fill(single_taken.tensors(), middle)
    taken.loaded(2)
    single_taken.loaded(2)
    told_taken, wanted_taken = _train(taken, range(2, 3)), _train(single_taken, range(2, 3))
    reported, wanted = reported + _train(weights, range(2, 3)), wanted + _train(single, range(2, 3))
    end, single_end = _whole(weights, weights.tensors()), _whole(single, single.tensors())
    taken_end, single_taken_end = _whole(taken, taken.tensors()), _whole(single_taken, single_taken.tensors())
    return {
        "steps": reported,
        "steps of one process": wanted,
        "steps taken over": told_taken + wanted_taken,
        "started alike": _furthest(at_start, start, "model") == 0,
        "weights": _furthest(end, single_end, "model"),
        "moments": _furthest(end, single_end, "exp_avg"),
        "apart": _apart(end, single_end, start),
        "taken over": _furthest(taken_end, single_end, "model"),
        "taken over by one": _furthest(single_taken_end, end, "model"),
        "taken over apart": max(_apart(taken_end, single_end, start), _apart(single_taken_end, end, start)),
        "loads": loads,
        "loads of one process": single_loads,
        "names": sorted(weights.tensors()),
        "owned": sum(
            (tensor.to_local() if isinstance(tensor, DTensor) else tensor).numel()
            for tensor in weights.masters().values()
        ),
        "types": sorted({str(tensor.dtype) for tensor in weights.moments().values()}),
    }


LAYOUTS = {
    f"{layout} {precision} {moments}": {"parallel": layout, "precision": precision, "moments": moments}
    for layout in ("zero1", "fsdp2")
    for precision, moments in (("float32", "float32"), ("bfloat16", "float32"), ("bfloat16", "bfloat16"))
}


def compare_layouts() -> dict[str, Any]:
    with join_ranks("cpu") as ranks:
        results: dict[str, Any] = {name: _compare(ranks, chosen) for name, chosen in LAYOUTS.items()}
        for precision in ("float32", "bfloat16"):
            plain, remade = (
                _weights(ranks, 0, again, parallel="fsdp2", precision=precision) for again in (False, True)
            )
            results[f"recomputed {precision}"] = _train(plain, range(2)) == _train(remade, range(2))
        for layout in ("zero1", "fsdp2"):
            plain, measured = _weights(ranks, parallel=layout), _weights(ranks, parallel=layout)
            wanted = _train(plain, range(2))
            reported = _train(measured, range(1))
            measured.model.eval()
            with torch.no_grad():
                losses(measured.model, *_batch(measured.model, 2))
            results[f"measured {layout}"] = reported + _train(measured, range(1, 2)) == wanted
        # A forward pass without a backward pass leaves the root whole; weights changed then must still be seen.
        weights = _weights(ranks, parallel="fsdp2")
        tokens, valid = _batch(weights.model, 0)
        seen = []
        for factor in (1.0, 0.0):
            with torch.no_grad():
                for master in weights.masters().values():
                    master.mul_(factor)
                weights.follow()
                seen.append(losses(weights.model, tokens, valid).main.item() / int(valid[:, 1:].sum()))
        results["followed"] = seen
        return results


@pytest.fixture(scope="module")
def results() -> list[dict[str, Any]]:
    return run_ranks(2, "tests.training.parallel.test_layouts:compare_layouts", timeout=180)


def _of(results: list[dict[str, Any]], precision: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{name} on rank {rank}", one[name])
        for rank, one in enumerate(results)
        for name in LAYOUTS
        if precision in name
    ]


@pytest.mark.slow
def test_in_fp32_two_ranks_end_with_the_weights_of_one_process(results: list[dict[str, Any]]):
    for name, one in _of(results, "float32 float32"):
        assert one["started alike"], name
        assert one["weights"] < 1e-6, name
        assert one["moments"] < 1e-6, name
        for reported, wanted in zip(one["steps"], one["steps of one process"], strict=True):
            assert reported == pytest.approx(wanted, rel=1e-6), name


@pytest.mark.slow
def test_in_bf16_two_ranks_stay_close_to_one_process(results: list[dict[str, Any]]):
    for name, one in _of(results, "bfloat16"):
        assert one["started alike"], "masters are not rounded"
        assert one["apart"] < 0.1, name
        for reported, wanted in zip(one["steps"], one["steps of one process"], strict=True):
            assert reported == pytest.approx(wanted, rel=1e-2), name


@pytest.mark.slow
def test_what_a_layout_saved_another_goes_on_from(results: list[dict[str, Any]]):
    for name, one in _of(results, "float32 float32"):
        assert one["taken over"] < 1e-6, name
        assert one["taken over by one"] < 1e-6, name
    for name, one in _of(results, "bfloat16"):
        assert one["taken over apart"] < 0.1, name
    for name, one in _of(results, ""):
        for reported in one["steps taken over"]:
            assert reported == pytest.approx(one["steps"][2], rel=1e-2), name


@pytest.mark.slow
def test_names_are_those_of_one_process_and_each_rank_owns_about_half(results: list[dict[str, Any]]):
    single = sorted(_weights(ALONE).tensors())
    total = sum(parameter.numel() for parameter in build_model(preset("tiny")).parameters())
    for name in LAYOUTS:
        names = [set(one[name]["names"]) for one in results]
        assert sorted(names[0] | names[1]) == single, name
        shared = names[0] & names[1]
        assert all("bias" in tensor for tensor in shared) == name.startswith("zero1"), name
        assert sum(one[name]["owned"] for one in results) == total
        assert max(one[name]["owned"] for one in results) < 0.52 * total
        assert results[0][name]["types"] == [f"torch.{name.split()[2]}"]


@pytest.mark.slow
def test_loads_of_routers_sum_to_those_of_one_process(results: list[dict[str, Any]]):
    for name, one in _of(results, "float32 float32"):
        assert one["loads"] == one["loads of one process"], name
        assert all(sum(load) > 0 for load in one["loads"])


@pytest.mark.slow
def test_recomputed_tensors_change_no_bit_of_sharded_training(results: list[dict[str, Any]]):
    assert all(one[f"recomputed {precision}"] for one in results for precision in ("float32", "bfloat16"))


@pytest.mark.slow
def test_a_measurement_between_two_steps_changes_no_bit(results: list[dict[str, Any]]):
    assert all(one[f"measured {layout}"] for one in results for layout in ("zero1", "fsdp2"))


@pytest.mark.slow
def test_a_sharded_model_computes_with_masters_that_were_changed_between_forward_passes(results: list[dict[str, Any]]):
    uniform = torch.tensor(float(preset("tiny").vocab_size)).log().item()
    for one in results:
        assert one["followed"][0] != pytest.approx(uniform, abs=1e-4)
        assert one["followed"][1] == pytest.approx(uniform, abs=1e-4)
