"""A layer of experts divided among two ranks, against the same layer on one device."""

from typing import Any

import pytest
import torch

from corpusmill.training.layout import Layout
from corpusmill.training.model.config import preset
from corpusmill.training.model.moe import MoE
from corpusmill.training.parallel.expert import ExpertParallel
from corpusmill.training.parallel.ranks import Ranks, join_ranks
from tests.training.two_processes import run_ranks

SHAPE = {"n_routed_experts": 8, "n_activated_experts": 4, "n_expert_groups": 4, "n_limited_groups": 2}
CASES = {"even": None, "all to rank 1": [4, 5, 6, 7], "all to rank 0": [0, 1, 2, 3], "one expert gets most": [5]}
"""Experts whose bias draws the tokens."""


def _layer(placement: ExpertParallel | None, drawn_to: list[int] | None) -> MoE:
    config = preset("tiny", SHAPE)
    layer = MoE(config) if placement is None else MoE(config, placement=placement)
    whole = MoE(config)
    generator = torch.Generator().manual_seed(1)
    for parameter in whole.parameters():
        parameter.data.normal_(0.0, 0.3, generator=generator)
    for name, parameter in layer.named_parameters():
        rows = layer.experts.here if name.startswith("experts.") else range(len(parameter))
        parameter.data.copy_(whole.get_parameter(name)[rows.start : rows.stop])
    layer.gate.bias.zero_()
    if drawn_to is not None:
        layer.gate.bias[drawn_to] = 10.0
    return layer


def _pass(layer: MoE, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Output, gradient of the input and of the parameters, for slopes that differ from token to token."""
    x = x.clone().requires_grad_()
    out, balance = layer(x, torch.ones(x.shape[:2], dtype=torch.bool))
    slopes = torch.linspace(-1, 1, out.shape[-1]).expand_as(out) * x.detach().mean(-1, keepdim=True)
    ((out * slopes).sum() + balance).backward()
    assert x.grad is not None
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters() if parameter.grad is not None}
    return out.detach(), x.grad, gradients


def _compare(ranks: Ranks, placement: ExpertParallel, drawn_to: list[int] | None) -> float:
    """The largest difference from the layer on one device, over outputs and all gradients."""
    x = torch.randn(4, 9, 32, generator=torch.Generator().manual_seed(2))
    out, by_x, gradients = _pass(_layer(None, drawn_to), x)
    rows = slice(0, 1) if ranks.rank == 0 else slice(1, 4)  # the ranks have unequal numbers of tokens
    layer = _layer(placement, drawn_to)
    own_out, own_by_x, own_gradients = _pass(layer, x[rows])
    apart = [(own_out - out[rows]).abs().max(), (own_by_x - by_x[rows]).abs().max()]
    for name, gradient in own_gradients.items():
        if name.startswith("experts."):
            here = layer.experts.here
            apart.append((gradient - gradients[name][here.start : here.stop]).abs().max())
        else:
            apart.append((ranks.sum_(gradient) - gradients[name]).abs().max())
    return float(torch.stack(apart).max())


def on_two_ranks() -> dict[str, Any]:
    with join_ranks("cpu") as ranks:
        seen: dict[str, Any] = {}
        for nodes in (1, 2):
            spread = ranks.laid_out(Layout(expert=2, node=nodes))
            for chunk in (0, 5):
                for case, drawn_to in CASES.items():
                    seen[f"{case}, {nodes} nodes, chunk {chunk}"] = _compare(
                        ranks, ExpertParallel(spread, chunk=chunk), drawn_to
                    )
        packed = ExpertParallel(spread, packed=True)
        seen["packed"] = _compare(ranks, packed, None)
        plain = ExpertParallel(spread)
        _compare(ranks, plain, None)
        seen["bytes"] = [placement.traffic["node"].bytes for placement in (plain, packed)]
        seen["most copies"] = plain.traffic["node"].most_copies
        plain.measure(32, torch.float32)
        seen["chunk"] = plain.chunk
        return seen


@pytest.fixture(scope="module")
def both() -> list[dict[str, Any]]:
    return run_ranks(2, "tests.training.parallel.test_expert:on_two_ranks")


def test_two_ranks_compute_what_one_device_does_however_uneven_loads_are(both: list[dict[str, Any]]):
    for seen in both:
        for case, apart in seen.items():
            if "chunk " in case:
                assert apart < 2e-5, case  # of sums of up to 36 tokens' slopes, some above 30


def test_chunks_change_no_bit(both: list[dict[str, Any]]):
    for seen in both:
        for case, apart in seen.items():
            if case.endswith("chunk 0"):
                assert seen[case.replace("chunk 0", "chunk 5")] == apart, case


def test_on_the_wire_fp8_takes_a_byte_a_number_and_one_a_tile_and_stays_near(both: list[dict[str, Any]]):
    for seen in both:
        plain, packed = seen["bytes"]
        assert packed["tokens"] * 128 == plain["tokens"] * 33  # 32 numbers of 4 bytes, or 32 codes and a scale
        assert packed["results"] == plain["results"]
        assert packed["results' gradients"] * 128 == plain["results' gradients"] * 33
        assert 1e-4 < seen["packed"] < 3.0
        assert seen["most copies"] == 1 and seen["chunk"] in (0, 256, 1024)


def test_both_ranks_choose_the_same_chunk(both: list[dict[str, Any]]):
    assert both[0]["chunk"] == both[1]["chunk"]
