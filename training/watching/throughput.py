"""How fast a run is, and how much of the device that is: tokens a second, achieved teraflops, MFU, memory.

MFU, model FLOPs utilisation, holds the operations that the model's equations need for the tokens trained on against
the most that the device could do in that time (PaLM, arXiv 2204.02311, appendix B). It has no single convention, so
ours is one sentence, `MFU_CONVENTION`, that goes wherever the number does. It is that of DeepSeek's published figures,
with half of the attention matrix and no MTP. Since MTP is computed all the same, a second figure counts it. The peak is
that of dense BF16 matrix products whatever the run computes in, so figures of different runs compare; a run in FP32
reads low.

For a CPU, or a GPU that is not in the table, the peak has to be given (`peak_teraflops`); without it MFU is None. Cost:
none; the operations a token are counted once. torch is imported only to ask about a GPU, so a report can name the
convention without it.
"""

from typing import TYPE_CHECKING

from corpusmill.dataproc.operating_system import peak_memory_bytes
from corpusmill.training.model.config import flops_per_token
from corpusmill.training.model.dimensions import ModelConfig

if TYPE_CHECKING:
    import torch

MFU_CONVENTION = (
    "operations of forward and backward by the model's equations, with half of the attention matrix (causal), without "
    "MTP and without recomputation, of what a rank's device can do at most in dense BF16"
)
"""What `mfu` and `teraflops` mean; `mfu_with_mtp` also counts MTP."""

_PEAKS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("H100", "PCIE"), 756.0),
    (("H100", "NVL"), 835.0),
    (("H100",), 989.0),
    (("H200", "NVL"), 835.0),
    (("GH200",), 989.0),
    (("H200",), 989.0),
    (("H800", "PCIE"), 756.0),
    (("H800",), 989.0),
    (("H20",), 148.0),
    (("A100",), 312.0),
    (("A800",), 312.0),
)
"""Teraflops of dense BF16 by words of a device's name, the first that fits. NVIDIA's data sheets (H100 SXM, PCIe and
NVL: 1,979, 1,513 and 1,671; H200 SXM and NVL: 1,979 and 1,671) give BF16 with sparsity, twice the dense figure; those
of A100 and H20 give 312 and 148 dense. H800 and A800 differ from H100 and A100 in links and FP64 only."""


def peak_teraflops(name: str) -> float | None:
    """What a device of this name (as CUDA gives it) does at most in dense BF16, in 10^12 operations a second.

    None for names that are not known, and for a part of a device (MIG), which can do less.
    """
    words = name.upper().replace("-", " ").split()
    if "MIG" in words:
        return None
    return next((peak for wanted, peak in _PEAKS if all(word in words for word in wanted)), None)


def device_peak(device: "torch.device") -> float | None:
    """The same for a device; None for a CPU."""
    if device.type != "cuda":
        return None
    import torch

    return peak_teraflops(torch.cuda.get_device_name(device))


class Throughput:
    """Turns tokens and seconds into rates.

    Args:
        config: the model's shape.
        sequence_length: tokens that a token at the end attends to.
        device: a rank's; all ranks are taken to have the same.
        peak_teraflops: of the device; None: as known.
        ranks: devices that share the tokens.
    """

    def __init__(
        self,
        config: ModelConfig,
        sequence_length: int,
        device: "torch.device",
        peak_teraflops: float | None = None,
        ranks: int = 1,
    ) -> None:
        self.flops = flops_per_token(config, sequence_length)
        self.flops_with_mtp = flops_per_token(config, sequence_length, mtp=config.mtp_depth > 0)
        self.peak = peak_teraflops if peak_teraflops is not None else device_peak(device)
        self.ranks = ranks

    def of(self, tokens: int, seconds: float) -> dict[str, float | None]:
        """Rates of a stretch of training.

        Args:
            tokens: trained on by all ranks together, without padding.
            seconds: that it took, more than 0.

        Returns:
            tokens_per_second of all ranks; teraflops of one rank, in 10^12 operations a second; mfu and mfu_with_mtp,
            which are None where the peak is not known.
        """
        rate = tokens / seconds
        achieved, with_mtp = (rate * flops / self.ranks / 1e12 for flops in (self.flops, self.flops_with_mtp))
        return {
            "tokens_per_second": rate,
            "teraflops": achieved,
            "mfu": achieved / self.peak if self.peak else None,
            "mfu_with_mtp": with_mtp / self.peak if self.peak else None,
        }


def memory_bytes(device: "torch.device") -> int:
    """The most memory that this process has used so far: on CUDA what torch allocated, else what was resident."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    return peak_memory_bytes()
