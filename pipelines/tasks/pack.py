"""The workers' side of packing: parts of documents to one shard, in one pass over the text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataproc.datasets import read_batches, write_table
from dataproc.fim import assemble, draw_splits, piece_texts
from dataproc.packing import fill, pack, report
from dataproc.randomness import random_keys, uniforms
from dataproc.shards import ShardHeader, SpecialIds, segment_column, write_shard
from pipelines.engine.worker import TaskContext
from pipelines.tasks.outputs import write_quarantine
from tokenizer.boundary import BoundaryTable, boundary_table, split_joined
from tokenizer.encoder import Tokenizer

VALIDATION = "validation"


@dataclass(frozen=True)
class Encoded:
    """Documents as tokens: columns of N documents, and what was done to them."""

    table: pa.RecordBatch  # id, source, kind, language, fim, held_back
    tokens: pa.LargeListArray
    boundary_splits: int
    text_bytes: int


@cache
def _tokenizer(folder: str) -> tuple[Tokenizer, BoundaryTable]:
    """One tokenizer for each worker process: its pretoken cache stays warm from task to task."""
    tokenizer = Tokenizer.load(folder)
    return tokenizer, boundary_table(tokenizer)


def write_vocabulary(task: TaskContext) -> dict[str, Any]:
    """`vocabulary.parquet`: the bytes of every id, so that shards can be read without the tokenizer."""
    tokenizer, _ = _tokenizer(task.arguments["tokenizer"])
    spelled = [tokenizer.token_bytes(number) for number in range(tokenizer.vocab_size)]
    special = set(tokenizer.special.ids.values())
    table = pa.table(
        {
            "id": pa.array(range(len(spelled)), pa.int32()),
            "bytes": pa.array(spelled, pa.binary()),
            "special": pa.array([number in special for number in range(len(spelled))]),
        }
    )
    entry = {"path": "vocabulary.parquet"} | write_table(task.path("vocabulary.parquet"), table)
    return {"files": [entry], "fingerprint": tokenizer.fingerprint}


def pack_shard(task: TaskContext) -> dict[str, Any]:
    """Encodes, splits, rearranges and packs a group of parts into `shard-NNNNN.arrow` (and one of held-back ones)."""
    arguments = task.arguments
    tokenizer, _ = _tokenizer(arguments["tokenizer"])
    work = partial(encode_documents, settings=arguments)
    encoded = [
        piece
        for path in arguments["paths"]
        for batch in read_batches(path, ["id", "text", "source", "kind", "language"])
        for piece in task.guard.each(batch, work, path)
    ]
    header = shard_header(tokenizer, arguments)
    table = pa.Table.from_batches([each.table for each in encoded]) if encoded else None
    if table is None:
        return _result(task, [], [], encoded, 0)
    table = table.combine_chunks()
    tokens = pa.concat_arrays([each.tokens for each in encoded])
    held_back = table["held_back"].combine_chunks()
    parts: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    totals: Counter[str] = Counter()
    for folder, mask in (("", pc.invert(held_back)), (VALIDATION, held_back)):
        entry, counts = _write(task, header, folder, table.filter(mask), tokens.filter(mask))
        (files if folder else parts).extend(entry)
        totals.update(counts)
    return _result(task, parts, files, encoded, table.num_rows) | totals | {"tokens_by": _tokens_by(table, tokens)}


def encode_documents(batch: pa.RecordBatch, settings: Mapping[str, Any]) -> Encoded:
    """Tokens of a batch of documents, each a function of its own text, id and the settings."""
    tokenizer, joined = _tokenizer(settings["tokenizer"])
    ids, text, seed = batch.column("id"), batch.column("text"), settings["seed"]
    eligible = np.ones(batch.num_rows, bool)
    if settings["fim_kinds"]:
        named = pc.is_in(batch.column("kind"), value_set=pa.array(settings["fim_kinds"], pa.string()))
        eligible = named.to_numpy(zero_copy_only=False)
    splits = draw_splits(
        text,
        random_keys(seed, "fim", ids),
        eligible,
        settings["fim_rate"],
        settings["fim_minimum"],
        settings["fim_maximum"],
    )
    pieces, document = piece_texts(text, splits)
    tokens = tokenizer.encode(pieces)
    touched = 0
    if settings["boundary_split"]:
        # Pieces of one document draw from different streams: the key is moved on by the piece's number.
        first = np.searchsorted(document, document)
        number = (np.arange(len(document)) - first).astype(np.uint64)
        keys = random_keys(seed, "boundary", ids)[document] + number
        tokens, touched = split_joined(tokens, keys, settings["boundary_split"], joined)
    whole = assemble(tokens, splits, special_ids(tokenizer), settings["fim_mode"], bos=settings["bos"])
    held_back = uniforms(random_keys(seed, VALIDATION, ids)) < settings["validation_share"]
    table = batch.select(["id", "source", "kind", "language"])
    table = table.append_column("fim", pa.array(splits.fim)).append_column("held_back", pa.array(held_back))
    text_bytes = int(pc.sum(pc.binary_length(text)).as_py() or 0)
    return Encoded(table=table, tokens=whole, boundary_splits=touched, text_bytes=text_bytes)


def special_ids(tokenizer: Tokenizer) -> SpecialIds:
    """The ids that shards name."""
    special = tokenizer.special
    return SpecialIds(
        eos=special.eos,
        pad=special.pad,
        bos=special.bos,
        fim_begin=special.fim_begin,
        fim_hole=special.fim_hole,
        fim_end=special.fim_end,
    )


def shard_header(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> ShardHeader:
    """The header of every shard of the set."""
    return ShardHeader(
        tokenizer=tokenizer.fingerprint,
        sequence_length=settings["sequence_length"],
        special=special_ids(tokenizer),
        vocab_size=tokenizer.vocab_size,
        model_rows=tokenizer.model_rows,
        seed=settings["seed"],
        packing={"policy": settings["packing"], "boundary_split": settings["boundary_split"]},
        fim={name.removeprefix("fim_"): settings[name] for name in settings if name.startswith("fim_")},
    )


def _write(
    task: TaskContext, header: ShardHeader, folder: str, table: pa.Table, tokens: pa.LargeListArray
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Packs and writes documents to one shard; nothing is written where there are none."""
    prefix = f"{folder}_" if folder else ""
    if not table.num_rows:
        return [], {f"{prefix}sequences": 0}
    placement = pack(pc.list_value_length(tokens).to_numpy(), header.sequence_length, header.packing["policy"])
    rows = pa.array(placement.document)
    segments = segment_column(
        placement.bounds,
        table["id"].combine_chunks().take(rows),
        table["source"].combine_chunks().take(rows),
        placement.start,
        placement.length,
        table["fim"].combine_chunks().take(rows).to_numpy(zero_copy_only=False),
    )
    name = "/".join(part for part in (folder, f"{task.id}.arrow") if part)
    size, digest = write_shard(task.path(name), header, fill(placement, tokens, header.special.pad), segments)
    measured = report(placement)
    entry = {"path": name, "rows": measured.sequences, "bytes": size, "digest": digest, "tokens": measured.tokens}
    if folder:
        return [entry], {f"{prefix}sequences": measured.sequences, f"{prefix}documents": table.num_rows}
    wanted = ("sequences", "tokens", "padding", "cut", "cut_needlessly")
    return [entry], {key: int(getattr(measured, key)) for key in wanted}


def _tokens_by(table: pa.Table, tokens: pa.LargeListArray) -> dict[str, dict[str, int]]:
    counted = table.append_column("tokens", pc.list_value_length(tokens))
    found = {}
    for column in ("source", "kind", "language"):
        sums = counted.group_by(column).aggregate([("tokens", "sum")])
        found[column] = {row[column] or "unknown": int(row["tokens_sum"]) for row in sums.to_pylist()}
    return found


def _result(
    task: TaskContext, parts: list[Any], files: list[Any], encoded: Sequence[Encoded], documents: int
) -> dict[str, Any]:
    return {
        "documents_in": documents + task.guard.quarantined,
        "kept": documents,
        "quarantined": task.guard.quarantined,
        "fim_documents": sum(int(pc.sum(each.table.column("fim")).as_py() or 0) for each in encoded),
        "boundary_splits": sum(each.boundary_splits for each in encoded),
        "text_bytes": sum(each.text_bytes for each in encoded),
        "tokens_by": {},
        "parts": parts,
        "files": files + write_quarantine(task),
    }
