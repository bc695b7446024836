"""Multi-token prediction (section 2.2): modules that look one token further each, in a chain.

Module k combines the representation of token i with the embedding of token i+k, runs one transformer layer of its
own, and predicts token i+k+1 through the main model's embedding and output head, which it shares. It densifies the
training signal and is dropped (or used to draft) when decoding. Cost at V3's size: 4 % more operations a token; in
a small model, whose output head is most of the work, close to twice as many.

The report leaves open whether a representation enters before or after the final norm: here before it, since the
module has a norm of its own for it. Its output passes a norm of its own before the shared head, as in the released
weights.
"""

import torch
from torch import Tensor, nn

from corpusmill.training.model.config import ModelConfig
from corpusmill.training.model.matrices import PLAIN, Matrices
from corpusmill.training.model.recompute import remade


class MTPModule(nn.Module):
    """One prediction depth k (eq 21 to 23), around a transformer layer that has the hidden layers' structure."""

    def __init__(self, config: ModelConfig, block: nn.Module, matrices: Matrices = PLAIN) -> None:
        super().__init__()
        self.hidden_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.embed_norm = nn.RMSNorm(config.dim, config.norm_eps)
        self.projection = matrices.linear(2 * config.dim, config.dim)
        self.block = block
        self.norm = nn.RMSNorm(config.dim, config.norm_eps)

    def forward(
        self, hidden: Tensor, ahead: Tensor, rope: Tensor, valid: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Goes one token further.

        Args:
            hidden: h_i^{k-1} [B, T-k, D].
            ahead: embeddings of tokens i+k [B, T-k, D].
            rope: table for T-k positions.
            valid: [B, T-k], false where token i+k is padding.
            mask: as for attention.

        Returns:
            h_i^k [B, T-k, D] for the next module, the same normalised for the shared head, and the balance loss.
        """
        joined = torch.cat([remade(self.hidden_norm, hidden), remade(self.embed_norm, ahead)], -1)
        out, balance = self.block(self.projection(joined), rope, valid, mask)
        return out, remade(self.norm, out), balance
