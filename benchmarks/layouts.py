"""Layouts of ranks against one process: gradients, losses, bytes, memory, time, on tiny models in FP32 over gloo.

    python benchmarks/layouts.py gradients        every parameter's gradient in each layout, 2 and 4 processes
    python benchmarks/layouts.py losses           20 steps in each layout
    python benchmarks/layouts.py --list           names of the layouts; `--only NAME` for one

Each prints a line a layout and ends with 1 where a bar is missed. Shards are made here, of patterned sequences, in a
temporary folder. `layout_runs.py` has kills, checkpoints, bytes and memory.
"""

import argparse
import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

BAR = 1e-6
SHAPE = {"n_layers": 8, "n_dense_layers": 1, "n_routed_experts": 16, "n_activated_experts": 4, "init_std": 0.05}
"""The preset `tiny`, with layers for eight stages and experts for four ranks; MTP, groups and a shared expert stay."""
SMALL = {"batch_sequences": 10}
"""Of whole runs: two micro-batches more than the eight stages of four ranks."""
LAYOUTS: dict[str, dict[str, Any]] = {
    "dp2": {"ranks": 2},
    "ep2": {"ranks": 2, "expert_ranks": 2},
    "ep2 on 2 nodes": {"ranks": 2, "expert_ranks": 2, "expert_nodes": 2},
    "ep2 in chunks": {"ranks": 2, "expert_ranks": 2, "expert_chunk": 7},
    "ep4": {"ranks": 4, "expert_ranks": 4},
    "ep4 on 2 nodes": {"ranks": 4, "expert_ranks": 4, "expert_nodes": 2},
    "dp2 ep2": {"ranks": 4, "expert_ranks": 2},
}
for _schedule in ("dualpipev", "zbv", "1f1b"):
    LAYOUTS[f"pp2 {_schedule}"] = {"ranks": 2, "pipeline_ranks": 2, "pipeline_schedule": _schedule}
    LAYOUTS[f"pp4 {_schedule}"] = {"ranks": 4, "pipeline_ranks": 4, "pipeline_schedule": _schedule}
LAYOUTS["ep2 pp2"] = {"ranks": 4, "expert_ranks": 2, "pipeline_ranks": 2}
LAYOUTS["dp2 pp2"] = {"ranks": 4, "pipeline_ranks": 2}


def write_shards(folder: Path, sequences: int = 96, length: int = 32) -> Path:
    """Shards of sequences in which each next token mostly follows from the last, with padding at their ends."""
    from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, shard_schema

    header = ShardHeader("bench", length, SpecialIds(eos=1, pad=2, bos=0), 256, 256, seed=0, group="", storage="plain")
    schema, rng = shard_schema(header), np.random.default_rng(0)
    table = rng.permutation(np.arange(8, 256))
    tokens, segments = [], []
    for row in range(sequences):
        used = int(rng.integers(length // 2, length + 1))
        ids = [int(rng.integers(8, 256))]
        while len(ids) < used:
            ids.append(int(table[ids[-1] - 8]) if rng.random() < 0.9 else int(rng.integers(8, 256)))
        cut = int(rng.integers(1, used))
        tokens.append(ids + [2] * (length - used))
        parts = [(0, cut), (cut, used)]
        segments.append(
            [
                {"document": f"{row}/{place}", "source": "bench", "start": 0, "length": end - begin, "fim": False}
                for place, (begin, end) in enumerate(parts)
            ]
        )
    for part, folder_part in ((slice(0, -8), folder), (slice(-8, None), folder / "_validation")):
        folder_part.mkdir(parents=True, exist_ok=True)
        columns = [pa.array(tokens[part], schema.field(0).type), pa.array(segments[part], schema.field(1).type)]
        with pa.OSFile(str(folder_part / "shard-00000.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return folder


def settings_for(shards: str, output: str, layout: dict[str, Any], **chosen: Any) -> Any:
    """Settings of a run: batches that don't divide evenly, several micro-batches, MTP, a balance loss that counts."""
    from corpusmill.training.settings import TrainSettings

    spread = {name: value for name, value in layout.items() if name != "ranks"}
    usual = {
        "preset": "tiny",
        "model": SHAPE,
        "steps": 20,
        "batch_sequences": 22,
        "micro_batch": 2 if layout["ranks"] <= 2 and layout.get("pipeline_ranks", 1) == 1 else 1,
        "balance_alpha": 1e-2,
        "bias_speed": 0.01,
        "warmup_steps": 4,
        "learning_rate": 2e-3,
        "checkpoint_every": 10,
        "evaluate_every": 10,
        "threads": 1,
        "document_mask": True,
    }
    return TrainSettings(shards=shards, output=output, **{**usual, **spread, **chosen})


def gradients(settings: dict[str, Any]) -> dict[str, Any]:
    """On one rank: the largest relative difference of a parameter's gradient from that of one process."""
    import torch

    from corpusmill.training.checkpoint.pieces import Piece
    from corpusmill.training.parallel.ranks import ALONE, join_ranks
    from corpusmill.training.run import Run, reproducible
    from corpusmill.training.settings import TrainSettings

    chosen = TrainSettings(**settings)
    plain = replace(
        settings,
        expert_ranks=1,
        expert_nodes=1,
        pipeline_ranks=1,
        micro_batch=8,
        output=f"{chosen.output}/{os.getpid()}",
    )
    with join_ranks("cpu") as ranks, reproducible(1):
        run, single = Run(settings, ranks), Run(plain, ALONE)
        sums = {}
        for name, one in (("spread", run), ("single", single)):
            now = _now(one)
            sums[name] = one._accumulate(one.loader.take(now.batch_sequences), now)
            one.weights.reduce_gradients()
        wanted = {name: parameter.grad for name, parameter in single.model.named_parameters()}
        names = list(wanted)
        squares = torch.zeros(2, len(names), dtype=torch.float64)
        for name, master in run.weights.masters().items():
            placed = run.weights.placed(name, master)
            whole = wanted[name]
            part = whole[placed.start : placed.start + len(master)] if isinstance(placed, Piece) else whole
            assert part is not None
            squares[0, names.index(name)] = (master.grad - part).double().square().sum()
            squares[1, names.index(name)] = part.double().square().sum()
        run.ranks.sum_(squares)
        apart = (squares[0] / squares[1].clamp(min=1e-30)).sqrt()
        norms = [float(torch.linalg.vector_norm(one.weights.gradient_norms())) for one in (run, single)]
        return {
            "worst": float(apart.max()),
            "parameter": names[int(apart.argmax())],
            "parameters": int((squares[1] > 0).sum()),
            "losses": max(abs(sums["spread"][name] - value) for name, value in sums["single"].items()),
            "norm": abs(norms[0] / norms[1] - 1),
            "loads": _loads(run) == _loads(single),
        }


def _now(run: Any) -> Any:
    from corpusmill.training.schedule import schedule

    return schedule(run.schedule, run.positions, run.steps_done)


def _loads(run: Any) -> list[list[int]]:
    return run.take_loads().tolist()


def losses(settings: dict[str, Any]) -> list[list[float]]:
    """On one rank: the losses of each step of a whole run."""
    from corpusmill.training.parallel.ranks import join_ranks
    from corpusmill.training.settings import TrainSettings
    from corpusmill.training.trainer import train
    from corpusmill.training.watching.metrics import read_metrics

    chosen = TrainSettings(**settings)
    with join_ranks("cpu") as ranks:
        train(chosen, Path(chosen.output) / "_state", ranks=ranks)
        if not ranks.leads:
            return []
    lines = read_metrics(Path(chosen.output) / "metrics.jsonl")
    return [[line["loss"], line["mtp_loss"], line["balance_loss"], line["gradient_norm"]] for line in lines]


def run_on(ranks: int, function: str, *arguments: Any, timeout: float = 600.0) -> list[Any]:
    """What a function of this file returned on each of so many processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    here = Path(__file__).resolve()
    common = {
        **os.environ,
        "WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{here.parents[1] / 'src'}:{here.parent}",
    }
    module = Path(sys.argv[0]).stem
    module = module if module in ("layouts", "layout_runs") else "layouts"
    call = [sys.executable, "-c", f"import layouts; layouts.as_rank({module!r}, {function!r})", json.dumps(arguments)]
    processes = [
        subprocess.Popen(
            call, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE, text=True
        )
        for rank in range(ranks)
    ]
    deadline = time.monotonic() + timeout
    try:
        while any(process.poll() is None for process in processes):
            if time.monotonic() > deadline or any(process.returncode for process in processes):
                break
            time.sleep(0.05)
        out = [process.communicate(timeout=5)[0] if process.returncode == 0 else "" for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{function} failed: {[process.returncode for process in processes]}")
    return [json.loads(text.splitlines()[-1]) for text in out]


def as_rank(module: str, function: str) -> None:
    """The life of a rank."""
    result = getattr(importlib.import_module(module), function)(*json.loads(sys.argv[1]))
    print(json.dumps(result))


def measure_gradients(folder: Path, names: list[str]) -> bool:
    """The worst gradient of each layout."""
    shards, good = str(write_shards(folder / "shards")), True
    for name in names:
        settings = settings_for(shards, str(folder / name), LAYOUTS[name])
        result = run_on(LAYOUTS[name]["ranks"], "gradients", asdict(settings))[0]
        kept = result["worst"] < BAR and result["losses"] < BAR and result["loads"]
        good &= kept
        print(
            f"{name:18} worst gradient {result['worst']:.1e} "
            f"({result['parameter']}; {result['parameters']} parameters), "
            f"losses {result['losses']:.1e}, norm {result['norm']:.1e}, "
            f"loads {'equal' if result['loads'] else 'DIFFER'}"
            f"{'' if kept else '  MISSED'}",
            flush=True,
        )
    return good


def measure_losses(folder: Path, names: list[str]) -> bool:
    """How far the losses of 20 steps in each layout are from those of one process."""
    shards, good = str(write_shards(folder / "shards")), True
    wanted = run_on(1, "losses", asdict(settings_for(shards, str(folder / "one"), {"ranks": 1}, **SMALL)))[0]
    for name in names:
        settings = settings_for(shards, str(folder / name), LAYOUTS[name], **SMALL)
        result = run_on(LAYOUTS[name]["ranks"], "losses", asdict(settings))[0]
        apart = [max(abs(a[part] - b[part]) for a, b in zip(result, wanted, strict=True)) for part in range(4)]
        kept = max(apart[:3]) < BAR
        good &= kept
        parts = zip(("loss", "MTP", "balance", "norm"), apart, strict=True)
        listed = ", ".join(f"{part} {value:.1e}" for part, value in parts)
        print(f"{name:18} {listed}{'' if kept else '  MISSED'}", flush=True)
    return good


MEASURES = {"gradients": measure_gradients, "losses": measure_losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", nargs="?", choices=MEASURES, default="gradients")
    parser.add_argument("--only", nargs="*", help="names of layouts")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(LAYOUTS))
        return
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(not MEASURES[options.measure](Path(folder), options.only or list(LAYOUTS)))


if __name__ == "__main__":
    main()
