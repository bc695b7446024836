"""Folders of tables: tokenizers, token shards, and parts of datasets."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

TEXTS = ["a quick brown fox, a lazy dog", "Ein Satz, zwei Sätze.", "漢字とかな 123"]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def tokenizer_seeds(folder: Path) -> Mapping[str, Mapping[str, bytes]]:
    """A tokenizer as it is trained, and its `tokenizer.json` alone, as one of somebody else's is."""
    from corpusmill.tokenizer.counting.counts import count_pretokens
    from corpusmill.tokenizer.formats.files import write_tokenizer
    from corpusmill.tokenizer.learning.bpe import train_merges
    from corpusmill.tokenizer.special import layout_named

    counts = count_pretokens(pa.array(TEXTS * 3, pa.large_string()))
    vocabulary = train_merges(counts, 290, list(layout_named("compact").first))
    write_tokenizer(str(folder), vocabulary, "compact", "deepseek-v3", {})
    files = _files(folder)
    return {"ours": files, "foreign": {"tokenizer.json": files["tokenizer.json"]}}


def check_tokenizer(folder: Path, name: str) -> None:
    """Loads it, encodes, and decodes to the same text."""
    from corpusmill.tokenizer.encoder import Tokenizer

    tokenizer = Tokenizer.load(str(folder))
    texts = pa.array(TEXTS, pa.large_string())
    for text, ids in zip(TEXTS, tokenizer.encode(texts).to_pylist(), strict=True):
        if tokenizer.decode(ids) != text:
            raise AssertionError(f"{text!r} became {ids}, which is {tokenizer.decode(ids)!r}")


def shard_seeds(folder: Path) -> Mapping[str, Mapping[str, bytes]]:
    from tests.training.shardmaker import write_shard_set

    write_shard_set(folder, sequences=12, length=16)
    return {"plain": _files(folder)}


def check_shards(folder: Path, name: str) -> None:
    """Opens the set as the loader does, and reads every shard."""
    from corpusmill.dataproc.sequences.shards import list_shards, open_shard, shard_entries

    shard_entries(str(folder))
    for path in list_shards(str(folder)):
        _, table = open_shard(path)
        try:
            table.validate(full=True)
        except pa.ArrowInvalid:  # what no one looks at when a shard is opened; `inspect verify` compares digests
            continue
        table.to_pylist()


def part_seeds(folder: Path) -> Mapping[str, Mapping[str, bytes]]:
    from corpusmill.dataproc.datasets import write_table
    from corpusmill.dataproc.documents import SCHEMA

    rows = [{"id": f"d{row}", "text": text, "source": "a", "kind": "web"} for row, text in enumerate(TEXTS)]
    path = folder / "part-00000.parquet"
    write_table(str(path), pa.Table.from_pylist(rows, SCHEMA))
    return {"part": _files(folder)}


def check_parts(folder: Path, name: str) -> None:
    """Reads a part as every stage does."""
    from corpusmill.dataproc.datasets import read_batches

    for batch in read_batches(str(folder / name)):
        batch.validate()  # what no one compares but `inspect verify`, by digest, may still be no UTF-8
