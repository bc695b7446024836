"""Cutting layers into stages, and what each rank of a pipeline then has."""

from itertools import combinations, pairwise

import pytest
import torch

from corpusmill.training.layout import Layout
from corpusmill.training.model.config import PRESETS, preset
from corpusmill.training.model.transformer import Transformer, give_memory, initialise, parameter_names
from corpusmill.training.parallel.ranks import Ranks
from corpusmill.training.parallel.stages import StagedTransformer, cut, layer_costs

SHAPE = {"n_layers": 9, "n_dense_layers": 2}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 9])
def test_the_dearest_stage_is_as_cheap_as_any_cut_makes_it(count: int):
    config = preset("tiny", SHAPE)
    costs, end = layer_costs(config)

    def dearest(bounds: list[int]) -> float:
        stages = [sum(costs[first:last]) for first, last in pairwise(bounds)]
        stages[-1] += end
        return max(stages)

    chosen = cut(config, count)
    assert [layer for stage in chosen for layer in stage] == list(range(9)) and all(chosen[:-1])
    best = min(dearest([0, *inner, 9]) for inner in combinations(range(1, 10), count - 1))
    assert dearest([0, *(stage.stop for stage in chosen)]) == pytest.approx(best)


def test_v3s_head_and_mtp_are_a_stage_of_their_own_and_the_others_are_nearly_even():
    config = PRESETS["v3-671b"]
    stages = cut(config, 32)
    costs, end = layer_costs(config)
    sums = [sum(costs[layer] for layer in stage) for stage in stages]
    assert not stages[-1] and end > max(sums), "no cut makes the last one cheaper"
    assert max(sums) < 1.05 * sum(sums) / 31


def _parts(count: int, ranks: int) -> list[StagedTransformer]:
    config = preset("tiny", SHAPE)
    made = []
    for rank in range(ranks):
        place = Ranks(rank, ranks, torch.device("cpu"), Layout(pipeline=ranks))
        with torch.device("meta"):
            model = StagedTransformer(config, place, count)
        made.append(give_memory(model, "cpu"))
        initialise(made[-1], 0)
    return made


@pytest.mark.parametrize("stages", [3, 6])
def test_ranks_have_every_parameter_once_under_its_name_with_the_bits_of_the_whole_model(stages: int):
    whole = Transformer(preset("tiny", SHAPE))
    initialise(whole, 0)
    expected = dict(whole.named_parameters())
    parts = _parts(stages, 3)
    names = [name for part in parts for name, _ in part.named_parameters()]
    assert sorted(names) == sorted(expected)
    for part in parts:
        assert parameter_names(part) == list(expected)
        for name, parameter in part.named_parameters():
            assert torch.equal(parameter, expected[name]), name
    assert sorted(row for part in parts for row in part.router_rows) == list(range(8))


def test_in_a_v_embedding_and_head_are_on_one_rank_and_else_embeddings_travel():
    v, line = _parts(6, 3), _parts(3, 3)
    assert [(part.has_embedding, part.has_head) for part in v] == [(True, True), (False, False), (False, False)]
    assert [(part.has_embedding, part.has_head) for part in line] == [(True, False), (False, False), (False, True)]
    assert not v[0].embedding_travels and line[1].embedding_travels
    assert [part.mine for part in v] == [[0, 5], [1, 4], [2, 3]]
