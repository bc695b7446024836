"""What decoding keeps of the tokens it has seen: MLA's latents, d_c + R numbers a token and layer.

Keys and values of all heads follow from the normalised latent (d_c numbers), and the one RoPE key of a token (R
numbers, already turned) serves all heads, so nothing else is kept (section 2.1.1: "only the vectors in blue"). Rows of
a batch have lengths of their own; what lies beyond a row's length is overwritten before it is seen.

Cost: rows x tokens x layers x (d_c + R) x bytes of the number format, allocated once. For V3's 61 layers in BF16 that
is 70 KB a token, where keys and values of 128 heads would be 3.9 MB. MTP's module, when it drafts, is one layer more.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from corpusmill.training.model.config import ModelConfig


class LatentCache:
    """Latents of B rows with room for S tokens each.

    Args:
        config: of the model.
        rows: B.
        capacity: S.
        layers: how many layers keep something: the model's, and one for each MTP module that drafts.
        dtype: of the numbers.
        device: where they are.
    """

    def __init__(
        self,
        config: ModelConfig,
        rows: int,
        capacity: int,
        layers: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        width = config.kv_lora_rank + config.qk_rope_head_dim
        self.numbers = torch.zeros(layers, rows, capacity, width, dtype=dtype, device=device)
        """[layers, B, S, d_c + R]: normalised latent, then the turned RoPE key."""
        self.lengths = [0] * rows
        """Tokens of each row that are seen by what comes next."""

    @property
    def rows(self) -> int:
        """B."""
        return len(self.lengths)

    @property
    def capacity(self) -> int:
        """S."""
        return self.numbers.shape[2]

    def positions(self, width: int) -> Tensor:
        """Where the next `width` tokens of each row go: int64 [B, width]."""
        device = self.numbers.device
        starts = torch.tensor(self.lengths, dtype=torch.int64, device=device)
        return starts[:, None] + torch.arange(width, device=device)

    def write(self, layer: int, positions: Tensor, latents: Tensor) -> Tensor:
        """Puts latents [B, T, d_c + R] at positions [B, T] of a layer; returns the layer, [B, S, d_c + R]."""
        kept = self.numbers[layer]
        if positions.shape[0] == 1:
            start = self.lengths[0]
            kept[0, start : start + latents.shape[1]] = latents[0]
        else:
            kept[torch.arange(positions.shape[0], device=kept.device)[:, None], positions] = latents
        return kept

    def keep(self, rows: Sequence[int]) -> None:
        """Forgets all rows but these."""
        self.numbers = self.numbers[:, torch.tensor(rows, dtype=torch.int64, device=self.numbers.device)]
        self.lengths = [self.lengths[row] for row in rows]
