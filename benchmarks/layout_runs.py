"""Whole runs in each layout: killed and resumed, checkpoints from layout to layout, bytes on the wire, memory.

    python benchmarks/layout_runs.py resume        20 steps, and 20 with a SIGKILL at 13: the same files, bit for bit
    python benchmarks/layout_runs.py checkpoints   one checkpoint through all layouts: the same numbers at its end
    python benchmarks/layout_runs.py bytes         copies and bytes of tokens by hop between pretended nodes
    python benchmarks/layout_runs.py memory        peak memory of a rank for a model that is cut four ways

Layouts, shapes and shards are those of `layouts.py`; `--only` chooses layouts. Ends with 1 where a bar is missed.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from layouts import LAYOUTS, SHAPE, SMALL, run_on, settings_for, write_shards

LARGE = {
    **SHAPE,
    "dim": 256,
    "n_routed_experts": 64,
    "moe_inter_dim": 640,
    "inter_dim": 1024,
    "init_std": 0.02,
}
"""For memory: 250 million parameters, nearly all of them experts."""


def train(settings: dict[str, Any], killed_at: int = 0) -> None:
    """One rank of a run; rank 0 dies by SIGKILL once it has done so many steps."""
    from corpusmill.training.parallel.ranks import join_ranks
    from corpusmill.training.settings import TrainSettings
    from corpusmill.training.trainer import train as run

    def on_step(line: dict[str, Any]) -> None:
        if line["step"] == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    chosen = TrainSettings(**settings)
    with join_ranks("cpu") as ranks:
        run(chosen, Path(chosen.output) / "_state", on_step, ranks=ranks)


def files_of(folder: Path) -> dict[str, bytes]:
    """All files of a run but its times."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "_state" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def measure_resume(folder: Path, names: list[str]) -> bool:
    """A run beside one that was killed: all files compared."""
    shards, good = str(write_shards(folder / "shards")), True
    for name in names:
        layout = LAYOUTS[name]
        # The size of chunks is measured, and changes no number, but the two runs should do the same.
        options = {**SMALL, "average_decay": 0.9, **({"expert_chunk": 4096} if "expert_ranks" in layout else {})}
        straight, killed = (
            asdict(settings_for(shards, str(folder / f"{name} {kind}"), layout, **options))
            for kind in ("straight", "killed")
        )
        run_on(layout["ranks"], "train", straight)
        try:
            run_on(layout["ranks"], "train", killed, 13)
        except RuntimeError:
            pass
        else:
            raise RuntimeError("the run was not killed")
        at = (Path(killed["output"]) / "checkpoints/latest").read_text()
        run_on(layout["ranks"], "train", killed)
        one, other = (files_of(Path(settings["output"])) for settings in (straight, killed))
        good &= one == other
        print(f"{name:18} killed after {at}: {len(one)} files {'equal' if one == other else 'DIFFER'}", flush=True)
    return good


def pass_on(settings: dict[str, Any], target: str) -> None:
    """One rank: resumes from a checkpoint and saves what it has at once, elsewhere."""
    from corpusmill.training.checkpoint.checkpoints import Checkpoints, read_state
    from corpusmill.training.parallel.ranks import join_ranks
    from corpusmill.training.run import Run, reproducible
    from corpusmill.training.settings import TrainSettings

    with join_ranks("cpu") as ranks, reproducible(1):
        run = Run(TrainSettings(**settings), ranks)
        newest = run.checkpoints.latest()
        assert newest is not None
        saved = Checkpoints(Path(target), 1, ranks=run.ranks)
        saved.save(run._tensors(), read_state(newest))
        saved.wait()


def measure_checkpoints(folder: Path, names: list[str]) -> bool:
    """A checkpoint of one process goes from layout to layout; after each all numbers are compared."""
    import torch

    from corpusmill.training.checkpoint.checkpoints import read_tensors

    shards, good = str(write_shards(folder / "shards")), True
    options = {**SMALL, "steps": 2, "average_decay": 0.9}
    run_on(1, "train", asdict(settings_for(shards, str(folder / "one"), {"ranks": 1}, **options)))
    start = folder / "one/checkpoints"
    wanted, source = read_tensors(start / (start / "latest").read_text(), ""), start
    for number, name in enumerate([*names, "one"]):
        layout = LAYOUTS.get(name, {"ranks": 1})
        output = folder / str(number)
        output.mkdir()
        source.rename(output / "checkpoints") if number else (output / "checkpoints").symlink_to(source)
        source = folder / f"after {number}"
        settings = asdict(settings_for(shards, str(output), layout, **options))
        run_on(layout["ranks"], "pass_on", settings, str(source))
        actual = read_tensors(source / (source / "latest").read_text(), "")
        same = all(torch.equal(actual[key], wanted[key]) for key in wanted if not key.startswith("random."))
        good &= same
        print(f"to {name:18} {len(wanted)} tensors {'equal' if same else 'DIFFER'}", flush=True)
    return good


def traffic(settings: dict[str, Any]) -> dict[str, Any]:
    """On one rank: what it sent to experts in the passes of one step."""
    from corpusmill.training.parallel.ranks import join_ranks
    from corpusmill.training.run import Run, reproducible
    from corpusmill.training.settings import TrainSettings

    with join_ranks("cpu") as ranks, reproducible(1):
        run = Run(TrainSettings(**settings), ranks)
        run.step()
        config = run.config
        sequences = -(-22 // ranks.world_size)
        return {
            "sent": run.placement.record()["sent"],
            "tokens": sequences * (run.length * config.n_moe_layers + run.length - 1),
            "width": config.dim,
        }


def measure_bytes(folder: Path, names: list[str]) -> bool:
    """What rank 0 sends in one step, in FP32 and with FP8 on the wire, over nodes of one and of two ranks."""
    shards, good = str(write_shards(folder / "shards")), True
    chosen, limit = SHAPE["n_activated_experts"], 2
    for nodes, precision in ((1, "float32"), (2, "float32"), (4, "float32"), (2, "fp8")):
        layout = {"ranks": 4, "expert_ranks": 4, "expert_nodes": nodes, "expert_chunk": 4096}
        settings = settings_for(shards, str(folder / f"{nodes}{precision}"), layout, precision=precision)
        sent = run_on(4, "traffic", asdict(settings))[0]
        for axis, counted in sent["sent"].items():
            tokens, bytes_of = sent["tokens"], counted["bytes"]
            bound = limit if axis == "node" else chosen
            kept = counted["most_copies"] <= bound
            good &= kept
            print(
                f"{nodes} nodes, {precision:7} hop {axis:5}: {counted['copies'] / tokens:.2f} copies a token, at "
                f"most {counted['most_copies']} (bound {bound}; experts chosen {chosen}); bytes a token of width "
                f"{sent['width']}: {bytes_of['tokens'] / tokens:.0f} there, {bytes_of['results'] / tokens:.0f} back, "
                f"{(bytes_of['gates'] + bytes_of['choices']) / tokens:.0f} of gates and choices"
                f"{'' if kept else '  MISSED'}",
                flush=True,
            )
    return good


def peak(settings: dict[str, Any]) -> dict[str, Any]:
    """On one rank: its highest memory in a run with a checkpoint and results, and what was there before."""
    import resource

    from corpusmill.training.parallel.ranks import join_ranks
    from corpusmill.training.settings import TrainSettings
    from corpusmill.training.trainer import train as run

    chosen = TrainSettings(**settings)
    with join_ranks("cpu") as ranks:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        run(chosen, Path(chosen.output) / "_state", ranks=ranks)
        return {"before": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measure_memory(folder: Path, names: list[str]) -> bool:
    """A model of 250 million parameters on one process, and cut four ways."""
    shards, good, whole = str(write_shards(folder / "shards")), True, 0.0
    cuts = {
        "one": {"ranks": 1},
        "ep4": {"ranks": 4, "expert_ranks": 4, "expert_chunk": 4096},
        "ep2 pp2": {"ranks": 4, "expert_ranks": 2, "pipeline_ranks": 2, "expert_chunk": 4096},
    }
    for name, layout in cuts.items():
        options = {"model": LARGE, "steps": 1, "batch_sequences": 8, "micro_batch": 1, "evaluation_sequences": 4}
        ranks = run_on(layout["ranks"], "peak", asdict(settings_for(shards, str(folder / name), layout, **options)))
        highest = max(rank["peak"] for rank in ranks)
        whole = whole or highest
        kept = name == "one" or highest < whole / 3
        good &= kept
        print(
            f"{name:8} {highest:,.0f} MiB at most on a rank, {ranks[0]['before']:,.0f} of it Python and torch: "
            f"{highest / whole:.2f} of one process{'' if kept else '  MISSED'}",
            flush=True,
        )
    return good


MEASURES: dict[str, Callable[[Path, list[str]], bool]] = {
    "resume": measure_resume,
    "checkpoints": measure_checkpoints,
    "bytes": measure_bytes,
    "memory": measure_memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=MEASURES)
    parser.add_argument("--only", nargs="*", help="names of layouts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(not MEASURES[arguments.measure](Path(folder), arguments.only or list(LAYOUTS)))


if __name__ == "__main__":
    main()
