"""MTP against the report's equations 21 to 25, written out position by position, head by head and expert by expert.

The reference shares no forward code with `training/`: it takes the model's weights and lists of vectors. What it covers
besides the equations is what the code adds to them: padding counts nowhere; with a document mask a module's position i
sees earlier positions of token i's document, and predictions across a document's end count as any other, in MTP as in
the main model.
"""

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from corpusmill.training.model.attention import document_mask
from corpusmill.training.model.config import ModelConfig, preset
from corpusmill.training.model.loss import losses
from corpusmill.training.model.moe import MoE
from corpusmill.training.model.transformer import Block, Transformer, initialise

LAMBDA = 0.3


def _norm(x: Tensor, layer: torch.nn.RMSNorm) -> Tensor:
    return x / torch.sqrt((x * x).mean() + 1e-6) * layer.weight


def _turned(x: Tensor, position: int, config: ModelConfig) -> Tensor:
    """RoPE of one vector: neighbouring numbers are one complex number, times e^(i angle)."""
    turned = []
    for pair in range(len(x) // 2):
        angle = torch.tensor(position * config.rope_theta ** (-2 * pair / len(x)))
        even, odd = x[2 * pair], x[2 * pair + 1]
        turned += [even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()]
    return torch.stack(turned)


def _attention(block: Block, stream: list[Tensor], documents: list[int]) -> list[Tensor]:
    """Eq 1 to 11, the queries of one position at a time."""
    attn, c = block.attn, block.attn.config
    keys, values = [], []
    for position, x in enumerate(stream):
        compressed = attn.wkv_a.weight @ x
        latent, shared = compressed[: c.kv_lora_rank], _turned(compressed[c.kv_lora_rank :], position, c)
        expanded = (attn.wkv_b.weight @ _norm(latent, attn.kv_norm)).view(c.n_heads, -1)
        keys.append([torch.cat([head[: c.qk_nope_head_dim], shared]) for head in expanded])
        values.append([head[c.qk_nope_head_dim :] for head in expanded])
    outs = []
    for position, x in enumerate(stream):
        queries = (attn.wq_b.weight @ _norm(attn.wq_a.weight @ x, attn.q_norm)).view(c.n_heads, -1)
        seen = [other for other in range(position + 1) if documents[other] == documents[position]]
        heads = []
        for number, query in enumerate(queries):
            turned = (
                torch.cat([query[: c.qk_nope_head_dim], _turned(query[c.qk_nope_head_dim :], position, c)])
                / (c.qk_nope_head_dim + c.qk_rope_head_dim) ** 0.5
            )
            weights = torch.stack([turned @ keys[other][number] for other in seen]).softmax(0)
            heads.append(sum(weight * values[other][number] for weight, other in zip(weights, seen, strict=True)))
        outs.append(attn.wo.weight @ torch.cat(heads))
    return outs


def _chosen(keys: list[float], config: ModelConfig) -> list[int]:
    """The highest keys within the groups whose own best keys sum to most."""
    size = config.n_routed_experts // config.n_expert_groups
    best = config.n_activated_experts // config.n_limited_groups
    groups = [range(start, start + size) for start in range(0, config.n_routed_experts, size)]
    groups.sort(key=lambda group: sum(sorted(keys[expert] for expert in group)[-best:]))
    reachable = [expert for group in groups[-config.n_limited_groups :] for expert in group]
    return sorted(reachable, key=lambda expert: keys[expert])[-config.n_activated_experts :]


def _experts(moe: MoE, x: Tensor) -> Tensor:
    """Eq 12 to 16 for one token."""
    shared, routed = moe.shared_experts, moe.experts
    assert shared is not None
    scores = torch.sigmoid(moe.gate.weight @ x)
    chosen = _chosen((scores + moe.gate.bias).tolist(), moe.config)
    out = shared.w2.weight @ (F.silu(shared.w1.weight @ x) * (shared.w3.weight @ x))
    total = sum(scores[expert] for expert in chosen)
    for expert in chosen:
        inner = F.silu(routed.w1[expert] @ x) * (routed.w3[expert] @ x)
        out = out + moe.config.route_scale * scores[expert] / total * (routed.w2[expert] @ inner)
    return out


def _layer(block: Block, stream: list[Tensor], documents: list[int]) -> list[Tensor]:
    attended = _attention(block, [_norm(x, block.attn_norm) for x in stream], documents)
    outs = []
    for x, change in zip(stream, attended, strict=True):
        x = x + change
        normed, ffn = _norm(x, block.ffn_norm), block.ffn
        if isinstance(ffn, MoE):
            outs.append(x + _experts(ffn, normed))
        else:
            outs.append(x + ffn.w2.weight @ (F.silu(ffn.w1.weight @ normed) * (ffn.w3.weight @ normed)))
    return outs


@dataclass
class Predicted:
    """Of the main model (depth 0) and of each MTP module."""

    hidden: list[Tensor]
    """h^k [T-k, D]."""
    logits: list[Tensor]
    """[T-k, V]."""


def _reference(model: Transformer, tokens: list[int], documents: list[int]) -> Predicted:
    """One sequence without padding, through the main model and eq 21 to 23."""
    stream = [model.embed.weight[token] for token in tokens]
    for layer in model.layers:
        stream = _layer(layer, stream, documents)
    actual = Predicted([torch.stack(stream)], [torch.stack([model.head.weight @ _norm(h, model.norm) for h in stream])])
    for k, module in enumerate(model.mtp, 1):
        joined = []
        for i in range(len(tokens) - k):  # eq 21
            ahead = model.embed.weight[tokens[i + k]]
            both = torch.cat([_norm(stream[i], module.hidden_norm), _norm(ahead, module.embed_norm)])
            joined.append(module.projection.weight @ both)
        stream = _layer(module.block, joined, documents[: len(joined)])  # eq 22
        actual.hidden.append(torch.stack(stream))
        actual.logits.append(torch.stack([model.head.weight @ _norm(h, module.norm) for h in stream]))  # eq 23
    return actual


def _reference_loss(model: Transformer, rows: list[tuple[list[int], list[int]]]) -> Tensor:
    """Cross-entropy of the batch and eq 24 and 25: every depth's sum is divided by the count of next tokens."""
    count = sum(len(tokens) - 1 for tokens, _ in rows)
    total = torch.zeros(())
    for tokens, documents in rows:
        actual = _reference(model, tokens, documents)
        for k, logits in enumerate(actual.logits):
            weight = LAMBDA / len(model.mtp) if k else 1.0
            for i in range(len(tokens) - k - 1):
                total = total - weight * logits[i].log_softmax(-1)[tokens[i + k + 1]]
    return total / count


def _model(depth: int) -> Transformer:
    """`tiny`, with norms and biases that are not what they start as."""
    model = Transformer(preset("tiny", {"mtp_depth": depth, "vocab_size": 40}))
    initialise(model, 3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("gate.bias"):
                tensor.normal_(0.0, 0.2, generator=generator)
            elif tensor.dim() == 1 and tensor.is_floating_point():
                tensor.normal_(1.0, 0.2, generator=generator)
            elif tensor.dim() > 1:
                tensor *= 2.0
    return model.eval()


LENGTHS = (12, 9)
"""Tokens of two sequences that are padded to 12."""
DOCUMENTS = ([0] * 5 + [1] * 7, [0] * 4 + [1] * 2 + [2] * 3)


def _batch() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, validity and segment numbers [2, 12]."""
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(3, 40, (2, 12), generator=generator)
    valid = torch.arange(12) < torch.tensor(LENGTHS).unsqueeze(1)
    segments = torch.tensor([[*row, *[-1] * (12 - len(row))] for row in DOCUMENTS])
    return tokens.masked_fill(~valid, 2), valid, segments


def _rows(tokens: Tensor, masked: bool) -> list[tuple[list[int], list[int]]]:
    """Each sequence's tokens and documents; without a mask all is one document."""
    return [
        (row[:length].tolist(), documents if masked else [0] * length)
        for row, length, documents in zip(tokens, LENGTHS, DOCUMENTS, strict=True)
    ]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("depth", [1, 2])
def test_hidden_states_and_logits_of_every_depth_equal_the_equations(depth: int, masked: bool):
    model = _model(depth)
    tokens, valid, segments = _batch()
    hidden: list[Tensor] = []
    for module in model.mtp:
        module.register_forward_hook(lambda _, __, out: hidden.append(out[0]))
    with torch.no_grad():
        out = model(tokens, valid, document_mask(segments) if masked else None)
        references = [_reference(model, *row) for row in _rows(tokens, masked)]
    normalised = [out.main, *out.mtp]
    for number, (expected, length) in enumerate(zip(references, LENGTHS, strict=True)):
        for k in range(depth + 1):
            actual = normalised[k][number, : length - k] @ model.head.weight.T
            torch.testing.assert_close(actual, expected.logits[k], rtol=1e-4, atol=1e-5)
            if k:
                torch.testing.assert_close(
                    hidden[k - 1][number, : length - k], expected.hidden[k], rtol=1e-4, atol=1e-5
                )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("depth", [1, 2])
def test_the_loss_and_the_gradients_of_all_weights_equal_those_of_the_equations(depth: int, masked: bool):
    model = _model(depth)
    tokens, valid, segments = _batch()
    actual = losses(model, tokens, valid, document_mask(segments) if masked else None)
    total = actual.total(sum(LENGTHS) - 2, 2, LAMBDA, 0.0)
    expected = _reference_loss(model, _rows(tokens, masked))
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)

    names, weights = zip(*model.named_parameters(), strict=True)
    assert not any("mtp" in name and ("embed.weight" in name or "head" in name) for name in names)
    ours = torch.autograd.grad(total, weights)
    theirs = torch.autograd.grad(expected, weights)
    for name, a, b in zip(names, ours, theirs, strict=True):
        assert (a - b).norm() <= 1e-4 * b.norm() + 1e-6, name


def test_a_document_mask_hides_other_documents_from_mtp_too():
    model = _model(1)
    tokens, valid, segments = _batch()
    changed = tokens.clone()
    changed[0, :4] = 17
    with torch.no_grad():
        plain = model(tokens, valid, document_mask(segments)).mtp[0][0]
        other = model(changed, valid, document_mask(segments)).mtp[0][0]
        unmasked = model(changed, valid).mtp[0][0]
    torch.testing.assert_close(plain[5:], other[5:])
    assert not torch.allclose(plain[:4], other[:4]) and not torch.allclose(plain[5:], unmasked[5:])
