"""GRPO's loss is that of the report's equations, written out in NumPy, and TRL's on the same numbers."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.training.reinforcement.loss import grpo_terms, normalised

REWARDS = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=12)


def case(seed: int = 0, apart: float = 0.3) -> dict[str, torch.Tensor]:
    """Five outputs of up to seven tokens, one of them of a single token."""
    generator = torch.Generator().manual_seed(seed)
    old = -torch.rand(5, 7, generator=generator) * 3
    new = old + apart * torch.randn(5, 7, generator=generator)
    reference = old + apart * torch.randn(5, 7, generator=generator)
    lengths = torch.tensor([7, 1, 4, 6, 3])
    advantages = torch.tensor([1.2, -0.4, 0.0, -1.7, 0.9])
    sampled = torch.arange(7) < lengths[:, None]
    return {"new": new, "old": old, "reference": reference, "advantages": advantages, "sampled": sampled}


def by_the_equations(values: dict[str, torch.Tensor], below: float, above: float, beta: float, ratio: str) -> float:
    """Eq 26 and 27, an output and a token at a time."""
    new, old, reference, gains, sampled = (
        values[name].double().numpy() for name in ("new", "old", "reference", "advantages", "sampled")
    )
    total = 0.0
    for output in range(len(gains)):
        places = [place for place in range(sampled.shape[1]) if sampled[output, place]]
        steps = [[place] for place in places] if ratio == "token" else [places]
        objective = 0.0
        for step in steps:
            r = math.exp(sum(new[output, place] - old[output, place] for place in step))
            q = math.exp(sum(reference[output, place] - new[output, place] for place in step))
            clipped = min(max(r, 1 - below), 1 + above)
            objective += min(r * gains[output], clipped * gains[output]) - beta * (q - math.log(q) - 1)
        total += objective / len(steps)
    return -total / len(gains)


@pytest.mark.parametrize("ratio", ["token", "output"])
@pytest.mark.parametrize(("below", "above", "beta"), [(0.2, 0.2, 0.04), (0.2, 10.0, 0.0), (0.05, 0.1, 1.0)])
def test_the_loss_is_that_of_the_equations(ratio: str, below: float, above: float, beta: float) -> None:
    values = case()
    terms = grpo_terms(**values, clip_below=below, clip_above=above, ratio=ratio)
    wanted = by_the_equations(values, below, above, beta, ratio)
    assert abs(terms.total(5, beta).item() - wanted) < 1e-6 * max(1.0, abs(wanted))


@pytest.mark.parametrize("ratio", ["token", "output"])
def test_the_loss_does_not_depend_on_micro_batches_or_padding(ratio: str) -> None:
    values = case()
    values["new"].requires_grad_()
    grpo_terms(**values, ratio=ratio).total(5, 0.1).backward()
    whole = values["new"].grad.clone()
    values["new"].grad = None
    for rows in (slice(0, 2), slice(2, 5)):
        width = int(values["sampled"][rows].sum(1).max())
        part = {name: tensor[rows] if tensor.dim() == 1 else tensor[rows, :width] for name, tensor in values.items()}
        grpo_terms(**part, ratio=ratio).total(5, 0.1).backward()
    assert torch.allclose(values["new"].grad, whole, atol=1e-7)
    assert not values["new"].grad[~values["sampled"]].any()


def test_a_ratio_beyond_the_range_that_pays_more_moves_nothing() -> None:
    new = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]], requires_grad=True)
    gains = torch.tensor([1.0, -1.0, 1.0, -1.0])
    sampled = torch.ones(4, 1, dtype=torch.bool)
    terms = grpo_terms(new, torch.zeros(4, 1), None, gains, sampled)
    terms.total(4, 0.0).backward()
    assert new.grad.flatten().ne(0).tolist() == [False, True, True, False]
    assert terms.clipped.item() == 2 and terms.divergence.item() == 0


def test_the_divergence_is_unbiased_and_never_negative() -> None:
    """Its expectation under the policy, summed over all tokens of a small vocabulary, is the KL divergence."""
    generator = torch.Generator().manual_seed(1)
    policy, reference = torch.randn(2, 9, generator=generator, dtype=torch.float64).log_softmax(-1)
    divergences = [
        grpo_terms(
            policy[token].view(1, 1),
            policy[token].view(1, 1),
            reference[token].view(1, 1),
            torch.zeros(1),
            torch.ones(1, 1, dtype=torch.bool),
        ).divergence.item()
        for token in range(9)
    ]
    assert min(divergences) >= 0
    expected = sum(float(policy[token].exp()) * value for token, value in enumerate(divergences))
    assert expected == pytest.approx(float((policy.exp() * (policy - reference)).sum()), abs=1e-12)


@given(REWARDS)
def test_advantages_have_mean_0_and_deviation_1_or_are_all_0(rewards: list[float]) -> None:
    (found,) = normalised(torch.tensor([rewards], dtype=torch.float64)).numpy()
    if max(rewards) == min(rewards):
        assert not found.any()
        return
    wanted = (np.array(rewards) - np.mean(rewards)) / np.std(rewards)
    assert np.allclose(found, wanted, atol=1e-6)
    assert abs(found.mean()) < 1e-6 and found.std() == pytest.approx(1, abs=1e-6)


def test_a_group_without_a_difference_has_no_advantages_and_others_are_left_alone() -> None:
    found = normalised(torch.tensor([[0.1, 0.1, 0.1], [0.0, 1.0, 1.0]]))
    assert found[0].tolist() == [0.0, 0.0, 0.0] and found[1].abs().min() > 0.5
    unscaled = normalised(torch.tensor([[0.0, 1.0, 1.0]]), scale=False)
    assert torch.allclose(unscaled, torch.tensor([[-2 / 3, 1 / 3, 1 / 3]], dtype=torch.float64))


@pytest.mark.parametrize(("below", "above", "beta"), [(0.2, 0.2, 0.04), (0.2, 0.5, 0.0)])
def test_trl_has_the_same_loss_and_gradient(below: float, above: float, beta: float) -> None:
    trainer = pytest.importorskip("trl.trainer.grpo_trainer").GRPOTrainer
    values = case()
    theirs = values["new"].clone().requires_grad_()
    from collections import defaultdict

    fake = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (theirs, torch.zeros_like(theirs), None),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=beta,
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None),
        loss_type="grpo",
        epsilon_low=below,
        epsilon_high=above,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        model=SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list), "eval": defaultdict(list)},
        accelerator=SimpleNamespace(gather=lambda value: value, reduce=lambda value, reduction: value, num_processes=1),
        _log_metric=lambda *_: None,
    )
    inputs = {
        "prompt_ids": torch.zeros(5, 2, dtype=torch.int64),
        "prompt_mask": torch.ones(5, 2, dtype=torch.int64),
        "completion_ids": torch.zeros(5, 7, dtype=torch.int64),
        "completion_mask": values["sampled"].int(),
        "advantages": values["advantages"],
        "old_per_token_logps": values["old"],
        "ref_per_token_logps": values["reference"],
    }
    loss = trainer._compute_loss(fake, None, inputs)
    loss.backward()
    values["new"].requires_grad_()
    reference = values.pop("reference")
    ours = grpo_terms(**values, reference=reference if beta else None, clip_below=below, clip_above=above)
    ours.total(5, beta).backward()
    assert abs(ours.total(5, beta).item() - loss.item()) < 1e-6
    assert (values["new"].grad - theirs.grad).abs().max() < 1e-6
