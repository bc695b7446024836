"""Layouts of ranks: where each is, and what is refused before anything starts."""

from typing import Any

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.training.layout import Layout, layout_of, require_layout, stage_count
from corpusmill.training.model.config import preset
from corpusmill.training.settings import TrainSettings

DEEP = {"n_layers": 8, "n_routed_experts": 16, "n_activated_experts": 4}


def _settings(**chosen: Any) -> TrainSettings:
    usual = {"preset": "tiny", "model": DEEP, "batch_sequences": 32, "micro_batch": 1}
    return TrainSettings(shards="", output="", **{**usual, **chosen})


def test_expert_ranks_are_neighbours_and_every_place_is_taken_once():
    layout = Layout(data=2, expert=4, pipeline=3, node=2)
    places = [layout.place(rank) for rank in range(layout.world_size)]
    assert len(set(places)) == 24
    assert [(place.node, place.local) for place in places[:4]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {(place.data, place.pipeline) for place in places[:4]} == {(0, 0)}
    assert places[4].data == 1 and places[8].pipeline == 1


def test_ranks_without_other_settings_are_data_ranks():
    assert layout_of(_settings(), 6) == Layout(data=6)
    assert layout_of(_settings(expert_ranks=2, pipeline_ranks=2), 8) == Layout(2, 2, 2)


def test_schedules_in_a_v_have_two_stages_a_rank():
    schedules = ("dualpipev", "zbv", "1f1b")
    assert [stage_count(_settings(pipeline_ranks=4, pipeline_schedule=schedule)) for schedule in schedules] == [8, 8, 4]


@pytest.mark.parametrize(
    "chosen,ranks,what",
    [
        ({"expert_ranks": 3}, 4, "3 expert times 1 pipeline ranks don't divide 4 ranks"),
        ({"expert_ranks": 2, "parallel": "fsdp2"}, 2, "parallel 'fsdp2'"),
        ({"expert_ranks": 3}, 3, "16 experts cannot be divided among 3 expert ranks"),
        ({"expert_ranks": 4, "expert_nodes": 3}, 4, "4 expert ranks cannot be divided among 3 nodes"),
        ({"expert_ranks": 8, "expert_nodes": 8}, 8, "4 expert groups cannot be divided among 8 nodes"),
        ({"expert_nodes": 2, "pipeline_ranks": 2}, 2, "expert_nodes is 2, but there is one expert rank"),
        ({"pipeline_ranks": 5, "batch_sequences": 99}, 5, "8 layers are fewer than the 10 stages"),
        ({"pipeline_ranks": 2, "micro_batch": 16}, 2, "is 2 micro-batches of 16, and 4 stages need as many"),
        ({"pipeline_ranks": 2, "first_batch_sequences": 2, "batch_ramp_tokens": 9}, 2, "a batch of 2 sequences"),
    ],
)
def test_what_model_or_batch_do_not_allow_is_refused_in_one_line(chosen: dict[str, Any], ranks: int, what: str):
    with pytest.raises(UserError, match=what) as raised:
        require_layout(preset("tiny", DEEP), _settings(**chosen), ranks)
    assert raised.value.hint and "\n" not in str(raised.value)


def test_a_model_without_experts_has_no_expert_ranks():
    dense = {"n_layers": 2, "n_dense_layers": 2, "mtp_depth": 0}
    with pytest.raises(UserError, match="no layer with experts"):
        require_layout(preset("tiny", dense), _settings(expert_ranks=2, model=dense), 2)
