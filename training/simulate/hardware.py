"""Kinds of GPUs: what a layout is priced on.

Peaks and memory are the makers' data sheets (dense, without sparsity). What kernels reach of them is measured, by
others: products of V3's own shapes on an H800 by DeepGEMM's first README, networks by DeepEP's. Where nothing is
published, an H800's share of its peak is carried over, and `carried_over` says so. `benchmarks/hopper.py` measures
products on a GPU at hand; `with_products` puts its figure in the table's place.
"""

from dataclasses import dataclass, replace
from math import prod
from re import findall
from typing import Any

from corpusmill.dataproc.errors import UserError

GIGA, TERA = 1e9, 1e12


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU in its usual nodes."""

    name: str
    memory_bytes: float
    """Of the device."""
    peak_bf16: float
    """Operations a second, dense: what MFU is a share of."""
    fp8_products: float
    """Operations a second that products of V3's shapes reach in FP8 with fine-grained scales."""
    bf16_products: float
    """The same in BF16."""
    attention: float
    """Operations a second of attention itself, causal, in BF16."""
    memory_bandwidth: float
    """Bytes a second of the device's memory."""
    node_gpus: int
    """GPUs that NVLink joins."""
    nvlink: float
    """Bytes a second each way between GPUs of a node, as reached."""
    network: float
    """Bytes a second each way for each GPU between nodes, as reached."""
    dollars_an_hour: float
    """What one GPU is priced at if nothing else is said."""
    carried_over: bool = False
    """Whether what kernels reach is an H800's share of the peak and not measured."""


DEEPGEMM_H800 = (
    # parameters of V3's matrices that a token meets in a layer, operations a second at 4,096 rows (grouped: 8,192)
    (2112 * 7168, 1058 * TERA),
    (24576 * 1536, 990 * TERA),
    (32768 * 512, 590 * TERA),
    (7168 * 16384, 1358 * TERA),
    (4096 * 7168, 1304 * TERA),
    (7168 * 2048, 1025 * TERA),
    (8 * 4096 * 7168, 1297 * TERA),
    (8 * 7168 * 2048, 1099 * TERA),
)
"""DeepGEMM's first README: W_DQ with W_DKV, W_UQ, W_UK with W_UV, W_O, the shared expert's two, the routed experts'."""


def mean_rate(rates: tuple[tuple[int, float], ...]) -> float:
    """Operations a second over matrices of these sizes, one after the other."""
    return sum(size for size, _ in rates) / sum(size / rate for size, rate in rates)


_HOPPER_FP8 = mean_rate(DEEPGEMM_H800)
_HOPPER_BF16 = 700 * TERA
"""cuBLAS on 2112 x 7168 at 4,096 rows: 716 (vLLM issue 23280)."""
_HOPPER_ATTENTION = 500 * TERA
"""A round figure for FlashAttention 3 with causal masks; no table has heads of 192 and 128."""
_HOPPER_PEAK = 989 * TERA

H800 = Gpu(
    name="h800",
    memory_bytes=80e9,
    peak_bf16=_HOPPER_PEAK,
    fp8_products=_HOPPER_FP8,
    bf16_products=_HOPPER_BF16,
    attention=_HOPPER_ATTENTION,
    memory_bandwidth=3.35 * TERA,
    node_gpus=8,
    nvlink=155 * GIGA,
    network=50 * GIGA,
    dollars_an_hour=2.0,
)
"""DeepEP on H800: 153 to 158 GB/s within a node, 50 to 51 between 8 nodes (EP64). V3's report counts 2 dollars."""


def _carried_over(name: str, peak_bf16: float, **other: float | int) -> Gpu:
    """A GPU on which kernels reach what they reach of an H800's peak."""
    share = peak_bf16 / _HOPPER_PEAK
    reached = {rate: getattr(H800, rate) * share for rate in ("fp8_products", "bf16_products", "attention")}
    return replace(H800, name=name, peak_bf16=peak_bf16, carried_over=True, **reached, **other)  # type: ignore[arg-type]


GPUS = {
    gpu.name: gpu
    for gpu in (
        H800,
        replace(H800, name="h100", nvlink=350 * GIGA, carried_over=True),
        replace(
            H800, name="h200", memory_bytes=141e9, memory_bandwidth=4.8 * TERA, nvlink=350 * GIGA, carried_over=True
        ),
        _carried_over(
            "b200", 2250 * TERA, memory_bytes=180e9, memory_bandwidth=7.7 * TERA, nvlink=700 * GIGA, dollars_an_hour=4.0
        ),
    )
}
"""H100 and H200 compute as an H800 does and have NVLink of 450 GB/s each way; B200 of 900. Networks are 400 Gb/s."""


def gpu_named(name: str) -> Gpu:
    """Raises UserError for a kind that the table lacks."""
    if name.lower() not in GPUS:
        raise UserError(f"unknown GPU '{name}'", hint=f"choose one of {', '.join(GPUS)}")
    return GPUS[name.lower()]


def with_products(gpu: Gpu, fp8_products: float | None, bf16_products: float | None) -> Gpu:
    """The GPU with measured rates of products, in operations a second, where there are any."""
    return replace(
        gpu,
        fp8_products=fp8_products or gpu.fp8_products,
        bf16_products=bf16_products or gpu.bf16_products,
        carried_over=gpu.carried_over and not (fp8_products or bf16_products),
    )


def measured_products(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """(FP8, BF16) operations a second over the shapes of `hopper.json`'s `products`; the best back end of each counts.

    Raises:
        UserError: they are not such rows.
    """
    fp8, bf16 = [], []
    try:
        for row in rows:
            size = prod(int(number) for number in findall(r"\d+", row["shape"]))
            bf16.append((size, float(row["bf16"]) * TERA))
            own = ("shape", "bf16", "fp8 over bf16", "share of peak")
            speeds = [float(speed) for name, speed in row.items() if name not in own]
            fp8.append((size, max(speeds, default=row["bf16"]) * TERA))
        return mean_rate(tuple(fp8)), mean_rate(tuple(bf16))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        hint = "give the hopper.json that benchmarks/hopper.py wrote on a GPU"
        raise UserError("this is not a file of measured products", where="products", hint=hint) from error
