"""Token sets made in one process, for lint's faults: packed as the stage does it, read and rewritten shard by shard.

The pack stage's own encoding, packing and shards are used, without its engine; nothing of lint is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc.sequences.packing import fill, pack
from corpusmill.dataproc.sequences.shards import (
    ShardHeader,
    batch_tokens,
    list_shards,
    open_shard,
    segment_column,
    shard_name,
    write_shard,
)
from corpusmill.pipelines.stages.pack.arguments import FimSettings, PackWork
from corpusmill.pipelines.stages.pack.work.encoding import encode_documents, load_encoder, shard_header

Lists = pa.LargeListArray
EditLists = Callable[[Lists, "Material"], Lists]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What sets are made of.

    Attributes:
        documents: id, text, source, kind, language, meta.
        tokenizer, other: folders; the ids of the other are below the vocabulary of the first.
        length, rows: tokens of a sequence, sequences of a shard.
    """

    documents: pa.RecordBatch
    tokenizer: str
    other: str
    length: int = 256
    rows: int = 64


def work_of(material: Material, **settings: Any) -> PackWork:
    """The pack stage's settings; `bos`, `fim_rate`, `policy` and `boundary_split` may differ."""
    fim = FimSettings(
        rate=settings.get("fim_rate", 0.0), rates={}, mode="psm", split="character", minimum=16, maximum=1 << 20
    )
    return PackWork(
        tokenizer=settings.get("tokenizer", material.tokenizer),
        sequence_length=material.length,
        packing=settings.get("policy", "best-fit"),
        boundary_split=settings.get("boundary_split", 0.1),
        bos=settings.get("bos", False),
        eos=True,
        fim=fim,
        seed=7,
        storage="plain",
        shard_sequences=material.rows,
        group_by="none",
        length_buckets=(),
        validation_share=0.0,
    )


def write_set(folder: Path, material: Material, edit: EditLists | None = None, **settings: Any) -> Path:
    """A shard set of the documents, whose tokens `edit` may change before they are packed."""
    work = work_of(material, **settings)
    encoded = encode_documents(material.documents, work)
    lists = edit(encoded.tokens, material) if edit else encoded.tokens
    placement = pack(np.diff(lists.offsets.to_numpy()), material.length, work.packing)
    header = replace(shard_header(work), tokenizer=load_encoder(material.tokenizer).tokenizer.fingerprint)
    folder.mkdir(parents=True)
    for number, first in enumerate(range(0, placement.sequences, material.rows)):
        last = min(first + material.rows, placement.sequences)
        bounds = placement.bounds[first : last + 1]
        chosen = slice(bounds[0], bounds[-1])
        rows = pa.array(placement.document[chosen])
        segments = segment_column(
            bounds - bounds[0],
            encoded.table["id"].take(rows),
            encoded.table["source"].take(rows),
            placement.start[chosen],
            placement.length[chosen],
            encoded.table["fim"].take(rows).to_numpy(zero_copy_only=False),
        )
        tokens = fill(placement, lists, header.special.pad, first, last)
        write_shard(str(folder / shard_name(number)), header, tokens, segments)
    tokenizer = load_encoder(material.tokenizer).tokenizer
    ids = np.arange(tokenizer.vocab_size)
    special = np.isin(ids, list(tokenizer.special.ids.values()))
    table = {
        "id": ids.astype(np.int32),
        "bytes": tokenizer.spellings.fill_null(b"").cast(pa.binary()),
        "special": special,
    }
    pq.write_table(pa.table(table), folder / "_vocabulary.parquet")
    return folder


Edit = Callable[[np.ndarray, list[list[dict[str, Any]]], ShardHeader], ShardHeader | None]


def rewrite(folder: Path, edit: Edit, shards: slice = slice(None)) -> Path:
    """Changes the tokens (S, L) and segments of shards in place, or gives them another header."""
    for path in list_shards(str(folder))[shards]:
        header, table = open_shard(path)
        tokens = np.concatenate([batch_tokens(header, batch) for batch in table.to_batches()]).copy()
        segments = table["segments"].to_pylist()
        header = edit(tokens, segments, header) or header
        column = pa.array(segments, table.schema.field("segments").type)
        Path(path).unlink()
        write_shard(path, header, tokens, column)
    return folder


def documents_of(folder: Path) -> list[np.ndarray]:
    """The tokens of all documents that lie whole in one sequence."""
    matches = []
    for path in list_shards(str(folder)):
        header, table = open_shard(path)
        for batch in table.to_batches():
            for row, segments in zip(batch_tokens(header, batch), batch["segments"].to_pylist(), strict=True):
                at = 0
                for segment in segments:
                    part = row[at : at + segment["length"]]
                    at += segment["length"]
                    if segment["start"] == 0 and part[-1] == header.special.eos:
                        matches.append(part)
    return matches
