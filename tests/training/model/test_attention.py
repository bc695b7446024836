import math

import pytest
import torch

from corpusmill.training.model.attention import MLA, attend, document_mask
from corpusmill.training.model.config import preset
from corpusmill.training.model.rope import rope_table, rotate


def _norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def _turn(x, position, theta):
    """RoPE of one vector by complex numbers, as in the released code."""
    pairs = torch.complex(x[0::2], x[1::2])
    angles = position * theta ** -(torch.arange(0, len(x), 2, dtype=torch.float64) / len(x))
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.stack([turned.real, turned.imag], -1).flatten()


def _reference(layer: MLA, x: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Eq 1 to 11 for one sequence [T, D], a head and a token at a time; allowed [T, T]."""
    c, length = layer.config, len(x)
    latent_q = _norm(x @ layer.wq_a.weight.T, layer.q_norm.weight, c.norm_eps) if c.q_lora_rank else x
    compressed = x @ layer.wkv_a.weight.T
    latent_kv = _norm(compressed[:, : c.kv_lora_rank], layer.kv_norm.weight, c.norm_eps)
    k_rope = torch.stack([_turn(compressed[t, c.kv_lora_rank :], t, c.rope_theta) for t in range(length)])
    wq = layer.wq_b.weight.view(c.n_heads, c.qk_head_dim, -1)
    wkv = layer.wkv_b.weight.view(c.n_heads, c.qk_nope_head_dim + c.v_head_dim, -1)
    outs = []
    for head in range(c.n_heads):
        q = torch.einsum("od,td->to", wq[head], latent_q)
        turned = torch.stack([_turn(q[t, c.qk_nope_head_dim :], t, c.rope_theta) for t in range(length)])
        k = torch.einsum("od,td->to", wkv[head, : c.qk_nope_head_dim], latent_kv)
        v = torch.einsum("od,td->to", wkv[head, c.qk_nope_head_dim :], latent_kv)
        scores = q[:, : c.qk_nope_head_dim] @ k.T + turned @ k_rope.T
        scores = (scores / math.sqrt(c.qk_head_dim)).masked_fill(~allowed, float("-inf"))
        outs.append(scores.softmax(-1) @ v)
    return torch.cat(outs, -1) @ layer.wo.weight.T


SHAPES = [{}, {"q_lora_rank": 0}, {"v_head_dim": 24}, {"v_head_dim": 16, "qk_nope_head_dim": 16}]


def _layer(overrides) -> MLA:
    torch.manual_seed(0)
    layer = MLA(preset("tiny", overrides)).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.3)
    return layer


@pytest.mark.parametrize("overrides", SHAPES)
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_the_reference_in_value_and_gradient(overrides, masked):
    layer = _layer(overrides)
    x = torch.randn(2, 11, 32, dtype=torch.float64, requires_grad=True)
    segments = torch.tensor([[0] * 4 + [1] * 7, [0] * 6 + [1] * 3 + [-1] * 2])
    mask = document_mask(segments) if masked else None
    allowed = torch.ones(11, 11, dtype=torch.bool).tril()
    table = rope_table(11, layer.config.qk_rope_head_dim, layer.config.rope_theta)

    got = layer(x, table, mask)
    expected = torch.stack([_reference(layer, x[b], mask[b, 0] if masked else allowed) for b in range(2)])
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)  # the RoPE table is FP32

    weights = torch.randn_like(got)
    leaves = [x, *layer.parameters()]
    ours = torch.autograd.grad((got * weights).sum(), leaves)
    theirs = torch.autograd.grad((expected * weights).sum(), leaves)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("length", [257, 512, 600, 1024])
def test_blocks_of_queries_attend_as_all_at_once(length):
    generator = torch.Generator().manual_seed(length)
    q, k, v, weights = (torch.randn(2, length, 3, 8, generator=generator) for _ in range(4))
    actual = []
    for mask in (None, torch.ones(length, length, dtype=torch.bool).tril()):
        leaves = [tensor.clone().requires_grad_() for tensor in (q, k, v)]
        out = attend(*leaves, mask, 0.3)
        actual.append([out.detach(), *torch.autograd.grad((out * weights).sum(), leaves)])
    for blocks, whole in zip(*actual, strict=True):
        torch.testing.assert_close(blocks, whole, rtol=0, atol=1e-5)


def test_rope_scores_depend_on_distance_only():
    table = rope_table(40, 16, 10_000.0)
    q, k = torch.randn(16), torch.randn(16)
    turned_q = rotate(q.expand(1, 40, 1, 16), table)[0, :, 0]
    turned_k = rotate(k.expand(1, 40, 1, 16), table)[0, :, 0]
    scores = turned_q @ turned_k.T
    for distance in (0, 3, 20):
        same = scores.diagonal(-distance)
        torch.testing.assert_close(same, same[:1].expand_as(same), rtol=1e-4, atol=1e-4)


def test_later_tokens_do_not_change_earlier_outputs():
    layer = _layer({}).float()
    x = torch.randn(1, 9, 32)
    changed = x.clone()
    changed[:, 5:] = torch.randn(1, 4, 32)
    table = rope_table(9, 8, 10_000.0)
    torch.testing.assert_close(layer(x, table)[:, :5], layer(changed, table)[:, :5])


def test_a_document_mask_hides_other_documents():
    layer = _layer({}).float()
    segments = torch.tensor([[0] * 4 + [1] * 5])
    x = torch.randn(1, 9, 32)
    changed = x.clone()
    changed[:, :4] = torch.randn(1, 4, 32)
    table, mask = rope_table(9, 8, 10_000.0), document_mask(segments)
    torch.testing.assert_close(layer(x, table, mask)[:, 4:], layer(changed, table, mask)[:, 4:])
    assert not torch.allclose(layer(x, table)[:, 4:], layer(changed, table)[:, 4:])
