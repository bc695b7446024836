import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from corpusmill.training.model.cross_entropy import chunked_cross_entropy


def _inputs(rows: int = 600) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, 64, generator=generator).bfloat16()
    head = (0.3 * torch.randn(1000, 64, generator=generator)).bfloat16()
    targets = torch.randint(0, 1000, (rows,), generator=generator)
    targets[::7] = -100
    return hidden, head, targets


def _plain(hidden: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and gradients in FP64."""
    hidden, head = (tensor.double().requires_grad_() for tensor in (hidden, head))
    loss = F.cross_entropy(hidden @ head.T, targets, ignore_index=-100, reduction="sum")
    return loss.detach(), *torch.autograd.grad(loss / 500, (hidden, head))


@pytest.mark.parametrize("chunk", [1000, 256, 7])
def test_loss_and_gradients_are_those_of_fp64_up_to_the_rounding_of_products(chunk: int):
    hidden, head, targets = _inputs()
    wanted, by_hidden, by_head = _plain(hidden, head, targets)
    hidden.requires_grad_()
    head.requires_grad_()
    head.grad_dtype = torch.float32
    loss = chunked_cross_entropy(hidden, head, targets, chunk)
    (loss / 500).backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    assert head.grad is not None and head.grad.dtype == torch.float32
    for actual, expected in ((hidden.grad, by_hidden), (head.grad, by_head)):
        assert actual is not None
        assert (actual.double() - expected).norm() < 0.005 * expected.norm()
    assert not hidden.grad[::7].any(), "nothing is predicted there"


def test_torchs_operator_still_returns_a_rounded_sum():
    """Why there is one of our own. Once this fails, see whether torch's will do."""
    hidden, head, targets = _inputs(2048)
    wanted, *_ = _plain(hidden, head, targets)
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=128, chunking_method=None)
    actual = F.linear_cross_entropy(
        hidden.requires_grad_(), head, targets, reduction="sum", ignore_index=-100, options=options
    )
    assert actual.dtype == torch.bfloat16
    assert abs(actual.item() - wanted.item()) > 1e-3 * wanted.item()


def test_a_batch_of_padding_has_neither_loss_nor_gradient():
    hidden, head, targets = _inputs()
    hidden.requires_grad_()
    loss = chunked_cross_entropy(hidden, head.requires_grad_(), torch.full_like(targets, -100), 128)
    loss.backward()
    assert loss.item() == 0
    assert hidden.grad is not None and head.grad is not None
    assert not hidden.grad.any() and not head.grad.any()
