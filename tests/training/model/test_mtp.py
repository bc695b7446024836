"""The whole model's losses against plain equations: next token, MTP (eq 21 to 25), accumulation."""

import pytest
import torch
import torch.nn.functional as F

from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import IGNORED, cross_entropy, losses, targets_ahead
from corpusmill.training.model.rope import rope_table
from corpusmill.training.model.transformer import Transformer, initialise


def _model(**overrides) -> Transformer:
    model = Transformer(preset("tiny", overrides))
    initialise(model, 3)
    return model.eval()


def _norm(x, layer):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * layer.weight


def _plain_losses(model: Transformer, tokens: list[int]) -> tuple[float, float]:
    """Main and MTP sums for one sequence without padding, position by position."""
    ids = torch.tensor(tokens)
    valid = torch.ones(1, len(tokens), dtype=torch.bool)
    rope = rope_table(len(tokens), model.config.qk_rope_head_dim, model.config.rope_theta)
    h = model.embed(ids)[None]
    for layer in model.layers:
        h, _ = layer(h, rope, valid, None)
    main, mtp = 0.0, 0.0
    for i in range(len(tokens) - 1):
        main -= F.log_softmax(_norm(h[0, i], model.norm) @ model.head.weight.T, -1)[tokens[i + 1]].item()
    for k, module in enumerate(model.mtp, 1):
        joined = []
        for i in range(len(tokens) - k):  # eq 21
            parts = [_norm(h[0, i], module.hidden_norm), _norm(model.embed.weight[tokens[i + k]], module.embed_norm)]
            joined.append(torch.cat(parts) @ module.projection.weight.T)
        h, _ = module.block(torch.stack(joined)[None], rope[: len(joined)], valid[:, : len(joined)], None)  # eq 22
        for i in range(len(tokens) - k - 1):  # eq 23 and 24
            logits = _norm(h[0, i], module.norm) @ model.head.weight.T
            mtp -= F.log_softmax(logits, -1)[tokens[i + k + 1]].item()
    return main, mtp / len(model.mtp)


@pytest.mark.parametrize("depth", [1, 2])
def test_losses_equal_the_plain_equations(depth):
    model = _model(mtp_depth=depth)
    tokens = torch.randint(0, 256, (2, 12), generator=torch.Generator().manual_seed(0))
    actual = losses(model, tokens, torch.ones_like(tokens, dtype=torch.bool))
    expected = [_plain_losses(model, row) for row in tokens.tolist()]
    assert actual.main.item() == pytest.approx(sum(main for main, _ in expected), rel=1e-4)
    assert actual.mtp.item() == pytest.approx(sum(mtp for _, mtp in expected), rel=1e-4)


def test_padding_is_as_if_it_were_not_there():
    model = _model(mtp_depth=2)
    tokens = torch.randint(3, 256, (1, 12), generator=torch.Generator().manual_seed(0))
    padded = F.pad(tokens, (0, 5), value=2)
    valid = torch.arange(17).unsqueeze(0) < 12
    alone = losses(model, tokens, torch.ones_like(tokens, dtype=torch.bool))
    with_padding = losses(model, padded, valid)
    for a, b in zip(
        (alone.main, alone.mtp, alone.balance), (with_padding.main, with_padding.mtp, with_padding.balance), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)


def test_micro_batches_add_up_to_the_batch():
    model = _model()
    tokens = torch.randint(3, 256, (4, 16), generator=torch.Generator().manual_seed(0))
    valid = torch.arange(16) < torch.tensor([16, 3, 9, 16]).unsqueeze(1)
    count = int(valid[:, 1:].sum())

    def gradients(sizes):
        model.zero_grad()
        for part, mask in zip(tokens.split(sizes), valid.split(sizes), strict=True):
            losses(model, part, mask).total(count, 4, 0.3, 1e-2).backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    for whole, cut in zip(gradients([4]), gradients([1, 3]), strict=True):
        torch.testing.assert_close(whole, cut, rtol=1e-4, atol=1e-6)


def test_mtp_shares_embedding_and_head_and_trains_both():
    model = _model()
    names = [name for name, _ in model.named_parameters()]
    assert not any(name.startswith("mtp") and ("embed.weight" in name or "head" in name) for name in names)
    tokens = torch.randint(3, 256, (1, 16))
    losses(model, tokens, torch.ones_like(tokens, dtype=torch.bool)).mtp.backward()
    assert model.head.weight.grad.abs().sum() > 0 and model.embed.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("count", [5, 300])
def test_chunked_cross_entropy_equals_the_plain_one(count):
    torch.manual_seed(0)
    hidden = torch.randn(1, count, 16, requires_grad=True)
    head = torch.randn(40, 16, requires_grad=True)
    targets = torch.randint(0, 40, (1, count))
    targets[0, ::3] = IGNORED
    expected = F.cross_entropy((hidden @ head.T)[0], targets[0], reduction="sum", ignore_index=IGNORED)
    wanted = torch.autograd.grad(0.3 * expected, [hidden, head])
    actual = cross_entropy(hidden, head, targets)
    torch.testing.assert_close(actual, expected)
    for a, b in zip(torch.autograd.grad(0.3 * actual, [hidden, head]), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(cross_entropy(hidden, head, targets), expected)


def test_targets_skip_padding():
    tokens = torch.tensor([[5, 6, 7, 2, 2]])
    valid = torch.tensor([[True, True, True, False, False]])
    assert targets_ahead(tokens, valid, 1).tolist() == [[6, 7, IGNORED, IGNORED]]
    assert targets_ahead(tokens, valid, 2).tolist() == [[7, IGNORED, IGNORED]]


def test_weights_follow_from_seed_and_name():
    one, other, deeper = (
        Transformer(preset("tiny")),
        Transformer(preset("tiny")),
        Transformer(preset("tiny", {"n_layers": 3})),
    )
    initialise(one, 5), initialise(other, 6), initialise(deeper, 5)
    same = deeper.state_dict()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same[name])
    assert not torch.equal(one.head.weight, other.head.weight)
    drawn = torch.cat([p.flatten() for p in one.parameters() if p.dim() > 1])
    assert drawn.std().item() == pytest.approx(one.config.init_std, rel=0.02)
    assert all(bool((p == 1).all()) for p in one.parameters() if p.dim() == 1)


def test_logits_are_causal():
    model = _model()
    tokens = torch.randint(3, 256, (1, 10))
    changed = tokens.clone()
    changed[0, 6:] = 9
    torch.testing.assert_close(model.logits(tokens)[:, :6], model.logits(changed)[:, :6])
