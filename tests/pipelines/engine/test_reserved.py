"""What tasks reserve of a cluster's nodes: as it is written, and as Ray is asked for it."""

from typing import Any

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.ray_nodes import HEAD, NODE_ID, cpus_of, rank_resources, spared_head, task_options
from corpusmill.pipelines.engine.reserved import Reserved, read_flags, read_reserved


def test_flags_and_recipes_say_the_same() -> None:
    flags = read_flags(["model:CPU=2,GPU=1,memory=8GiB,fast_disk=0.5,label.zone=in(a,b),label.kind=!spot"], ["model"])
    written = {"CPU": 2, "GPU": 1, "memory": "8GiB", "fast_disk": 0.5, "label.zone": "in(a,b)", "label.kind": "!spot"}
    assert flags == {"model": read_reserved(written, "here")}
    assert flags["model"] == Reserved(
        cpus=2, gpus=1, memory=8 << 30, custom={"fast_disk": 0.5}, labels={"zone": "in(a,b)", "kind": "!spot"}
    )


def test_one_stage_needs_no_name() -> None:
    assert read_flags(["CPU=3"], ["filter"]) == {"filter": Reserved(cpus=3)}
    assert read_flags(["filter:CPU=3"], ["filter"]) == {"filter": Reserved(cpus=3)}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["CPU=1"], "no stage '' in 'CPU=1'; write STAGE:NAME=VALUE, with one of a, b"),
        (["c:CPU=1"], "no stage 'c'"),
        (["a:CPU"], "'CPU' is not NAME=VALUE"),
        (["a:CPU=two"], "--resources: CPU: 'two' is not an amount of a resource"),
        (["a:GPU=1.5"], "not an amount"),
        (["a:CPU=-1"], "not an amount"),
        (["a:memory=lots"], "'lots' is not a size"),
        (["a:label.=x"], "a label has a name and a text"),
        (["a:CPU=1", "a:GPU=1"], "'a' is given twice"),
        (["a:CPU=1,CPU=2"], "gives a resource twice"),
        (["a:cpu=4"], "Ray calls this resource CPU; write CPU"),
        (["a:label.zo ne=b"], "does not take a label of this form"),
        (["a:label.zone=in(a"], "does not take a label of this form"),
        (["a:label.zone=a b!!"], "does not take a label of this form"),
    ],
)
def test_what_is_not_understood_is_refused_in_a_line(texts: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        read_flags(texts, ["a", "b"])
    assert said in str(caught.value)


def test_a_recipe_may_hold_any_yaml_and_zero_is_an_amount() -> None:
    with pytest.raises(UserError, match="the name of a resource is not text"):
        read_reserved({1: 2}, "resources")  # type: ignore[dict-item]
    assert read_reserved({"CPU": 0, "GPU": 0}, "resources").as_values() == {"cpus": 0, "gpus": 0}


def node(name: str, *, head: bool = False, alive: bool = True, cpus: int = 8) -> dict[str, Any]:
    resources = {"CPU": float(cpus)} | ({HEAD: 1.0} if head else {})
    return {"NodeID": name, "Alive": alive, "Resources": resources}


def test_the_head_is_spared_where_there_are_others() -> None:
    nodes = [node("h", head=True), node("a"), node("b"), node("c", alive=False)]
    assert spared_head(nodes, head_tasks=False) == "h"
    assert spared_head(nodes, head_tasks=True) == ""
    assert spared_head(nodes[:1], head_tasks=False) == "", "there is nowhere else"
    assert spared_head([*nodes[:1], node("g", cpus=0)], head_tasks=False) == "", "a node without CPUs runs no task"
    assert cpus_of(nodes, "h") == 16 and cpus_of(nodes, "") == 24


def test_ray_is_asked_for_what_is_reserved() -> None:
    reserved = Reserved(cpus=2, memory=1 << 30, custom={"fast_disk": 1.0}, labels={"zone": "b"}).as_values()
    assert task_options(reserved, "h", waits=False) == {
        "num_cpus": 2, "memory": 1 << 30, "resources": {"fast_disk": 1.0},
        "label_selector": {NODE_ID: "!h", "zone": "b"},
    }  # fmt: skip
    assert task_options({}, "", waits=False) == {}
    assert task_options(reserved, "h", waits=True) == {"label_selector": {NODE_ID: "!h"}, "num_cpus": 0}
    pinned = Reserved(labels={NODE_ID: "h"}).as_values()
    assert task_options(pinned, "h", waits=False) == {"label_selector": {NODE_ID: "h"}}
    assert rank_resources({}, cpus=4, on_gpu=False) == {"CPU": 4}
    assert rank_resources({"gpus": 1, "cpus": 12, "custom": {"x": 1}}, cpus=4, on_gpu=True) == {
        "CPU": 12, "GPU": 1, "x": 1
    }  # fmt: skip
