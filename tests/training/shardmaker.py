"""A tiny maker of token shards, in record batches of a few rows, for the tests of `training`."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, shard_schema

PAD = 2

Rows = list[list[list[int]]]
"""Sequences, each a list of segments, each a list of ids."""


def write_shard(
    path: Path,
    rows: Rows,
    length: int,
    vocab_size: int = 256,
    batch: int = 7,
    group: str = "",
    storage: str = "plain",
    learned: bool = False,
) -> None:
    """One shard of these sequences, padded to `length`; with `learned`, the second half of each segment is."""
    special = SpecialIds(eos=1, pad=PAD, bos=0)
    header = ShardHeader(
        "test", length, special, vocab_size, vocab_size, seed=0, group=group, storage=storage, learned=learned
    )
    schema = shard_schema(header)
    tokens = [(flat := [token for part in row for token in part]) + [PAD] * (length - len(flat)) for row in rows]
    if storage == "packed":
        tokens = [b"".join(token.to_bytes(3, "little") for token in row) for row in tokens]
    segments = [
        [
            {
                "document": f"{path.name}/{number}/{place}",
                "source": "test",
                "start": 0,
                "length": len(part),
                "fim": False,
            }
            for place, part in enumerate(row)
        ]
        for number, row in enumerate(rows)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    options = pa.ipc.IpcWriteOptions(compression="zstd" if storage == "zstd" else None)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema, options=options) as writer:
        for start in range(0, len(rows), batch):
            columns = [
                pa.array(tokens[start : start + batch], schema.field(0).type),
                pa.array(segments[start : start + batch], schema.field(1).type),
            ]
            if learned:
                masks = [mask_of(row, length) for row in rows[start : start + batch]]
                columns.append(
                    pa.array([np.packbits(mask, bitorder="little").tobytes() for mask in masks], schema.field(2).type)
                )
            writer.write_batch(pa.record_batch(columns, schema=schema))


def mask_of(row: list[list[int]], length: int) -> np.ndarray:
    """bool (length,): the second half of each segment, but for its first two tokens."""
    flags = [place >= max(2, len(part) // 2) for part in row for place in range(len(part))]
    return np.array(flags + [False] * (length - len(flags)))


def patterned_rows(count: int, length: int, seed: int, vocab_size: int = 256) -> Rows:
    """Sequences with something to learn: each next token is a fixed function of the last, with some noise."""
    rng = np.random.default_rng(seed)
    table = np.random.default_rng(99).permutation(np.arange(8, vocab_size))
    rows = []
    for _ in range(count):
        used = int(rng.integers(length * 3 // 4, length + 1))
        ids = [int(rng.integers(8, vocab_size))]
        while len(ids) < used:
            follows = int(table[ids[-1] - 8])
            ids.append(follows if rng.random() < 0.9 else int(rng.integers(8, vocab_size)))
        cut = int(rng.integers(1, used))
        rows.append([ids[:cut], ids[cut:]])
    return rows


def write_shard_set(
    folder: Path,
    sequences: int = 40,
    length: int = 32,
    seed: int = 0,
    shards: int = 3,
    storage: str = "plain",
    learned: bool = False,
) -> Path:
    """A folder of shards with patterned sequences, and a `_validation/` beside them."""
    rows = patterned_rows(sequences, length, seed)
    for number in range(shards):
        write_shard(
            folder / f"shard-{number:05d}.arrow", rows[number::shards], length, storage=storage, learned=learned
        )
    held_back = patterned_rows(9, length, seed + 1)
    write_shard(folder / "_validation" / "shard-00000.arrow", held_back, length, storage=storage, learned=learned)
    return folder


def write_grouped_set(folder: Path, groups: Mapping[str, int], length: int = 32, rows_per_shard: int = 8) -> Path:
    """A folder of shards with so many sequences of each group, and its manifest."""
    for number, (group, count) in enumerate(groups.items()):
        rows = patterned_rows(count, length, number)
        for part, start in enumerate(range(0, count, rows_per_shard)):
            name = f"shard-{number:05d}_{part:03d}.arrow" if part else f"shard-{number:05d}.arrow"
            write_shard(folder / name, rows[start : start + rows_per_shard], length, group=group)
    write_manifest(folder)
    return folder


def write_manifest(folder: Path) -> None:
    """What the stage `pack` says about the shards of a folder, as far as a loader reads it."""
    listed = []
    for path in sorted(folder.rglob("*.arrow")):
        with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
            header = ShardHeader.from_json(reader.schema.metadata[b"corpusmill"])
            rows = sum(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
        listed.append(
            {
                "path": str(path.relative_to(folder)),
                "rows": rows,
                "group": header.group,
                "bytes": path.stat().st_size,
                "digest": xxhash.xxh3_128_hexdigest(path.read_bytes()),
                "tokens": 0,
            }
        )
    parts = [entry for entry in listed if "/" not in entry["path"]]
    files = [entry for entry in listed if "/" in entry["path"]]
    (folder / "_manifest.json").write_text(json.dumps({"stage": "pack", "parts": parts, "files": files}))
