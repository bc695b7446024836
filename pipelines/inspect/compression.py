"""How many bytes a token of several tokenizers stands for, by language, on a sample of a dataset's documents.

A few row groups at even distances, and of them so many documents a language; the same ones for every tokenizer, so that
the numbers compare. `corpusmill tokenizer report` measures whole datasets.

Memory: a row group, and `LANGUAGE_BYTES` of text for each language.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc import storage
from corpusmill.pipelines.inspect.contents import sampled_groups
from corpusmill.pipelines.inspect.places import Place
from corpusmill.tokenizer.encoder import Tokenizer

LANGUAGE_BYTES = 64 << 10
MOST_LANGUAGES = 24


@dataclass(frozen=True)
class Compression:
    """Of one language: documents and bytes of the sample, and the tokens that each tokenizer makes of it."""

    language: str
    documents: int
    bytes: int
    tokens: list[int]


def compression_by_language(place: Place, tokenizers: Sequence[Tokenizer]) -> list[Compression]:
    """Languages of a dataset's sample, the one with most text first."""
    files = [(storage.join(place.path, part["path"]), part["rows"]) for part in place.manifest["parts"]]
    texts: dict[str, list[pa.Array]] = {}
    sizes: dict[str, int] = {}
    for batch in sampled_groups(files, ["language", "text"]):
        names = pc.fill_null(batch.column("language").cast(pa.string()), "unknown")
        for name in pc.unique(names).to_pylist():
            left = LANGUAGE_BYTES - sizes.get(name, 0)
            if left <= 0 or (name not in texts and len(texts) == MOST_LANGUAGES):
                continue
            here = pc.drop_null(batch.column("text").filter(pc.equal(names, name))).cast(pa.large_string())
            ends = np.cumsum(np.from_dlpack(pc.binary_length(here).cast(pa.int64())))
            taken = here[: max(1, int(np.searchsorted(ends, left, side="right")))]
            cut = pc.utf8_slice_codeunits(taken, 0, LANGUAGE_BYTES)  # a document longer than the whole sample
            texts.setdefault(name, []).append(cut)
            sizes[name] = sizes.get(name, 0) + int(pc.sum(pc.binary_length(cut)).as_py() or 0)
    rows = []
    for name, parts in texts.items():
        sample = pa.chunked_array(parts, pa.large_string()).combine_chunks()
        tokens = [len(tokenizer.encode(sample).values) for tokenizer in tokenizers]
        rows.append(Compression(name, len(sample), sizes[name], tokens))
    return sorted(rows, key=lambda row: (-row.bytes, row.language))
