"""The DeepSeek-V3 transformer: embedding, layers of MLA and (expert) networks, final norm, output head, MTP modules.

Pre-norm residual layers; input and output embeddings are two tables; every matrix starts from N(0, init_std) (section
4.2) and every norm from 1. Each matrix draws from a stream of its own, keyed by seed and name, so weights don't depend
on the order in which modules were made, nor on torch's global generator.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from corpusmill.dataproc.randomness import random_key
from corpusmill.training.model.attention import MLA
from corpusmill.training.model.config import ModelConfig
from corpusmill.training.model.drawing import draw_normal
from corpusmill.training.model.feedforward import FeedForward
from corpusmill.training.model.matrices import PLAIN, Matrices
from corpusmill.training.model.moe import MoE, routers, slices
from corpusmill.training.model.mtp import MTPModule
from corpusmill.training.model.placement import HERE, Placement
from corpusmill.training.model.recompute import recomputation, remade
from corpusmill.training.model.rope import model_rope_table


class Block(nn.Module):
    """One layer: x + attention(norm x), then x + network(norm x)."""

    def __init__(
        self, config: ModelConfig, dense: bool, matrices: Matrices = PLAIN, placement: Placement = HERE
    ) -> None:
        super().__init__()
        self.attn_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.attn = MLA(config, matrices)
        self.ffn_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.ffn: FeedForward | MoE
        self.ffn = FeedForward(config.dim, config.inter_dim, matrices) if dense else MoE(config, matrices, placement)

    def forward(self, x: Tensor, rope: Tensor, valid: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """[B, T, D] to ([B, T, D], balance loss, which is 0 in a dense layer)."""
        x = self.attention(x, rope, mask)
        normed = remade(self.ffn_norm, x)
        if isinstance(self.ffn, MoE):
            out, balance = self.ffn(normed, valid)
        else:
            out, balance = self.ffn(normed), x.new_zeros((), dtype=torch.float32)
        return x + out, balance

    def attention(self, x: Tensor, rope: Tensor, mask: Tensor | None) -> Tensor:
        """The first half of a layer; the parts of the other are `MoE.dispatch`, `MoE.compute` and `MoE.combine`."""
        return x + self.attn(remade(self.attn_norm, x), rope, mask)


@dataclass(frozen=True)
class Representations:
    """What a forward pass gives, ready for the output head."""

    main: Tensor
    """[B, T, D]: predicts the next token."""
    mtp: list[Tensor]
    """[B, T-k, D] of each depth k = 1, 2, …: predicts token i+k+1."""
    balance: Tensor
    """Balance loss without alpha, summed over sequences and layers."""


class Transformer(nn.Module):
    """The whole model. Weights are undefined until `initialise` or a checkpoint fills them.

    Args:
        config: its shape.
        recompute: whether norms, MLA's up-projections and SwiGLU are computed again in the backward pass instead of
            kept (`training/model/recompute.py`); changes no number.
        matrices: what makes and multiplies the matrices of its layers.
        placement: where routed experts are.
    """

    def __init__(
        self,
        config: ModelConfig,
        recompute: bool = False,
        matrices: Matrices = PLAIN,
        placement: Placement = HERE,
    ) -> None:
        super().__init__()
        self.config = config
        self.recompute = recompute
        self.embed = nn.Embedding(config.vocab_size, config.dim)
        self.layers = nn.ModuleList(
            Block(config, layer < config.n_dense_layers, matrices, placement) for layer in range(config.n_layers)
        )
        self.norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.head = nn.Linear(config.dim, config.vocab_size, bias=False)
        self.mtp = nn.ModuleList(
            MTPModule(config, Block(config, False, matrices, placement), matrices) for _ in range(config.mtp_depth)
        )
        self.router_rows = list(range(len(routers(self))))
        """Numbers of the routers that are here among all of the model's."""

    def forward(
        self, tokens: Tensor, valid: Tensor | None = None, mask: Tensor | None = None, mtp: bool = True
    ) -> Representations:
        """Runs tokens [B, T] int64 through the model.

        Args:
            tokens: ids.
            valid: [B, T], false for padding at the end of sequences; none: all are valid.
            mask: from `document_mask`; none: causal over the whole sequence.
            mtp: whether to run the MTP modules as well.
        """
        with recomputation(self.recompute):
            return self._run(tokens, valid, mask, mtp)

    def _run(self, tokens: Tensor, valid: Tensor | None, mask: Tensor | None, mtp: bool) -> Representations:
        if valid is None:
            valid = torch.ones_like(tokens, dtype=torch.bool)
        embedded = self.embed(tokens)
        rope = self.rope_for(embedded)
        x, balance = self.run_layers(embedded, range(self.config.n_layers), rope, valid, mask)
        return self.finish(x, embedded, balance, rope, valid, mask, mtp)

    def rope_for(self, x: Tensor) -> Tensor:
        """The RoPE table of [B, T, D]: made once a forward pass, which keeps it for the backward pass."""
        return model_rope_table(self.config, x.shape[1], x.device)

    def run_layers(
        self, x: Tensor, layers: Iterable[int], rope: Tensor, valid: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """[B, T, D] through some of the layers: ([B, T, D], their balance loss)."""
        balance = x.new_zeros((), dtype=torch.float32)
        for layer in layers:
            x, layer_balance = self.layers[layer](x, rope, valid, mask)
            balance = balance + layer_balance
        return x, balance

    def finish(
        self,
        x: Tensor,
        embedded: Tensor | None,
        balance: Tensor,
        rope: Tensor,
        valid: Tensor,
        mask: Tensor | None,
        mtp: bool,
    ) -> Representations:
        """What follows the last layer: MTP modules, which look at the embeddings of the tokens again, and the norm."""
        heads, hidden = [], x
        for depth, module in enumerate(self.mtp if mtp else [], 1):
            assert embedded is not None
            length = x.shape[1] - depth
            hidden, normalised, layer_balance = module(
                hidden[:, :length],
                embedded[:, depth:],
                rope[:length],
                valid[:, depth:],
                None if mask is None else mask[..., :length, :length],
            )
            heads.append(normalised)
            balance = balance + layer_balance
        return Representations(remade(self.norm, x), heads, balance)

    def logits(self, tokens: Tensor) -> Tensor:
        """Next-token logits [B, T, V] of tokens [B, T]: for small inputs; training never builds them whole."""
        return self.head(self(tokens, mtp=False).main)


def build_model(
    config: ModelConfig,
    device: torch.device | str = "cpu",
    recompute: bool = False,
    matrices: Matrices = PLAIN,
    placement: Placement = HERE,
) -> Transformer:
    """A model with undefined weights and zero buffers; arguments as for `Transformer`.

    Made without memory first, so torch's own initialisation neither costs time nor draws from its global generator.
    """
    with torch.device("meta"):
        model = Transformer(config, recompute, matrices, placement)
    return give_memory(model, device)


Model = TypeVar("Model", bound=Transformer)


def give_memory(model: Model, device: torch.device | str) -> Model:
    """A model that was made without memory, with undefined weights and zero buffers on a device."""
    model.to_empty(device=device)
    for buffer in model.buffers():
        buffer.zero_()
    return model


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> None:
    """Gives every matrix N(0, init_std) from the stream of (seed, "init", its name), every norm 1, every buffer 0.

    Of a tensor that is spread over ranks, each draws the part that it has, to the same bits as whoever draws it whole.
    """
    generator, parts = torch.Generator(), slices(model)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.fill_(1.0)
            continue
        generator.manual_seed(random_key(seed, "init", name))
        shape, start = parameter.shape, 0
        if name in parts:
            shape, start = torch.Size(parts[name].shape), parts[name].start * parameter[0].numel()
        draw_normal(parameter.view(-1), generator, model.config.init_std, start, shape.numel())
    for buffer in model.buffers():
        buffer.zero_()


def parameter_names(model: Transformer) -> list[str]:
    """Names of all parameters in order, also of layers that this rank does not have."""
    with torch.device("meta"):
        return [name for name, _ in Transformer(model.config).named_parameters()]


@torch.no_grad()
def fill(model: Transformer, values: Mapping[str, Tensor]) -> None:
    """Copies weights and router biases of a whole model into one that may have a part of it."""
    parts = slices(model)
    for name, tensor in model.state_dict().items():
        rows = parts[name].start if name in parts else 0
        tensor.copy_(values[name][rows : rows + len(tensor)])
