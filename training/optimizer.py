"""AdamW as in section 4.2: betas 0.9 and 0.95, weight decay 0.1, gradients clipped to a global norm of 1.

The report names neither epsilon nor what decays: here 1e-8, and every matrix but no norm decays. Router biases are
buffers and never reach the optimiser. torch's fused kernel updates a parameter in one pass, on CPUs too.
State by name is what a checkpoint holds, so that it can be read without the order of parameters.
"""

import torch
from torch import Tensor, nn

MOMENTS = ("exp_avg", "exp_avg_sq")


def make_optimizer(
    model: nn.Module, weight_decay: float = 0.1, betas: tuple[float, float] = (0.9, 0.95), epsilon: float = 1e-8
) -> torch.optim.AdamW:
    """AdamW over a model's parameters in two groups: matrices decay, vectors don't. The rate is set at each step."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=epsilon, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradients(model: nn.Module, limit: float = 1.0) -> Tensor:
    """Scales all gradients down together where their global norm is above `limit`; returns the norm before."""
    return torch.nn.utils.clip_grad_norm_(model.parameters(), limit)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments of every parameter, as `exp_avg.<name>` and `exp_avg_sq.<name>`. Empty before the first step."""
    named = {}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {})
        named.update({f"{moment}.{name}": state[moment] for moment in MOMENTS if moment in state})
    return named


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], steps: int
) -> None:
    """Puts the moments of `optimizer_tensors` back, after `steps` steps. Raises KeyError where one is missing."""
    for name, parameter in model.named_parameters():
        moments = {moment: tensors[f"{moment}.{name}"].to(parameter.device) for moment in MOMENTS}
        step = torch.tensor(float(steps), dtype=torch.float32, device=parameter.device)
        optimizer.state[parameter] = {"step": step, **moments}
