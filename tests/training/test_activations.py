"""The closed forms of activations against every storage that autograd saves in a real forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.activations import Numerics, activations, logit_rows, prediction, workspace
from training.config import ModelConfig, preset
from training.feedforward import FeedForward
from training.loss import losses
from training.model import Transformer, build_model, initialise
from training.moe import Gate

CASES = [
    (preset("tiny"), 2, 64),
    (preset("tiny", {"mtp_depth": 0}), 1, 64),
    (preset("tiny", {"mtp_depth": 2, "q_lora_rank": 0, "n_shared_experts": 2}), 3, 48),
    (preset("tiny", {"n_dense_layers": 2, "n_layers": 3, "n_shared_experts": 0, "n_activated_experts": 4}), 2, 24),
    (preset("quickstart"), 2, 32),  # values as wide as keys
    (preset("laptop"), 2, 48),
]
NUMBERS = {torch.float32: 4, torch.bfloat16: 2}


class _FusedNorm(torch.autograd.Function):
    """RMSNorm that keeps what a GPU's kernel keeps: its input and one FP32 number a vector."""

    @staticmethod
    def forward(ctx, x, weight, eps):
        root = (x.float().square().mean(-1, keepdim=True) + eps).rsqrt()
        ctx.save_for_backward(x, weight, root)
        return (x.float() * root).to(x.dtype) * weight

    @staticmethod
    def backward(ctx, *gradients):
        raise NotImplementedError


class Saved:
    """Storages that autograd saved, by address, and which of them selective recomputation would make again."""

    def __init__(self, model: Transformer) -> None:
        self.bytes: dict[int, int] = {}
        self.recomputed: set[int] = set()
        self.alive: list[Tensor] = []
        self.norm_input: int | None = None
        self.gate_input: torch.Size | None = None
        self.own = {_address(each) for each in [*model.parameters(), *model.buffers()]}

    def keep(self, tensor: Tensor) -> Tensor:
        address = _address(tensor)
        if address in self.own:
            return tensor
        self.alive.append(tensor)  # or another tensor might get its address
        self.bytes[address] = tensor.untyped_storage().nbytes()
        if self.norm_input is not None and address != self.norm_input:
            self.recomputed.add(address)
        if tensor.shape == self.gate_input:  # its copy in FP32
            self.recomputed.add(address)
        return tensor

    def again(self, *tensors: Tensor) -> None:
        self.alive += tensors
        self.recomputed |= {_address(tensor) for tensor in tensors}

    def total(self, recompute: bool) -> int:
        return sum(size for address, size in self.bytes.items() if not (recompute and address in self.recomputed))


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@contextmanager
def watched(model: Transformer, monkeypatch: pytest.MonkeyPatch, fused: bool) -> Iterator[Saved]:
    """Notes what is saved, and which of it is a norm's or SwiGLU's output or an expanded query, key or value."""
    saved = Saved(model)
    norm, attention, silu, grouped = F.rms_norm, F.scaled_dot_product_attention, F.silu, F.grouped_mm

    def noted_norm(x, shape, weight, eps):
        saved.norm_input = _address(x)
        out = _FusedNorm.apply(x, weight, eps) if fused else norm(x, shape, weight, eps)
        saved.norm_input = None
        saved.again(out)
        return out

    def noted_attention(query, key, value, **options):
        saved.again(query, key, value)
        return attention(query, key, value, **options)

    def noted_silu(x):
        out = silu(x)
        saved.again(out)
        return out

    def noted_grouped(rows, matrices, offs):
        if rows.shape[-1] == model.config.moe_inter_dim:
            saved.again(rows)
        return grouped(rows, matrices, offs=offs)

    def enter_gate(_, inputs):
        saved.gate_input = inputs[0].shape

    def leave_gate(*_):
        saved.gate_input = None

    monkeypatch.setattr(F, "rms_norm", noted_norm)
    monkeypatch.setattr(F, "scaled_dot_product_attention", noted_attention)
    monkeypatch.setattr(F, "silu", noted_silu)
    monkeypatch.setattr(F, "grouped_mm", noted_grouped)
    for module in model.modules():
        if isinstance(module, FeedForward):
            module.w2.register_forward_pre_hook(lambda _, inputs: saved.again(*inputs))
        if isinstance(module, Gate):
            module.register_forward_pre_hook(enter_gate)
            module.register_forward_hook(leave_gate)
    with torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda tensor: tensor):
        yield saved
    monkeypatch.undo()


def gradients_of_the_head(loss: Tensor) -> int:
    """Bytes that the chunked cross-entropies keep on their nodes, past the hooks."""
    found, done, waiting = 0, set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in done:
            continue
        done.add(node)
        kept = [getattr(node, name, None) for name in ("_gi", "_gw")]
        found += sum(each.untyped_storage().nbytes() for each in kept if isinstance(each, Tensor))
        waiting += [before for before, _ in node.next_functions]
    return found


def measured(
    config: ModelConfig, sequences: int, length: int, kind: torch.dtype, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, int, int]:
    """(bytes saved, those less what is recomputed, bytes of the cross-entropies) of one forward pass."""
    model = build_model(config)
    initialise(model, 0)
    model = model.to(kind).train()
    tokens = torch.randint(0, config.vocab_size, (sequences, length))
    with watched(model, monkeypatch, fused) as saved:
        found = losses(model, tokens, torch.ones_like(tokens, dtype=torch.bool))
        loss = found.total(sequences * (length - 1), sequences, 0.3, 1e-4)
    return saved.total(False), saved.total(True), gradients_of_the_head(loss)


@pytest.mark.parametrize("fused", [False, True], ids=["cpu norms", "fused norms"])
@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize(("config", "sequences", "length"), CASES)
def test_forms_are_what_autograd_saves_to_the_byte(config, sequences, length, kind, fused, monkeypatch):
    numerics = Numerics(NUMBERS[kind], fused)
    plain, selective, heads = measured(config, sequences, length, kind, fused, monkeypatch)
    parts = activations(config, sequences, length, numerics).values()
    predicted = [
        prediction(config, sequences * (length - distance), numerics).plain
        for distance in range(1, config.mtp_depth + 2)
    ]
    assert heads == sum(predicted)
    assert plain == sum(part.plain for part in parts) - heads
    if fused or kind == torch.float32:  # else norms save copies of their inputs, and what would be kept isn't saved
        assert selective == sum(part.selective for part in parts) - heads


def test_recomputation_saves_two_fifths_of_v3s_activations():
    config = preset("v3-671b")
    parts = activations(config, 1, 4096, Numerics())
    saved = 1 - sum(part.selective for part in parts.values()) / sum(part.plain for part in parts.values())
    assert round(saved, 1) == 0.4


@pytest.mark.parametrize("name", ["v3-671b", "h200-small", "laptop", "tiny", "v3-slice"])
@pytest.mark.parametrize("tokens", [1, 63, 4096, 32_768])
def test_a_chunk_of_logits_on_gpus_has_torchs_rows(name: str, tokens: int):
    config = preset(name)
    chosen = torch.nn.LinearCrossEntropyOptions()._adjust(
        tokens, config.dim, config.vocab_size, torch.bfloat16, torch.device("cuda")
    )
    assert logit_rows(config, tokens) == chosen.batch_chunk_size


def test_recomputing_needs_room_for_one_layer():
    config = preset("h200-small")
    plain, again = (workspace(config, 4, 4096, Numerics(), recompute) for recompute in (False, True))
    assert plain == 4 * config.vocab_size * logit_rows(config, 4 * 4096)
    assert again > plain
