"""Everything of the trainer that only a GPU can show, in one command: right first, then how fast.

    python benchmarks/hopper.py --output /tmp/hopper            on an H100 or H200, under 10 minutes
    python benchmarks/hopper.py --output /tmp/hopper --cpu      every line at tiny shapes, by the reference back end

From a bare machine with PyTorch: `pip install -e '.[train,triton]'` first. Prints tables and writes `hopper.json`. A
part that fails is named with its error and the others go on; the exit status is 1 then.

    bytes       tiles of each back end against the CPU's, to the bit; products in DeepGEMM's metric, bar 1e-3
    products    the shapes of DeepSeek's report: TFLOPS, share of the FP8 peak, beside torch's BF16 in the same run
    quantise    bytes moved a second, beside a copy of as many
    trainer     lines that had never run on CUDA: grouped matmuls and their alignment, host synchronisations, pinned
                copies, NCCL on one rank, fused BF16 moments
    steps       h200-small and v3-slice in BF16 and FP8: tokens/s, MFU, memory, time by part

Targets: the best back end 1.5 times BF16 on the four large shapes; quantising at 70 % of a copy's bandwidth; an FP8
step 1.25 times a BF16 step on v3-slice.
"""

import argparse
import gc
import json
import os
import statistics
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.training.fp8.backend import Backend, backend_for
from corpusmill.training.fp8.operands import Recipe
from corpusmill.training.fp8.policy import Fp8Matrices
from corpusmill.training.fp8.quantize import Tiles, quantize_blocks, quantize_columns, quantize_rows
from corpusmill.training.fp8.reference import Reference
from corpusmill.training.model.config import ModelConfig, preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.matmul import grouped
from corpusmill.training.model.matrices import PLAIN
from corpusmill.training.model.moe import take_loads, update_biases
from corpusmill.training.model.transformer import build_model, initialise
from corpusmill.training.optimizer import make_optimizer, set_learning_rate
from corpusmill.training.parallel.ranks import Ranks
from corpusmill.training.parallel.zero1 import Zero1
from corpusmill.training.watching.throughput import Throughput, device_peak

DENSE = [(2112, 7168), (24576, 1536), (32768, 512), (7168, 16384), (4096, 7168), (7168, 2048)]
"""N x K at M = 4,096: V3's matrices; the four with K of 2,048 and more are the large ones."""
GROUPED = [(4, 8192, 4096, 7168), (4, 8192, 7168, 2048), (8, 4096, 4096, 7168), (8, 4096, 7168, 2048)]
"""Experts, tokens of each, N, K."""
ROWS = 4096
SAME = 1e-3
FP8_OVER_BF16 = 2.0
"""Peak of dense FP8 over that of BF16, on Hopper."""


def distance(x: Tensor, y: Tensor) -> float:
    """DeepGEMM's metric: 1 - 2 <x, y> / (|x|^2 + |y|^2)."""
    x, y = x.double(), y.double()
    return float(1 - 2 * (x * y).sum() / (x.square().sum() + y.square().sum()))


class Machine:
    """A device, its clock, and the shapes that suit it."""

    def __init__(self, cpu: bool) -> None:
        self.cpu = cpu
        self.device = torch.device("cpu" if cpu else "cuda")
        self.repeats = 1 if cpu else 20
        names = ("reference", "emulated") if cpu else ("triton", "cublas", "deepgemm")
        self.backends: list[Backend] = []
        self.refused: dict[str, str] = {}
        for name in names:
            try:
                self.backends.append(backend_for(name, self.device))
            except UserError as error:
                self.refused[name] = str(error)

    def shape(self, size: int) -> int:
        """A size of the report, or on a CPU one that keeps its rest by 128."""
        return size if not self.cpu else 128 + size % 128

    def seconds(self, work: Callable[[], Any]) -> float:
        """Median time of some work, after one run that is not counted."""
        work()
        taken = []
        for _ in range(self.repeats):
            self.wait()
            started = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    def wait(self) -> None:
        if not self.cpu:
            torch.cuda.synchronize()

    def normal(self, *shape: int, seed: int = 0) -> Tensor:
        """BF16 values, drawn on the CPU, so that they are the same everywhere."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=generator).bfloat16().to(self.device)


def same_bits(ours: Tiles, reference: Tiles) -> bool:
    codes = torch.equal(ours.codes.cpu().view(torch.uint8), reference.codes.cpu().view(torch.uint8))
    return codes and torch.equal(ours.scales.cpu(), reference.scales.cpu())


def check_bytes(machine: Machine) -> list[dict[str, Any]]:
    """Tiles to the bit and products by the metric, of awkward sizes, against the CPU's reference."""
    rows, reference = [], Reference()
    x, dy = machine.normal(300, 576), machine.normal(300, 272, seed=1)
    w = machine.normal(272, 576, seed=2)
    experts = torch.tensor([128, 128, 384], dtype=torch.int32, device=machine.device)
    sent, back, stack = machine.normal(384, 256), machine.normal(384, 128, seed=1), machine.normal(3, 128, 256, seed=2)
    for backend in machine.backends:
        row: dict[str, Any] = {"backend": backend.name}
        for power_of_two in (False, True):
            ours = backend.rows_and_columns(x, power_of_two)
            theirs = quantize_rows(x.cpu(), power_of_two), quantize_columns(x.cpu(), power_of_two)
            row[f"bits {'pow2' if power_of_two else 'fp32'}"] = all(map(same_bits, ours, theirs))
        row["swiglu"] = distance(*(_values(tiles) for tiles in _swiglu_pair(backend, x, machine)))
        a, b = quantize_rows(x), quantize_blocks(w)
        row["forward"] = _compare(backend.product(a, b), reference.product(_cpu(a), quantize_blocks(w.cpu())))
        slopes = quantize_rows(dy)
        expected = reference.product(_cpu(slopes), quantize_blocks(w.cpu()).transposed())
        row["dgrad"] = _compare(backend.product(slopes, b.transposed()), expected)
        along = quantize_columns(dy), quantize_columns(x)
        row["wgrad"] = _compare(backend.weight_gradient(*along), reference.weight_gradient(*map(_cpu, along)))
        a, b = quantize_rows(sent), quantize_blocks(stack)
        expected = reference.product(_cpu(a), quantize_blocks(stack.cpu()), experts.cpu())
        row["grouped"] = _compare(backend.product(a, b, experts), expected)
        along = quantize_columns(back), quantize_columns(sent)
        expected = reference.weight_gradient(*map(_cpu, along), experts.cpu())
        row["grouped wgrad"] = _compare(backend.weight_gradient(*along, experts), expected)
        numbers = [value for key, value in row.items() if isinstance(value, float) and key != "backend"]
        row["right"] = row["bits fp32"] and row["bits pow2"] and max(numbers) < SAME
        rows.append(row)
    return rows


def _swiglu_pair(backend: Backend, x: Tensor, machine: Machine) -> tuple[Tiles, Tiles]:
    up = machine.normal(*x.shape, seed=3)
    return backend.swiglu_rows(x, up, False), Reference().swiglu_rows(x.cpu(), up.cpu(), False)


def _values(tiles: Tiles) -> Tensor:
    from corpusmill.training.fp8.quantize import dequantize

    return dequantize(_cpu(tiles))


def _cpu(tiles: Tiles) -> Tiles:
    return Tiles(tiles.codes.cpu(), tiles.scales.cpu())


def _compare(ours: Tensor, reference: Tensor) -> float:
    return distance(ours.cpu(), reference)


def time_products(machine: Machine) -> list[dict[str, Any]]:
    """All shapes, by every back end and by torch in BF16."""
    rows = []
    peak = device_peak(machine.device)
    m = machine.shape(ROWS)
    for n, k in ((machine.shape(n), machine.shape(k)) for n, k in DENSE):
        x, w = machine.normal(m, k), machine.normal(n, k, seed=1)
        a, b = quantize_rows(x), quantize_blocks(w)
        work = 2 * m * n * k
        row: dict[str, Any] = {"shape": f"{m} x {n} x {k}"}
        row["bf16"] = work / machine.seconds(partial(torch.matmul, x, w.t()))
        for backend in machine.backends:
            row[backend.name] = work / machine.seconds(partial(backend.product, a, b))
        rows.append(_rated(row, peak))
    for experts, tokens, n, k in GROUPED:
        tokens, n, k = 128 if machine.cpu else tokens, machine.shape(n), machine.shape(k)
        total = experts * tokens
        ends = torch.arange(1, experts + 1, dtype=torch.int32, device=machine.device) * tokens
        x, w = machine.normal(total, k), machine.normal(experts, n, k, seed=1)
        dy = machine.normal(total, n, seed=2)
        a, b, along = quantize_rows(x), quantize_blocks(w), (quantize_columns(dy), quantize_columns(x))
        work = 2 * total * n * k
        row = {
            "shape": f"{experts} of {tokens} x {n} x {k}",
            "bf16": work / machine.seconds(partial(grouped, x, w, ends)),
        }
        back: dict[str, Any] = {"shape": f"{row['shape']} wgrad"}
        back["bf16"] = work / machine.seconds(partial(torch.nn.functional.grouped_mm, dy.t(), x, offs=ends))
        for backend in machine.backends:
            row[backend.name] = work / machine.seconds(partial(backend.product, a, b, ends))
            gradient = partial(backend.weight_gradient, *along, ends)
            back[backend.name] = work / machine.seconds(gradient)
        rows += [_rated(row, peak), _rated(back, peak)]
    return rows


def _rated(row: dict[str, Any], peak: float | None) -> dict[str, Any]:
    """Operations a second as TFLOPS; the best of FP8 over BF16, and its share of the FP8 peak."""
    speeds = {name: speed / 1e12 for name, speed in row.items() if name != "shape"}
    best = max((speed for name, speed in speeds.items() if name != "bf16"), default=0.0)
    rated: dict[str, Any] = {"shape": row["shape"], **speeds, "fp8 over bf16": best / speeds["bf16"]}
    return rated | {"share of peak": best / (FP8_OVER_BF16 * peak) if peak else None}


def time_quantising(machine: Machine) -> list[dict[str, Any]]:
    """Gigabytes read and written a second, beside torch's copy of the same BF16 tensor."""
    height, width = (machine.shape(size) for size in (16_384, 7168))
    x, up = machine.normal(height, width), machine.normal(height, width, seed=1)
    copied = torch.empty_like(x)
    values = x.numel()
    copy = 4 * values / machine.seconds(lambda: copied.copy_(x))
    rows = [{"what": "copy", "GB/s": copy / 1e9, "of a copy": 1.0}]
    for backend in machine.backends[:1]:
        works: list[tuple[str, float, Callable[[], Any]]] = [
            ("rows", 3 + 1 / 32, partial(backend.rows, x, False)),
            ("columns", 3 + 1 / 32, partial(backend.columns, x, False)),
            ("both", 4 + 1 / 16, partial(backend.rows_and_columns, x, False)),
            ("swiglu", 5 + 1 / 32, partial(backend.swiglu_rows, x, up, False)),
        ]
        for what, bytes_a_value, work in works:
            speed = bytes_a_value * values / machine.seconds(work)
            rows.append({"what": f"{backend.name} {what}", "GB/s": speed / 1e9, "of a copy": speed / copy})
    return rows


def try_trainer(machine: Machine) -> list[dict[str, Any]]:
    """Lines of the trainer that behave differently on CUDA, each on its own."""
    return [
        {"what": what, **work(machine)}
        for what, work in (
            ("grouped matmul, uneven and empty experts", _grouped_alignment),
            ("grouped matmul waits for the host", _host_synchronisation),
            ("pinned copies beside computation", _pinned_copies),
            ("NCCL on one rank", _one_rank),
            ("BF16 moments in the fused kernel", _fused_moments),
        )
    ]


def _grouped_alignment(machine: Machine) -> dict[str, Any]:
    ends = torch.tensor([3, 3, 130, 131], dtype=torch.int32, device=machine.device)
    x, w = machine.normal(131, 64).requires_grad_(), machine.normal(4, 48, 64, seed=1).requires_grad_()
    out = grouped(x, w, ends)
    out.sum().backward()
    expected, begin = [], 0
    for expert, end in enumerate(ends.tolist()):
        expected.append(x[begin:end] @ w[expert].t())
        begin = end
    off = distance(out.detach(), torch.cat(expected).detach())
    return {"result": f"distance {off:.1e}", "right": off < SAME and bool(torch.isfinite(w.grad).all())}


def _host_synchronisation(machine: Machine) -> dict[str, Any]:
    ends = torch.tensor([64, 128], dtype=torch.int32, device=machine.device)
    x, w = machine.normal(128, 64), machine.normal(2, 64, 64, seed=1)
    if machine.cpu:
        grouped(x, w, ends)
        return {"result": "not asked on a CPU", "right": True}
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        grouped(x, w, ends)
        return {"result": "never", "right": True}
    except RuntimeError as error:
        return {"result": str(error).splitlines()[0], "right": False}
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _pinned_copies(machine: Machine) -> dict[str, Any]:
    values = torch.randn(1 << 12 if machine.cpu else 1 << 26)
    pinned = values if machine.cpu else values.pin_memory()
    on_device = torch.empty_like(values, device=machine.device)
    there = machine.seconds(lambda: on_device.copy_(pinned, non_blocking=True))
    speed = values.nbytes / there / 1e9
    return {"result": f"{speed:.1f} GB/s", "right": torch.equal(on_device.cpu(), values)}


def _one_rank(machine: Machine) -> dict[str, Any]:
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29533")
    kind = "gloo" if machine.cpu else "nccl"
    dist.init_process_group(kind, rank=0, world_size=1)
    try:
        x = machine.normal(1024).float()
        summed, gathered = torch.empty_like(x), torch.empty_like(x)
        dist.reduce_scatter_single(summed, x.clone())
        dist.all_gather_single(gathered, summed)
        dist.all_reduce(gathered)
        return {"result": kind, "right": torch.equal(gathered, x)}
    finally:
        dist.destroy_process_group()


def _fused_moments(machine: Machine) -> dict[str, Any]:
    ends = []
    for moments in (torch.float32, torch.bfloat16):
        weight = machine.normal(256, 256).float().requires_grad_()
        optimizer = make_optimizer([weight], 0.1, moments)
        set_learning_rate(optimizer, 1e-2)
        for seed in range(3):
            weight.grad = machine.normal(256, 256, seed=seed + 1).float()
            optimizer.step()
        ends.append(weight.detach())
    off = distance(*ends)
    return {"result": f"{type(optimizer).__name__}, distance {off:.1e}", "right": off < SAME}


def time_steps(machine: Machine, seconds: float) -> list[dict[str, Any]]:
    """A training step of each model in each precision."""
    models = [("tiny", 2, 64)] if machine.cpu else [("v3-slice", 2, 4096), ("h200-small", 4, 4096)]
    rows: list[dict[str, Any]] = []
    for name, sequences, length in models:
        of_model = {}
        for precision in ("bfloat16", "fp8"):
            row = _step(machine, name, preset(name), sequences, length, precision, seconds)
            of_model[precision] = row
            rows.append(row)
        of_model["fp8"]["over bf16"] = of_model["fp8"]["tokens/s"] / of_model["bfloat16"]["tokens/s"]
    return rows


def _step(
    machine: Machine, name: str, config: ModelConfig, sequences: int, length: int, precision: str, seconds: float
) -> dict[str, Any]:
    backend = machine.backends[-1]
    matrices = Fp8Matrices(Recipe(backend)) if precision == "fp8" else PLAIN
    model = build_model(config, machine.device, recompute=True, matrices=matrices)
    initialise(model, 0)
    weights = Zero1(model, Ranks(0, 1, machine.device), precision, "bfloat16")
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, config.vocab_size, (sequences, length), generator=generator).to(machine.device)
    valid = torch.ones_like(tokens, dtype=torch.bool)
    if not machine.cpu:
        gc.collect()  # of the model before
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    parts: dict[str, list[float]] = {"forward": [], "backward": [], "optimizer": []}

    def step() -> float:
        marks = [_now(machine)]
        result = losses(model, tokens, valid)
        total = result.total(sequences * (length - 1), sequences, 0.3, 1e-4)
        marks.append(_now(machine))
        total.backward()
        marks.append(_now(machine))
        weights.reduce_gradients()
        weights.clip_gradients(1.0)
        weights.step(1e-4)
        weights.zero_gradients()
        update_biases(model, take_loads(model), 1e-3)
        marks.append(_now(machine))
        for part, begin, end in zip(parts, marks, marks[1:], strict=False):
            parts[part].append(end - begin)
        return result.main.item()

    step()
    for times in parts.values():
        times.clear()
    begun, loss, steps = time.perf_counter(), 0.0, 0
    while steps < 2 or time.perf_counter() - begun < seconds:
        loss = step()
        steps += 1
        if machine.cpu:
            break
    medians = {part: statistics.median(times) for part, times in parts.items()}
    rates = Throughput(config, length, machine.device).of(sequences * length, sum(medians.values()))
    memory = 0.0 if machine.cpu else torch.cuda.max_memory_allocated() / 2**30
    kind = backend.name if precision == "fp8" else "torch"
    row = {
        "model": name,
        "precision": precision,
        "by": kind,
        "tokens/s": rates["tokens_per_second"],
        "mfu": rates["mfu"],
    }
    row |= {"GiB": memory, **medians, "loss": loss / (sequences * (length - 1))}
    return row


def _now(machine: Machine) -> float:
    machine.wait()
    return time.perf_counter()


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Rows under the union of their keys."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [keys, *([_cell(row.get(key)) for key in keys] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of hopper.json")
    parser.add_argument("--cpu", action="store_true", help="every line at tiny shapes, without a GPU")
    parser.add_argument("--seconds", type=float, default=20.0, help="for the steps of one model in one precision")
    arguments = parser.parse_args()
    if not arguments.cpu and not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; --cpu runs every line at tiny shapes")
    machine = Machine(arguments.cpu)
    device = "CPU" if arguments.cpu else torch.cuda.get_device_name()
    results: dict[str, Any] = {"device": device, "torch": torch.__version__, "cuda": torch.version.cuda}
    print(f"{device}, torch {torch.__version__}")
    for name, reason in machine.refused.items():
        print(f"{name} is left out: {reason}")
    results["left_out"] = machine.refused
    works: list[tuple[str, Callable[[], list[dict[str, Any]]]]] = [
        ("bytes", lambda: check_bytes(machine)),
        ("products", lambda: time_products(machine)),
        ("quantise", lambda: time_quantising(machine)),
        ("trainer", lambda: try_trainer(machine)),
        ("steps", lambda: time_steps(machine, arguments.seconds)),
    ]
    failed = False
    for name, work in works:
        try:
            results[name] = work()
            print_table(name, results[name])
            failed |= any(row.get("right") is False for row in results[name])
        except Exception:
            failed = True
            results[name] = {"error": traceback.format_exc()}
            print(f"\n{name} FAILED\n{results[name]['error']}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "hopper.json").write_text(json.dumps(results, indent=2) + "\n")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
