import pytest
import torch
import torch.nn.functional as F

from corpusmill.training.model.config import preset
from corpusmill.training.model.moe import Gate, MoE, balance_loss, take_loads, update_biases, violations
from corpusmill.training.model.placement import Dispatch


def _moe(overrides=None, scale=0.5) -> MoE:
    torch.manual_seed(0)
    layer = MoE(preset("tiny", overrides))
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, 0.0, scale)
    layer.gate.bias.copy_(torch.randn_like(layer.gate.bias) * 0.2)
    return layer


def _choose(scores, bias, config) -> list[int]:
    """Group-limited top-K for one token, by sorting."""
    keys = (scores + bias).tolist()
    per_group = config.n_routed_experts // config.n_expert_groups
    groups = [list(range(g * per_group, (g + 1) * per_group)) for g in range(config.n_expert_groups)]
    best = config.n_activated_experts // config.n_limited_groups
    groups.sort(key=lambda group: -sum(sorted((keys[e] for e in group), reverse=True)[:best]))
    reachable = [expert for group in groups[: config.n_limited_groups] for expert in group]
    return sorted(reachable, key=lambda expert: -keys[expert])[: config.n_activated_experts]


def _reference(layer: MoE, x: torch.Tensor) -> torch.Tensor:
    """Eq 12 to 16 by a loop over tokens and experts; x [N, D]."""
    c, e = layer.config, layer.experts
    outs = []
    for token in x:
        scores = torch.sigmoid(layer.gate.weight @ token)
        chosen = _choose(scores.detach(), layer.gate.bias, c)
        total = sum(scores[i] for i in chosen)
        out = torch.zeros_like(token)
        if layer.shared_experts is not None:
            out = out + layer.shared_experts(token)
        for i in chosen:
            inner = F.silu(e.w1[i] @ token) * (e.w3[i] @ token)
            out = out + c.route_scale * scores[i] / total * (e.w2[i] @ inner)
        outs.append(out)
    return torch.stack(outs)


SHAPES = [
    {},
    {"n_expert_groups": 1, "n_limited_groups": 1},
    {"n_activated_experts": 4},
    {"n_shared_experts": 0, "route_scale": 1.0},
    {"n_shared_experts": 2, "n_routed_experts": 16, "n_activated_experts": 6},
]


@pytest.mark.parametrize("overrides", SHAPES)
def test_experts_equal_the_loop_in_value_and_gradient(overrides):
    layer = _moe(overrides)
    x = torch.randn(2, 9, 32, requires_grad=True)
    got, _ = layer(x, torch.ones(2, 9, dtype=torch.bool))
    expected = _reference(layer, x.flatten(0, 1)).view_as(x)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)

    weights = torch.randn_like(got)
    leaves = [x, *layer.parameters()]
    ours = torch.autograd.grad((got * weights).sum(), leaves)
    theirs = torch.autograd.grad((expected * weights).sum(), leaves, allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_an_expert_without_tokens_is_left_out_and_gets_no_gradient():
    layer = _moe({"n_expert_groups": 1, "n_limited_groups": 1})
    layer.gate.bias[3] = -10.0
    out, _ = layer(torch.randn(1, 20, 32), torch.ones(1, 20, dtype=torch.bool))
    out.square().sum().backward()
    assert layer.gate.load[3] == 0
    assert layer.experts.w1.grad[3].abs().sum() == 0
    assert layer.experts.w1.grad[2].abs().sum() > 0


def test_the_bias_selects_but_never_weighs():
    layer = _moe()
    x = torch.randn(50, 32)
    valid = torch.ones(50, dtype=torch.bool)
    scores, chosen, gates = layer.gate(x, valid)
    torch.testing.assert_close(gates.sum(-1), torch.full((50,), 2.5))
    raw = scores.gather(1, chosen)
    torch.testing.assert_close(gates, raw / raw.sum(-1, keepdim=True) * 2.5)
    layer.gate.bias += 7.0  # the same for all: the choice stays, and so must the gates
    _, chosen_after, gates_after = layer.gate(x, valid)
    assert torch.equal(chosen, chosen_after) and torch.equal(gates, gates_after)


def test_no_token_reaches_more_groups_than_it_may():
    config = preset(
        "tiny", {"n_routed_experts": 32, "n_expert_groups": 8, "n_limited_groups": 2, "n_activated_experts": 4}
    )
    gate = Gate(config)
    torch.nn.init.normal_(gate.weight)
    _, chosen, _ = gate(torch.randn(300, 32), torch.ones(300, dtype=torch.bool))
    assert max(len(set(row)) for row in (chosen // 4).tolist()) <= 2
    assert all(len(set(row)) == 4 for row in chosen.tolist())


def test_dispatch_sorts_by_expert_and_combine_undoes_it():
    chosen = torch.tensor([[3, 0], [0, 1], [3, 1], [0, 3]])
    gates = torch.tensor([[0.25, 0.75], [1.0, 1.0], [2.0, 0.0], [0.5, 0.5]])
    dispatch = Dispatch(chosen, gates, 5)
    assert dispatch.ends.tolist() == [3, 5, 5, 8, 8]
    x = torch.arange(4.0).unsqueeze(1) + 1
    assert dispatch.send(x).flatten().tolist() == [1, 2, 4, 2, 3, 1, 3, 4]
    assert dispatch.combine(dispatch.send(x)).flatten().tolist() == [1.0, 4.0, 6.0, 4.0]


def test_padding_is_not_counted():
    layer = _moe()
    x = torch.randn(2, 10, 32)
    valid = torch.ones(2, 10, dtype=torch.bool)
    valid[1, 6:] = False
    _, full = layer(x, valid)
    assert layer.gate.load.sum() == 16 * 2
    first, second = (layer(x[i : i + 1, :n], torch.ones(1, n, dtype=torch.bool))[1] for i, n in ((0, 10), (1, 6)))
    torch.testing.assert_close(full, first + second)


def test_nothing_is_counted_outside_training():
    layer = _moe().eval()
    layer(torch.randn(1, 10, 32), torch.ones(1, 10, dtype=torch.bool))
    assert layer.gate.load.sum() == 0


def test_balance_loss_is_one_for_each_sequence_at_uniform_scores():
    scores = torch.full((3, 12, 8), 0.37)
    torch.testing.assert_close(balance_loss(scores, torch.ones(3, 12, dtype=torch.bool), 2), torch.tensor(3.0))


def test_balance_loss_equals_equations_17_to_20():
    torch.manual_seed(1)
    scores = torch.rand(2, 7, 6)
    lengths = (7, 4)
    valid = torch.arange(7) < torch.tensor(lengths).unsqueeze(1)
    total = 0.0
    for b, length in enumerate(lengths):
        for i in range(6):
            top = [i in scores[b, t].topk(2).indices.tolist() for t in range(length)]
            f = 6 / (2 * length) * sum(top)
            p = sum(float(scores[b, t, i] / scores[b, t].sum()) for t in range(length)) / length
            total += f * p
    assert float(balance_loss(scores, valid, 2)) == pytest.approx(total, rel=1e-5)


def test_balance_loss_has_its_gradient_through_p_alone():
    torch.manual_seed(1)
    scores = torch.rand(1, 7, 6, requires_grad=True)
    valid = torch.ones(1, 7, dtype=torch.bool)
    balance_loss(scores, valid, 2).backward()
    marks = torch.zeros(7, 6).scatter_(1, scores[0].detach().topk(2, -1).indices, 1.0)
    f = marks.mean(0) * 6 / 2
    other = scores.detach().clone().requires_grad_()
    ((other[0] / other[0].sum(-1, keepdim=True)).mean(0) * f).sum().backward()
    torch.testing.assert_close(scores.grad, other.grad)


def test_the_bias_moves_against_the_load():
    gate = Gate(preset("tiny"))
    gate.load.copy_(torch.tensor([10, 0, 5, 5, 5, 5, 5, 5]))
    loads = take_loads(gate)
    update_biases(gate, loads, 0.001)
    torch.testing.assert_close(gate.bias, torch.tensor([-0.001, 0.001, 0, 0, 0, 0, 0, 0]))
    assert violations(loads) == [1.0] and gate.load.sum() == 0


def test_bias_control_evens_out_a_skewed_router():
    torch.manual_seed(0)
    config = preset(
        "tiny", {"n_routed_experts": 32, "n_expert_groups": 1, "n_limited_groups": 1, "n_activated_experts": 4}
    )
    gate = Gate(config)
    torch.nn.init.normal_(gate.weight, 0.0, 0.05)
    skew = torch.linspace(-0.5, 0.5, 32)
    gate.weight.data[:, 0] += skew
    x = torch.randn(2048, 32)
    x[:, 0] = 1.0
    valid = torch.ones(2048, dtype=torch.bool)
    history = []
    for _ in range(500):
        gate(x, valid)
        loads = take_loads(gate)
        update_biases(gate, loads, 0.001)
        history += violations(loads)
    assert history[0] > 1.0 and history[-1] < 0.2
