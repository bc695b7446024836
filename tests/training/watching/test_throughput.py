"""Rates: by hand for a shape whose operations are published, and peaks by the names that devices give themselves."""

import mmap

import numpy as np
import psutil
import pytest
import torch

from corpusmill.training.model.config import preset
from corpusmill.training.watching.throughput import Throughput, device_peak, memory_bytes, peak_teraflops

CPU = torch.device("cpu")


def test_rates_of_v3_follow_from_its_published_operations_a_token():
    """250.5 GFLOPs per token at 4,096 without MTP, 260.6 with it (shared/facts, section 4), on 2,048 devices."""
    throughput = Throughput(preset("v3-671b"), 4096, CPU, peak_teraflops=989.0, ranks=2048)
    actual = throughput.of(15_360 * 4096, 20.0)
    rate = 15_360 * 4096 / 20
    assert actual["tokens_per_second"] == rate
    assert actual["teraflops"] == pytest.approx(rate * 0.2505 / 2048, rel=1e-3)
    assert actual["mfu"] == pytest.approx(rate * 0.2505 / 2048 / 989, rel=1e-3)
    assert actual["mfu_with_mtp"] == pytest.approx(rate * 0.2606 / 2048 / 989, rel=1e-3)


def test_without_a_known_peak_there_is_no_mfu():
    actual = Throughput(preset("tiny"), 64, CPU).of(100, 2.0)
    assert actual["tokens_per_second"] == 50
    assert actual["teraflops"] is not None and actual["teraflops"] > 0
    assert actual["mfu"] is None and actual["mfu_with_mtp"] is None
    assert device_peak(CPU) is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H800", 989),
        ("NVIDIA H200", 989),
        ("NVIDIA GH200 480GB", 989),
        ("NVIDIA H20", 148),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA A800-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_peaks_are_known_by_the_devices_names(name: str, peak: float | None):
    assert peak_teraflops(name) == peak


def test_peak_memory_grows_with_what_is_allocated_and_stays():
    before = memory_bytes(CPU)
    room = max(0, before - psutil.Process().memory_info().rss)  # what earlier tests took and gave back
    with mmap.mmap(-1, room + (64 << 20)) as fresh:  # an allocator could hand out pages that are resident already
        np.frombuffer(fresh, np.uint8)[:: mmap.PAGESIZE] = 1
        grown = memory_bytes(CPU)
    assert before + (32 << 20) < grown < 1 << 40
    assert memory_bytes(CPU) >= grown
