"""Batches as the keyword arguments that models of transformers take, so that no document sees another.

`ModelInputs` is a collate function: `DataLoader(loader, batch_size=None, collate_fn=ModelInputs())` makes the tensors
in the workers, and `model(**inputs)` gives a loss in which each document is as if it stood alone. Which of the ways
keeps documents apart depends on the model's attention:

    position_ids     alone: transformers finds the documents by them (sdpa, eager, flex), and so does flash attention
                     where the batch is one row (`flat`). Any attention_mask beside them would switch that off.
    document_mask    attention_mask, bool [B, 1, T, T]: for sdpa, and models that do not look at position_ids
    cu_seqlens       cu_seq_lens_q, cu_seq_lens_k, max_length_q, max_length_k: flash attention's own, with `flat`
    seq_idx          int32: which document a token is of, for state-space layers (Mamba)

`use_cache` is always False: with a cache, which models make by default even in training, transformers 5 does not look
at position_ids for documents, and each would see those before it.

`flat` is what TRL and transformers call padding-free: one row of all documents, without padding. What it gives equals
what `transformers.DataCollatorWithFlattening` gives for the documents one by one, key for key, but for `use_cache`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from corpusmill.dataproc.errors import UserError
from corpusmill.training.loader.batch import Batch, join_batches
from corpusmill.training.model.attention import document_mask


@dataclass(frozen=True, kw_only=True)
class ModelInputs:
    """Makes of a `Batch` (or of several, one after the other) what a model of transformers takes.

    Always `input_ids` and `labels`, int64 [B, T], and `use_cache`, False; labels are -100 for padding, for the first
    token of each document and for what a mask leaves out, and the model shifts them. The rest on request, see above.

    Attributes:
        flat: one row of all tokens but padding, [1, N].
        position_ids: int64, from 0 again in each document.
        document_mask: attention_mask, bool [B, 1, T, T].
        cu_seqlens: borders of documents, int32 [S + 1], and the longest one's length, an int; needs `flat`.
        seq_idx: int32, the document's number in its row; -1 for padding.

    Raises UserError for cu_seqlens without flat.
    """

    flat: bool = False
    position_ids: bool = True
    document_mask: bool = False
    cu_seqlens: bool = False
    seq_idx: bool = False

    def __post_init__(self) -> None:
        if self.cu_seqlens and not self.flat:
            raise UserError(
                "cu_seqlens describe one flat row, but separate rows were requested", "ModelInputs", "set flat as well"
            )

    def __call__(self, batches: Batch | Sequence[Batch]) -> dict[str, Any]:
        """Tensors by the names of the model's arguments, on the batch's device."""
        batch = batches if isinstance(batches, Batch) else join_batches(batches)
        return self._flat(batch) if self.flat else self._rows(batch)

    def _rows(self, batch: Batch) -> dict[str, Any]:
        inputs: dict[str, Any] = {"input_ids": batch.tokens, "labels": batch.labels, "use_cache": False}
        if self.position_ids:
            inputs["position_ids"] = batch.position_ids
        if self.document_mask:
            inputs["attention_mask"] = batch.document_mask
        if self.seq_idx:
            inputs["seq_idx"] = batch.segments
        return inputs

    def _flat(self, batch: Batch) -> dict[str, Any]:
        lengths = np.concatenate([np.empty(0, np.int32), *batch.segment_lengths]).astype(np.int64)
        lengths = lengths[lengths > 0]
        ends = np.cumsum(lengths)
        numbers = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)

        def row(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(values).to(batch.tokens.device)[None]

        tokens = batch.tokens[batch.valid][None]
        position_ids = row(np.arange(len(numbers)) - np.repeat(ends - lengths, lengths))
        labels = batch.labels[batch.valid][None]
        inputs: dict[str, Any] = {"input_ids": tokens, "labels": labels, "use_cache": False}
        if self.position_ids:
            inputs["position_ids"] = position_ids
        if self.document_mask:
            inputs["attention_mask"] = document_mask(row(numbers))
        if self.cu_seqlens:
            borders = row(np.append(0, ends).astype(np.int32))[0]
            longest = int(lengths.max(initial=0))
            inputs |= dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), borders)
            inputs |= dict.fromkeys(("max_length_q", "max_length_k"), longest)
        if self.seq_idx:
            inputs["seq_idx"] = row(numbers)
        return inputs
