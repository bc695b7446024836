"""AdamW as in section 4.2: betas 0.9 and 0.95, weight decay 0.1, gradients clipped to a global norm of 1.

The report names neither epsilon nor what decays: here 1e-8, and every matrix but no norm decays. Router biases are
buffers and never reach the optimiser.

Moments are FP32, or BF16 as in section 3.3.3, which halves the optimiser's memory at no loss that DeepSeek could see:
both are averages, whose next value is computed in FP32 and rounded to nearest only to be kept. torch's fused kernel
updates a parameter in one pass, on CPUs as well, and on GPUs even with BF16 moments. Its CPU kernels refuse those, so
there `BFloat16MomentsAdamW` does the same arithmetic in chunks of 64K numbers: no FP32 copy of moments is ever larger
than a chunk, and a chunk's seven or so passes find it in the cache.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

MOMENTS = ("exp_avg", "exp_avg_sq")
BETAS = (0.9, 0.95)
EPSILON = 1e-8
_CHUNK = 65_536  # 256 KB of FP32: gradient, master, two moments and one temporary stay in a core's cache


class BFloat16MomentsAdamW(torch.optim.Optimizer):
    """AdamW with decoupled decay (Loshchilov and Hutter 2019) over FP32 tensors, with moments kept in BF16.

    Holds the state that torch's has, under the same names. A tensor without gradient is left as it is.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float = 0.0,
        betas: tuple[float, float] = BETAS,
        eps: float = EPSILON,
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all tensors that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                state["step"] += 1
                steps = int(state["step"])
                whole = (weight, weight.grad, state["exp_avg"], state["exp_avg_sq"])
                for parts in zip(*(tensor.view(-1).split(_CHUNK) for tensor in whole), strict=True):
                    self._update(parts, steps, group)

    @staticmethod
    def _update(parts: tuple[Tensor, ...], steps: int, group: dict[str, Any]) -> None:
        """The rule for one chunk: flat tensors of weights and gradients, FP32, and of both moments, BF16."""
        weight, gradient, kept, kept_sq = parts
        (beta1, beta2), rate = group["betas"], group["lr"]
        average = kept.float().lerp_(gradient, 1 - beta1)
        square = kept_sq.float().mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        kept.copy_(average)
        kept_sq.copy_(square)
        spread = square.sqrt_().div_((1 - beta2**steps) ** 0.5).add_(group["eps"])
        weight.mul_(1 - rate * group["weight_decay"])
        weight.addcdiv_(average, spread, value=-rate / (1 - beta1**steps))


def make_optimizer(
    weights: nn.Module | Iterable[Tensor], weight_decay: float = 0.1, moments: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """AdamW over FP32 tensors, or a model's parameters, in two groups: matrices decay, vectors don't.

    Moments exist from the start, as zeros of type `moments`, so that a checkpoint can be loaded into them. The rate is
    set at each step.
    """
    tensors = list(weights.parameters() if isinstance(weights, nn.Module) else weights)
    groups: list[dict[str, Any]] = [
        {"params": [tensor for tensor in tensors if tensor.dim() > 1], "weight_decay": weight_decay},
        {"params": [tensor for tensor in tensors if tensor.dim() <= 1], "weight_decay": 0.0},
    ]
    fused = moments == torch.float32 or all(tensor.is_cuda for tensor in tensors)
    optimizer: torch.optim.Optimizer
    if fused:
        optimizer = torch.optim.AdamW(groups, lr=0.0, betas=BETAS, eps=EPSILON, fused=True)
    else:
        optimizer = BFloat16MomentsAdamW(groups)
    for tensor in tensors:
        step = torch.zeros((), dtype=torch.float32, device=tensor.device)
        optimizer.state[tensor] = {
            "step": step,
            **{name: torch.zeros_like(tensor, dtype=moments, requires_grad=False) for name in MOMENTS},
        }
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def set_steps(optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Sets how many steps the moments have seen, which decides how their zero start is corrected."""
    for state in optimizer.state.values():
        state["step"].fill_(steps)


def moments_by_name(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The optimiser's moments of these tensors, live, as `exp_avg.<name>` and `exp_avg_sq.<name>`."""
    return {
        f"{moment}.{name}": optimizer.state[tensor][moment] for moment in MOMENTS for name, tensor in tensors.items()
    }
