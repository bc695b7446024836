"""Compiles the kernels of FIM and packing once, so that worker processes find them in numba's disk cache."""

from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.sequences import fim, packing
from corpusmill.dataproc.sequences.shards import SpecialIds


def compile_kernels() -> None:
    """Splits three documents at both kinds of places, and packs them."""
    texts = pa.array(["one two three four five six", "one two three four five six", ""], pa.large_string())
    tokens = pa.array([[1, 2, 3], [1, 2, 3], []], pa.list_(pa.int32()))
    draws: dict[str, Any] = {"keys": np.arange(3, dtype=np.uint64), "rates": np.ones(3), "minimum": 1, "maximum": 100}
    tables: dict[str, Any] = {"token_lengths": np.full(4, 9), "starts_character": np.ones(4, bool)}
    fim.draw_splits(texts, **draws)
    splits = fim.draw_token_splits(tokens, texts, **draws, **tables)
    pieces, _ = fim.cut_tokens(tokens, splits)
    special = SpecialIds(eos=0, pad=0, fim_begin=3, fim_hole=4, fim_end=5)
    documents = fim.assemble(pieces, splits, special)
    placement = packing.pack(documents.value_lengths().to_numpy(), capacity=16)
    packing.fill(placement, documents, special.pad)
