"""The ranks of a task as workers of Ray Train, on one node or many.

Ray Train's TorchTrainer gives each rank a worker with its share of CPUs or one GPU, sets torchrun's variables and
opens torch's process group. The rest is ours: checkpoints, retries and errors are those of the other engine, so Ray
restarts nothing and stores nothing but the empty folder that it insists on, below the stage's intermediate files.

The task that waits for the ranks reserves no CPU: with one it would hold what its own ranks wait for. A rank gets as
many CPUs as it has threads, or fewer where the cluster has not got them.

Cost: about 10 s to start, most of it Ray's own actors.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError, require_extra
from corpusmill.pipelines.engine.lease import ends_with_lease
from corpusmill.pipelines.engine.ranks import new_reports, outcome, run_rank
from corpusmill.pipelines.engine.ray_nodes import alive, labels_of, rank_resources
from corpusmill.pipelines.engine.task import Call, call_from_values, call_to_values

ENVIRONMENT = {"GOMP_SPINCOUNT": "0"}  # before torch is imported: see `pipelines/stages/train/work/training.py`


def start_by_ray_train(call: Call, function: str, count: int, *, spared: str = "") -> dict[str, Any]:
    """Runs `function` on so many workers of Ray Train, none of them on the node `spared`; returns what it returned on
    rank 0.

    The task's argument `device` (auto, cpu, cuda) says where they compute, and `threads` how many CPUs each wants.
    Raises TaskFailed with the first cause, RankLost, or UserError where the cluster is too small.
    """
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    import ray

    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchConfig, TorchTrainer
    except ImportError as error:
        raise require_extra(error.name or "ray.train", "ray") from error
    nodes = [node["Resources"] for node in alive(ray.nodes()) if node["NodeID"] != spared]
    device = choose_device(nodes, count, call.arguments.device)
    cpus = cpus_per_rank(nodes, count, call.arguments.threads) if device == "cpu" else 1
    reports = new_reports(call)
    call = replace(call, arguments=replace(call.arguments, device=device))
    order = {"call": call_to_values(call), "function": function, "reports": reports}
    on_gpu = device == "cuda"
    labels = labels_of(call.reserved, spared)
    scaling = ScalingConfig(
        num_workers=count,
        use_gpu=on_gpu,
        resources_per_worker=rank_resources(call.reserved, cpus=cpus, on_gpu=on_gpu),
        **({"label_selector": labels} if labels else {}),  # Ray 2.50 has no such argument
    )
    trainer = TorchTrainer(
        _rank,
        train_loop_config=order,
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if on_gpu else "gloo"),
        scaling_config=scaling,
        run_config=RunConfig(
            name="ray-train",
            storage_path=storage.absolute(reports),
            failure_config=FailureConfig(max_failures=0),
            worker_runtime_env={"env_vars": ENVIRONMENT},
        ),
    )
    deaths = {}
    try:
        trainer.fit()
    except TrainingFailedError as error:
        failures: Mapping[int, Exception] = getattr(error, "worker_failures", None) or {0: error}
        deaths = {rank: " ".join(str(failure).split())[:300] for rank, failure in failures.items()}
    return outcome(reports, deaths)


def _rank(order: Mapping[str, Any]) -> None:
    """The life of a rank."""
    from corpusmill.pipelines import kernels

    kernels.configure()
    call = call_from_values(order["call"])
    with ends_with_lease(call.folder, call.lease):
        run_rank(call, order["function"], order["reports"], int(os.environ["RANK"]))


def choose_device(nodes: Sequence[Mapping[str, float]], count: int, wanted: str) -> str:
    """`cuda` or `cpu`: GPUs where they are enough. Raises UserError where there are some, but too few."""
    known = int(sum(node.get("GPU", 0) for node in nodes))
    if wanted == "cpu" or (wanted == "auto" and known == 0):
        return "cpu"
    if known < count:
        raise UserError(
            f"{count} ranks need a GPU each, and the cluster has {known}",
            where="ranks",
            hint="use fewer ranks, or device 'cpu'",
        )
    return "cuda"


def cpus_per_rank(nodes: Sequence[Mapping[str, float]], count: int, threads: int) -> int:
    """How many CPUs each rank reserves: as many as it has threads, or fewer so that all ranks fit on the nodes.

    Raises UserError where there is not one CPU for each: Ray would wait forever.
    """
    for cpus in range(max(threads, 1), 0, -1):
        if sum(int(node.get("CPU", 0)) // cpus for node in nodes) >= count:
            return cpus
    known = int(sum(node.get("CPU", 0) for node in nodes))
    raise UserError(
        f"{count} ranks need a CPU each, and Ray has {known}",
        where="ranks",
        hint="use fewer ranks, or more workers",
    )
