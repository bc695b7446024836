"""The closed forms of activations against all that is alive after a real forward pass, with and without recomputation.

What is alive is found without asking the model: each operation's results are seen as they are born (a dispatch mode),
and those count whose storage still exists when nothing but the loss is held.
"""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from corpusmill.training.fp8 import network
from corpusmill.training.fp8.operands import Recipe
from corpusmill.training.fp8.policy import Fp8Matrices
from corpusmill.training.fp8.reference import Emulated
from corpusmill.training.model.activations import Numerics, activations, expert_row, logit_rows, workspace
from corpusmill.training.model.config import ModelConfig, preset
from corpusmill.training.model.loss import GPU_CHUNKING, losses
from corpusmill.training.model.matrices import PLAIN
from corpusmill.training.model.transformer import Transformer, build_model, initialise
from corpusmill.training.precision import TYPES, compute_types, set_compute_weight

CASES = [
    (preset("tiny"), 2, 64),
    (preset("tiny", {"mtp_depth": 0}), 1, 64),
    (preset("tiny", {"mtp_depth": 2, "q_lora_rank": 0, "n_shared_experts": 2}), 3, 48),
    (preset("tiny", {"n_dense_layers": 2, "n_layers": 3, "n_shared_experts": 0, "n_activated_experts": 4}), 2, 24),
    (preset("quickstart"), 2, 32),  # values as wide as keys
    (preset("laptop"), 2, 48),
]


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


def _fused_cross_entropy(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """The operator that serves on GPUs."""
    return F.linear_cross_entropy(
        hidden.flatten(0, 1),
        head,
        targets.flatten(),
        reduction="sum",
        options=torch.nn.LinearCrossEntropyOptions(chunking_method=GPU_CHUNKING),
    )


class Alive(TorchDispatchMode):
    """Bytes of storages that were born within it and still exist; those of `before` were there before."""

    def __init__(self, before: list[Tensor]) -> None:
        super().__init__()
        storages = [tensor.untyped_storage() for tensor in before]
        self.born = {storage._cdata: (StorageWeakRef(storage), 0) for storage in storages}
        self.peak: int | None = None

    def __torch_dispatch__(self, operator: Any, types: Any, inputs: Any = (), options: Any = None) -> Any:
        results = operator(*inputs, **(options or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor):
                storage = result.untyped_storage()
                self.born.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        if self.peak is not None:
            self.peak = max(self.peak, self.bytes())
        return results

    def bytes(self) -> int:
        """What is gone is forgotten, or each look would go through all that ever was."""
        self.born = {key: born for key, born in self.born.items() if not born[0].expired()}
        return sum(size for _, size in self.born.values())


def _model(config: ModelConfig, precision: str, recompute: bool) -> Transformer:
    """A model as the trainer computes with it."""
    matrices = Fp8Matrices(Recipe(Emulated())) if precision == "fp8" else PLAIN
    model = build_model(config, recompute=recompute, matrices=matrices)
    initialise(model, 0)
    types = compute_types(model, precision)
    for name, parameter in model.named_parameters():
        set_compute_weight(parameter, parameter.detach().to(types[name]))
        parameter.grad = torch.zeros_like(parameter, dtype=torch.float32)
    return model.train()


def _kept_and_peak(
    config: ModelConfig, sequences: int, length: int, precision: str, recompute: bool, backward: bool
) -> tuple[int, int]:
    """Bytes alive after the forward pass, and most of them at any time to the end of the backward pass."""
    model = _model(config, precision, recompute)
    tokens = torch.randint(0, config.vocab_size, (sequences, length))
    valid = torch.ones_like(tokens, dtype=torch.bool)
    before = [
        *model.parameters(),
        *(parameter.grad for parameter in model.parameters()),
        *model.buffers(),
        tokens,
        valid,
    ]
    with Alive(before) as alive:
        loss = losses(model, tokens, valid).total(sequences * (length - 1), sequences, 0.3, 1e-4)
        kept = alive.bytes() - loss.nbytes + tokens.nbytes
        if backward:
            alive.peak = alive.bytes()
            loss.backward()
            del loss
            assert alive.bytes() == 0, "what the backward pass made again is gone"
    return kept, alive.peak or 0


def _recorded_alignments(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The alignments that FP8's experts make from now on."""
    made = []
    align = network.align
    monkeypatch.setattr(network, "align", lambda *arguments: made.append(align(*arguments)) or made[-1])
    return made


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("fused", [False, True], ids=["as on cpus", "as on gpus"])
@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize(("config", "sequences", "length"), CASES)
def test_forms_are_what_a_forward_pass_leaves_to_the_byte(
    config, sequences, length, precision, fused, recompute, monkeypatch
):
    if fused:
        monkeypatch.setattr(F, "rms_norm", lambda x, shape, weight, eps: _FusedNorm.apply(x, weight, eps))
        monkeypatch.setattr("corpusmill.training.model.loss.cross_entropy", _fused_cross_entropy)
    alignments = _recorded_alignments(monkeypatch)
    numerics = Numerics(TYPES[precision].itemsize, fused, precision == "fp8")
    parts = activations(config, sequences, length, numerics).values()
    kept, _ = _kept_and_peak(config, sequences, length, precision, recompute, backward=False)
    # Of empty places between experts the form takes the usual number.
    empty = sum(alignment.length - len(alignment.places) for alignment in alignments)
    more = empty - 64 * config.n_routed_experts * len(alignments)
    form = sum(part.bytes(recompute) for part in parts)
    assert kept == form + more * expert_row(config, numerics).bytes(recompute)


@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize(("config", "sequences", "length"), CASES[::3])
def test_recomputing_takes_no_more_room_than_the_form_has_for_it(config, sequences, length, precision):
    kept, peak = zip(
        *(_kept_and_peak(config, sequences, length, precision, again, backward=True) for again in (False, True)),
        strict=True,
    )
    numerics = Numerics(TYPES[precision].itemsize, fused_norms=False, fp8=precision == "fp8")
    in_passing = peak[0] - kept[0]  # gradients, which the form leaves out
    assert peak[1] < peak[0]
    assert peak[1] - kept[1] - in_passing <= workspace(config, sequences, length, numerics, recompute=True)


def test_recomputation_saves_two_fifths_of_v3s_activations():
    config = preset("v3-671b")
    parts = activations(config, 1, 4096, Numerics())
    saved = 1 - sum(part.selective for part in parts.values()) / sum(part.plain for part in parts.values())
    assert round(saved, 1) == 0.4


@pytest.mark.parametrize("name", ["v3-671b", "h200-small", "laptop", "tiny", "v3-slice"])
@pytest.mark.parametrize("tokens", [1, 63, 4096, 32_768])
def test_a_chunk_of_logits_on_gpus_has_torchs_rows(name: str, tokens: int):
    config = preset(name)
    chosen = torch.nn.LinearCrossEntropyOptions(chunking_method=GPU_CHUNKING)._adjust(
        tokens, config.dim, config.vocab_size, torch.bfloat16, torch.device("cuda")
    )
    assert logit_rows(config, tokens) == chosen.batch_chunk_size


def test_recomputing_needs_room_for_one_layer():
    config = preset("h200-small")
    plain, again = (workspace(config, 4, 4096, Numerics(), recompute) for recompute in (False, True))
    assert plain == 4 * config.vocab_size * logit_rows(config, 4 * 4096)
    assert again > plain
