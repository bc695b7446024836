"""The moving average against a plain loop, late or not; applied and taken back bit for bit, on one rank and on two."""

import threading
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from corpusmill.training.average import MovingAverage
from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.transformer import build_model, initialise
from corpusmill.training.parallel import choose
from corpusmill.training.parallel.ranks import ALONE, Ranks, join_ranks
from corpusmill.training.parallel.weights import Weights
from corpusmill.training.parallel.zero1 import Zero1
from corpusmill.training.settings import TrainSettings
from tests.training.two_processes import run_ranks

DECAY = 0.9


def _masters() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"matrix": (300, 401), "vector": (7,), "number": ()}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def _change(masters: dict[str, Tensor], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for master in masters.values():
        master.add_(torch.randn(master.shape, generator=generator))


def _held_back(average: MovingAverage) -> Callable[[], None]:
    """Keeps the average's thread from its work; what is returned lets it go on."""
    free = threading.Event()
    average._thread.submit(free.wait)
    return free.set


def test_it_is_that_of_a_plain_loop_and_starts_as_a_copy():
    masters = _masters()
    average = MovingAverage(masters, DECAY)
    expected = {name: master.clone() for name, master in masters.items()}
    for step in range(5):
        actual = average.tensors()
        assert all(torch.equal(actual[f"average.{name}"], wanted) for name, wanted in expected.items())
        _change(masters, step)
        average.update()
        expected = {name: DECAY * expected[name] + (1 - DECAY) * master for name, master in masters.items()}
    for name, wanted in expected.items():
        actual = average.tensors()[f"average.{name}"]
        assert actual.dtype == torch.float32 and actual.device.type == "cpu"
        assert torch.equal(actual, wanted)


def test_a_change_right_after_an_update_does_not_reach_it_and_lateness_leaves_no_trace():
    actual = []
    for late in (False, True):
        masters = _masters()
        average = MovingAverage(masters, DECAY)
        for step in range(3):
            go_on = _held_back(average) if late else None
            average.update()
            _change(masters, step)  # before the thread could begin, where it is late
            if go_on:
                assert average._pending is not None and not average._pending.done()
                go_on()
        actual.append(average.tensors())
    assert all(torch.equal(actual[0][name], actual[1][name]) for name in actual[0])
    first = _masters()
    assert not torch.equal(actual[0]["average.matrix"], first["matrix"])


def test_an_update_waits_for_the_last_one():
    masters = _masters()
    average = MovingAverage(masters, DECAY)
    go_on = _held_back(average)
    average.update()
    _change(masters, 0)
    threading.Timer(0.1, go_on).start()
    average.update()
    assert average._pending is not None
    once = _masters()
    expected = {name: DECAY * once[name] + (1 - DECAY) * once[name] for name in once}
    expected = {name: DECAY * expected[name] + (1 - DECAY) * masters[name] for name in once}
    assert all(torch.equal(average.tensors()[f"average.{name}"], wanted) for name, wanted in expected.items())


def test_what_fails_in_the_thread_is_raised_at_the_next_wait(monkeypatch):
    average = MovingAverage(_masters(), DECAY)

    def fail(_):
        raise MemoryError("no room")

    monkeypatch.setattr(average, "_advance", fail)
    average.update()
    with pytest.raises(MemoryError, match="no room"):
        average.wait()


def test_an_average_that_was_filled_from_a_saved_one_goes_on_as_that_one_did():
    masters = _masters()
    straight = MovingAverage(masters, DECAY)
    for step in range(4):
        _change(masters, step)
        straight.update()
        if step == 1:
            saved = {name: tensor.clone() for name, tensor in straight.tensors().items()}
    masters = _masters()
    for step in range(2):
        _change(masters, step)
    resumed = MovingAverage(masters, DECAY)
    for name, tensor in resumed.tensors().items():
        tensor.copy_(saved[name])
    for step in range(2, 4):
        _change(masters, step)
        resumed.update()
    assert all(torch.equal(resumed.tensors()[name], tensor) for name, tensor in straight.tensors().items())


def _loss(weights: Weights) -> Tensor:
    """Of some tokens, the same on all ranks."""
    tokens = torch.arange(60).view(3, 20)
    return losses(weights.model, tokens, torch.ones_like(tokens, dtype=torch.bool)).main


def _stepped(ranks: Ranks, parallel: str, precision: str) -> tuple[Weights, MovingAverage]:
    """Weights after three steps, with their average."""
    model = build_model(preset("tiny"), ranks.device)
    initialise(model, 0)
    settings = TrainSettings(shards="", output="", parallel=parallel, precision=precision)
    weights = choose(settings, model, ranks)
    average = MovingAverage(weights.masters(), DECAY)
    for _ in range(3):
        with weights.accumulating(last=True):
            (_loss(weights) / ranks.world_size).backward()
        weights.reduce_gradients()
        weights.step(1e-2)
        weights.zero_gradients()
        average.update()
    return weights, average


def _parts(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of what is on this rank."""
    local = {name: tensor.to_local() if isinstance(tensor, DTensor) else tensor for name, tensor in tensors.items()}
    return {name: tensor.detach().clone() for name, tensor in local.items()}


def _equal(actual: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return actual.keys() == wanted.keys() and all(torch.equal(actual[name], wanted[name]) for name in wanted)


@torch.no_grad()
def _check_applied(ranks: Ranks, parallel: str, precision: str) -> list[float]:
    """Applies an average and takes it back, twice; losses of the weights and of their average."""
    with torch.enable_grad():
        weights, average = _stepped(ranks, parallel, precision)
    masters, averages = _parts(weights.masters()), _parts(average.tensors())
    trained, within = _loss(weights), []
    for error in (nullcontext(), pytest.raises(ZeroDivisionError)):
        with error, average.applied(weights):
            assert _equal({f"average.{name}": part for name, part in _parts(weights.masters()).items()}, averages)
            within.append(_loss(weights))
            if not isinstance(error, nullcontext):
                raise ZeroDivisionError
        assert _equal(_parts(weights.masters()), masters) and _equal(_parts(average.tensors()), averages)
        assert torch.equal(_loss(weights), trained)
    assert torch.equal(within[0], within[1]) and not torch.equal(within[0], trained)
    return [trained.item(), within[0].item()]


def test_the_model_computes_with_the_average_and_then_with_its_weights_again():
    _, average = _stepped(ALONE, "zero1", "float32")
    other = build_model(preset("tiny"))
    initialise(other, 0)  # for the routers' biases, which no step of these moved
    other.load_state_dict(
        {name.removeprefix("average."): part for name, part in average.tensors().items()}, strict=False
    )
    with torch.no_grad():
        expected = _loss(Zero1(other, ALONE)).item()
    actual = {precision: _check_applied(ALONE, "zero1", precision)[1] for precision in ("float32", "bfloat16")}
    assert actual["float32"] == expected and actual["bfloat16"] == pytest.approx(expected, rel=1e-2)


def test_there_is_no_update_while_the_average_is_applied():
    weights, average = _stepped(ALONE, "zero1", "float32")
    with pytest.raises(AssertionError), average.applied(weights):
        average.update()
    average.update()


LAYOUTS = [(parallel, precision) for parallel in ("zero1", "fsdp2") for precision in ("float32", "bfloat16")]


def _on_two_ranks() -> dict[str, list[float]]:
    with join_ranks("cpu") as ranks:
        return {" ".join(layout): _check_applied(ranks, *layout) for layout in LAYOUTS}


@pytest.mark.slow
def test_on_two_ranks_each_averages_what_it_owns_and_all_compute_with_the_whole():
    actual = run_ranks(2, "tests.training.test_average:_on_two_ranks")
    assert actual[0] == actual[1]
    for parallel, precision in LAYOUTS:
        alone = _check_applied(ALONE, parallel, precision)
        assert actual[0][f"{parallel} {precision}"] == pytest.approx(
            alone, rel=1e-5 if precision == "float32" else 1e-2
        )
