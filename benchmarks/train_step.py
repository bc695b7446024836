"""Measures a training step on the CPU beside transformers' DeepseekV3ForCausalLM of the same configuration.

    python benchmarks/train_step.py --steps 5

A step is forward, backward, clipping to 1.0 and AdamW (fused, the same groups and settings) on 8 sequences of 512
tokens at the size of the preset `laptop`. Contestants:

    ours            without MTP modules, which transformers does not train: the same sums on both sides. Ours adds the
                    balance loss and the routers' bias update, and runs under torch's deterministic algorithms, as the
                    trainer does
    ours+mtp        the preset as it is; it has no opponent
    transformers    with SDPA attention and the grouped matmul of its experts (its choice), labels given to the model

With `--precision bfloat16` ours computes with BF16 weights and activations beside FP32 masters, gradients and router,
and transformers runs under `torch.autocast` over FP32 weights, which is how its trainer does it. Moments are FP32.

All start from the same weights and see the same tokens, so the losses of the first step must agree; the run ends with
an error where they don't. Each contestant lives in a process of its own and takes a step when told to, in turns, so
that what else the machine does falls on all of them; the first step of each (warm-up) is not counted. Told are the
median tokens/s, and the peak resident memory of the process, with what of it was there before the first step
(imports, weights): the difference is gradients, moments, activations and logits.

Bars: 1.5 times the tokens/s of transformers (2.5 is the aim), and no more peak memory.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

BAR, AIM = 1.5, 2.5
CLIP = 1.0
LEARNING_RATE = 1e-3
SAME_LOSS = {"float32": 1e-4, "bfloat16": 2e-2}
"""Nats by which first losses may differ."""


def their_model(config: Any) -> Any:
    """transformers' model with the weights that ours starts from, by way of our export."""
    from transformers import DeepseekV3ForCausalLM

    from corpusmill.training.huggingface.folder import export_model
    from corpusmill.training.model.transformer import build_model, initialise

    ours = build_model(config)
    initialise(ours, 0)
    with tempfile.TemporaryDirectory() as folder:
        export_model(ours, config, Path(folder, "model"))
        return DeepseekV3ForCausalLM.from_pretrained(Path(folder, "model"), dtype="float32", use_cache=False)


def our_step(depth: int, tokens: Any, precision: str = "float32") -> Callable[[], float]:
    """A step of ours; returns the next-token loss before it, in nats."""
    import torch

    from corpusmill.training.model.config import preset
    from corpusmill.training.model.loss import losses
    from corpusmill.training.model.moe import take_loads, update_biases
    from corpusmill.training.model.transformer import build_model, initialise
    from corpusmill.training.parallel.ranks import ALONE
    from corpusmill.training.parallel.zero1 import Zero1

    model = build_model(preset("laptop", {"mtp_depth": depth}))
    initialise(model, 0)
    weights = Zero1(model, ALONE, precision)
    valid = torch.ones_like(tokens, dtype=torch.bool)
    targets = int(valid[:, 1:].sum())

    def step() -> float:
        result = losses(model, tokens, valid)
        result.total(targets, len(tokens), 0.3, 1e-4).backward()
        weights.reduce_gradients()
        weights.clip_gradients(CLIP)
        weights.step(LEARNING_RATE)
        weights.zero_gradients()
        update_biases(model, take_loads(model), 1e-3)
        return result.main.item() / targets

    return step


def transformers_step(tokens: Any, precision: str) -> Callable[[], float]:
    """The same of transformers' model."""
    import torch

    from corpusmill.training.model.config import preset
    from corpusmill.training.optimizer import make_optimizer, set_learning_rate

    model = their_model(preset("laptop", {"mtp_depth": 0}))
    model.train()
    chosen = f"experts: {model.config._experts_implementation}, attention: {model.config._attn_implementation}"
    print(chosen, file=sys.stderr, flush=True)
    optimizer = make_optimizer(model)
    set_learning_rate(optimizer, LEARNING_RATE)

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


CONTESTANTS = ("ours", "transformers", "ours+mtp")


def peak_bytes() -> int:
    """The most that was resident of this process so far (Linux counts KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def perform(arguments: argparse.Namespace) -> None:
    """A contestant's process: a step for each line of standard input, its figures as a line of JSON."""
    import torch

    from corpusmill.training.model.config import preset
    from corpusmill.training.trainer import reproducible

    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(1)
    shape = (arguments.sequences, arguments.length)
    tokens = torch.randint(0, preset("laptop").vocab_size, shape, generator=generator)
    name = arguments.contestant
    deterministic = name != "transformers"
    with reproducible(arguments.threads) if deterministic else nullcontext():
        if name == "transformers":
            step = transformers_step(tokens, arguments.precision)
        else:
            step = our_step(int(name == "ours+mtp"), tokens, arguments.precision)
        before = resident_bytes()
        for _ in sys.stdin:
            started = time.perf_counter()
            loss = step()
            seconds = time.perf_counter() - started
            print(json.dumps({"seconds": seconds, "loss": loss, "peak": peak_bytes(), "before": before}), flush=True)


def lines(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


def take_step(process: subprocess.Popen[str]) -> dict[str, float]:
    """Has a contestant take a step."""
    requests, answers = lines(process)
    requests.write("\n")
    requests.flush()
    answer = answers.readline()
    if not answer:
        raise SystemExit(f"a contestant ended with {process.wait()}")
    return json.loads(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="counted steps of each contestant")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--precision", choices=tuple(SAME_LOSS), default="float32")
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contestant:
        perform(arguments)
        return
    # Threads that wait by spinning take the cores from each other where a machine does other work, too.
    environment = {**os.environ, "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "0")}
    running = {
        name: subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--contestant", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in CONTESTANTS
    }
    results: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    for turn in range(arguments.steps + 1):
        for name in CONTESTANTS if turn % 2 else reversed(CONTESTANTS):
            results[name].append(take_step(running[name]))
    for process in running.values():
        lines(process)[0].close()
        process.wait()
    report(results, arguments)


def report(results: dict[str, list[dict[str, float]]], arguments: argparse.Namespace) -> None:
    """Prints the table and whether the bars are met."""
    first = {name: rows[0]["loss"] for name, rows in results.items()}
    print(f"{arguments.sequences} sequences of {arguments.length}, {arguments.threads} threads, {arguments.precision}")
    print(f"{'':<14}{'tokens/s':>10}{'s a step':>10}{'slowest':>10}{'peak MB':>10}{'before MB':>11}{'loss':>9}")
    rates, peaks = {}, {}
    for name, rows in results.items():
        seconds = [row["seconds"] for row in rows[1:]]
        rates[name] = arguments.sequences * arguments.length / statistics.median(seconds)
        peaks[name] = rows[-1]["peak"]
        print(
            f"{name:<14}{rates[name]:>10,.0f}{statistics.median(seconds):>10.3f}{max(seconds):>10.3f}"
            f"{peaks[name] / 1e6:>10,.0f}{rows[0]['before'] / 1e6:>11,.0f}{first[name]:>9.4f}"
        )
    if max(first.values()) - min(first.values()) > SAME_LOSS[arguments.precision]:
        raise SystemExit(f"the contestants do not compute the same loss: {first}")
    times = rates["ours"] / rates["transformers"]
    memory = peaks["ours"] / peaks["transformers"]
    print(f"ours is {times:.2f} times as fast (bar {BAR}, aim {AIM}) and takes {memory:.2f} times the memory (bar 1)")
    print("bars met" if times >= BAR and memory <= 1 else "BAR MISSED")


if __name__ == "__main__":
    main()
