"""Whether Triton can run here, and the few lines that all launches share.

Triton compiles for GPUs; with TRITON_INTERPRET=1 set before it is imported, its interpreter runs kernels on a CPU with
NumPy, which is slow and shows that they are right. It comes with torch's CUDA builds and is the extra `triton` else.
"""

import importlib.util
import os

from torch import Tensor


def interpreted() -> bool:
    """Whether kernels run in the interpreter."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def triton_missing() -> str | None:
    """Why there is no Triton; None where there is."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (extra triton)"
    return None


def ceil_div(count: int, size: int) -> int:
    return -(-count // size)


def bytes_of(codes: Tensor) -> Tensor:
    """E4M3 codes as uint8, of the same memory and strides."""
    import torch

    return codes.view(torch.uint8)
