import pytest
import torch

from corpusmill.training.model.config import PRESETS, preset
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.parallel.flat import ALIGNMENT, deal


def _sizes(name: str) -> dict[str, int]:
    with torch.device("meta"):
        model = Transformer(preset(name))
    return {name: parameter.numel() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("world_size", [2, 3, 8])
@pytest.mark.parametrize("name", ["tiny", "laptop"])
def test_every_parameter_has_one_place_and_none_overlap(name: str, world_size: int):
    sizes = _sizes(name)
    actual = deal(sizes, world_size)
    assert set(actual.owner) == set(actual.offset) == set(sizes)
    used = [set() for _ in range(world_size)]
    for parameter, size in sizes.items():
        begin = actual.offset[parameter]
        assert begin % ALIGNMENT == 0
        places = set(range(begin, begin + size, 64))
        assert begin + size <= actual.length
        assert not places & used[actual.owner[parameter]]
        used[actual.owner[parameter]] |= places


def test_parts_are_even_as_long_as_no_parameter_is_too_large():
    for name in PRESETS:
        sizes = _sizes(name)
        total, largest = sum(sizes.values()), max(sizes.values())
        for world_size in (2, 4, 8, 16, 64):
            length = deal(sizes, world_size).length
            assert length >= total / world_size
            if world_size <= total / largest / 2:
                assert length < 1.06 * total / world_size, (name, world_size)
            # Graham 1969: largest first is within 4/3 of the best, in which some rank has two of the W + 1 largest.
            ordered = [*sorted(sizes.values(), reverse=True), *[0] * world_size]
            bound = max(total / world_size, largest, ordered[world_size - 1] + ordered[world_size])
            assert length <= 4 / 3 * bound + ALIGNMENT * len(sizes), (name, world_size)


def test_a_deal_depends_on_nothing_but_sizes_and_order():
    sizes = _sizes("tiny")
    assert deal(sizes, 3) == deal(dict(sizes), 3)


def test_more_ranks_than_parameters_leave_some_without():
    actual = deal({"a": 3, "b": 100}, 4)
    assert (actual.owner, actual.offset, actual.length) == ({"b": 0, "a": 1}, {"a": 0, "b": 0}, 128)
