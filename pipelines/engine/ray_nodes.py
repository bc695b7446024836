"""What a Ray cluster's nodes offer, and what is asked of Ray for a task: pure functions over what Ray says of nodes.

The head node is the driver's alone as long as there is another node: on it run the cluster's own books and all drivers,
and a task that takes its memory takes the cluster with it. Ray marks it by a resource (`HEAD`), and every node has its
id as a label, so tasks ask for a node that is not the head.
"""

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = "node:__internal_head__"
NODE_ID = "ray.io/node-id"
TASKS_A_CPU = 2
"""How many tasks are handed to a cluster for each CPU that they may have: the next one waits there, and not for us."""

Node = Mapping[str, Any]


def alive(nodes: Sequence[Node]) -> list[Node]:
    """Nodes that are there."""
    return [node for node in nodes if node["Alive"]]


def spared_head(nodes: Sequence[Node], *, head_tasks: bool) -> str:
    """The id of the head node, if tasks are to leave it alone: if others are there; else ""."""
    if head_tasks:
        return ""
    heads = [node["NodeID"] for node in alive(nodes) if HEAD in node["Resources"]]
    others = any(HEAD not in node["Resources"] and node["Resources"].get("CPU", 0) > 0 for node in alive(nodes))
    return heads[0] if heads and others else ""


def cpus_of(nodes: Sequence[Node], spared: str) -> int:
    """CPUs that tasks may have, in all."""
    return int(sum(node["Resources"].get("CPU", 0) for node in alive(nodes) if node["NodeID"] != spared))


def labels_of(reserved: Mapping[str, Any], spared: str) -> dict[str, str]:
    """The labels that a task asks of its node. A stage that asks for a node by its id means that one."""
    labels = dict(reserved.get("labels", {}))
    return labels if not spared or NODE_ID in labels else {NODE_ID: f"!{spared}", **labels}


def task_options(reserved: Mapping[str, Any], spared: str, *, waits: bool) -> dict[str, Any]:
    """The options of a Ray task.

    Args:
        reserved: of `Reserved.as_values`.
        spared: the head node's id, or "".
        waits: it only waits for ranks, which reserve what they use.
    """
    labels = labels_of({} if waits else reserved, spared)
    options: dict[str, Any] = {"label_selector": labels} if labels else {}
    if waits:
        return options | {"num_cpus": 0}
    if "cpus" in reserved:
        options["num_cpus"] = reserved["cpus"]
    if "gpus" in reserved:
        options["num_gpus"] = reserved["gpus"]
    if "memory" in reserved:
        options["memory"] = reserved["memory"]
    if "custom" in reserved:
        options["resources"] = dict(reserved["custom"])
    return options


def rank_resources(reserved: Mapping[str, Any], *, cpus: float, on_gpu: bool) -> dict[str, float]:
    """What a rank of a training run reserves: its own share of CPUs, or a GPU, unless the stage says otherwise."""
    values: dict[str, float] = {"CPU": reserved.get("cpus", cpus)}
    if on_gpu:
        values["GPU"] = reserved.get("gpus", 1)
    if "memory" in reserved:
        values["memory"] = reserved["memory"]
    return values | dict(reserved.get("custom", {}))
