"""A tiny maker of token shards, in record batches of a few rows, for the tests of `training`."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from dataproc.shards import ShardHeader, SpecialIds, shard_schema

PAD = 2


def write_shard(path: Path, rows: list[list[list[int]]], length: int, vocab_size: int = 256, batch: int = 7) -> None:
    """One shard whose sequences are given as lists of segments (lists of ids), padded to `length`."""
    header = ShardHeader("test", length, SpecialIds(eos=1, pad=PAD, bos=0), vocab_size, vocab_size, seed=0)
    schema = shard_schema(header)
    tokens = [(flat := [token for part in row for token in part]) + [PAD] * (length - len(flat)) for row in rows]
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
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for start in range(0, len(rows), batch):
            columns = [
                pa.array(tokens[start : start + batch], schema.field(0).type),
                pa.array(segments[start : start + batch], schema.field(1).type),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def patterned_rows(count: int, length: int, seed: int, vocab_size: int = 256) -> list[list[list[int]]]:
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


def write_shard_set(folder: Path, sequences: int = 40, length: int = 32, seed: int = 0, shards: int = 3) -> Path:
    """A folder of shards with patterned sequences, and a `validation/` beside them."""
    rows = patterned_rows(sequences, length, seed)
    for number in range(shards):
        write_shard(folder / f"shard-{number:05d}.arrow", rows[number::shards], length)
    write_shard(folder / "validation" / "shard-00000.arrow", patterned_rows(9, length, seed + 1), length)
    return folder
