"""Chunked cross-entropy, held against torch's operator in FP32 (BF16: `test_cross_entropy.py`)."""

import pytest
import torch
import torch.nn.functional as F

from corpusmill.training.model.loss import IGNORED, cross_entropy

B, T, D, V = 3, 100, 16, 50


def _inputs(ignored=True):
    torch.manual_seed(0)
    hidden = torch.randn(B, T, D).requires_grad_()
    head = torch.randn(V, D).requires_grad_()
    targets = torch.randint(0, V, (B, T))
    if ignored:
        targets[1, 60:] = targets[0, 0] = IGNORED
    return hidden, head, targets


def _off(actual, expected) -> float:
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(actual, expected, strict=True))


def _with_gradients(loss, *leaves):
    return loss.detach(), *torch.autograd.grad(loss * 0.37, leaves)


@pytest.mark.parametrize("ignored", [True, False])
def test_loss_and_gradients_are_those_of_torchs_operator(ignored):
    hidden, head, targets = _inputs(ignored=ignored)
    actual = _with_gradients(cross_entropy(hidden, head, targets), hidden, head)
    rows, flat = hidden.flatten(0, 1), targets.flatten()
    theirs = F.linear_cross_entropy(rows, head, flat, reduction="sum", ignore_index=IGNORED)
    assert _off(actual, _with_gradients(theirs, hidden, head)) < 1e-6


def test_without_gradients_the_loss_is_the_same():
    hidden, head, targets = _inputs()
    kept = cross_entropy(hidden, head, targets)
    with torch.no_grad():
        assert cross_entropy(hidden, head, targets).item() == pytest.approx(kept.item(), rel=1e-6)


def test_padding_alone_costs_nothing_and_moves_nothing():
    hidden, head, targets = _inputs()
    loss = cross_entropy(hidden, head, torch.full_like(targets, IGNORED))
    loss.backward()
    assert loss == 0 and not hidden.grad.any() and not head.grad.any()


@pytest.mark.parametrize("threads", [1, 2])
def test_repetition_gives_the_same_bits(threads):
    torch.set_num_threads(threads)
    hidden, head, targets = _inputs()
    first = _with_gradients(cross_entropy(hidden, head, targets), hidden, head)
    for _ in range(3):
        again = _with_gradients(cross_entropy(hidden, head, targets), hidden, head)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
