"""A folder of small token shards as `pack` leaves it: sequences with something to learn, and held-back ones."""

from pathlib import Path

import pyarrow as pa

from corpusmill.dataproc.datasets import write_table
from tests.pipelines.small_run import write_manifest
from tests.training.shardmaker import write_shard_set

LENGTH = 32


def make_shards(folder: Path) -> Path:
    """40 sequences of 32 tokens, nine held back; a token is a byte, the first three are special."""
    write_shard_set(folder, sequences=40, length=LENGTH)
    spelled = [bytes([byte]) for byte in range(256)]
    special = [byte < 3 for byte in range(256)]
    table = pa.table({"id": pa.array(range(256), pa.int32()), "bytes": spelled, "special": special})
    vocabulary = {"path": "_vocabulary.parquet"} | write_table(str(folder / "_vocabulary.parquet"), table)
    write_manifest(
        folder, "pack", inputs={}, settings={"sequence_length": LENGTH}, counts={"sequences": 40}, parts=[],
        files=[vocabulary], facts={},
    )  # fmt: skip
    return folder
