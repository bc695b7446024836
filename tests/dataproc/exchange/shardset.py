"""Small shard sets for these tests, and readers that know a format by its definition and nothing of ours."""

import json
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc.exchange.formats import format_named
from corpusmill.dataproc.exchange.items import Items, sequence_items, shard_batches
from corpusmill.dataproc.exchange.joining import joined_documents, piece_partitions, shard_documents
from corpusmill.dataproc.exchange.pieces import ReadOptions
from corpusmill.dataproc.sequences.packing import fill, pack
from corpusmill.dataproc.sequences.shards import (
    ShardHeader,
    SpecialIds,
    list_shards,
    segment_column,
    shard_name,
    write_shard,
)

EOS, PAD, VOCAB = 90, 91, 95
FORMATS = ("megatron", "mds", "huggingface", "flat")
OPTIONS = ReadOptions(eos=EOS)


def header(length: int = 8, vocab: int = VOCAB, storage: str = "plain") -> ShardHeader:
    special = SpecialIds(eos=EOS, pad=PAD, fim_begin=92, fim_hole=93, fim_end=94)
    return ShardHeader("f1", length, special, vocab, vocab, seed=0, storage=storage)


def make_shards(
    folder: Path, documents: list[list[int]], length: int = 8, rows: int = 2, policy: str = "best-fit", **more: object
) -> list[str]:
    """Packs documents into shards of so many rows; their ids are d0, d1 …, with a line break in every third."""
    shard_header = header(length, **more)
    placement = pack(np.array([len(document) for document in documents], np.int64), length, policy)
    lists = pa.array(documents, pa.large_list(pa.int32()))
    for number, first in enumerate(range(0, placement.sequences, rows)):
        last = min(first + rows, placement.sequences)
        bounds = placement.bounds[first : last + 1]
        chosen = slice(bounds[0], bounds[-1])
        names = [f"d{index}\n\\" if index % 3 == 0 else f"d{index}" for index in placement.document[chosen]]
        segments = segment_column(
            bounds - bounds[0],
            pa.array(names, pa.string()),
            pa.array(["web"] * len(names), pa.string()),
            placement.start[chosen],
            placement.length[chosen],
            np.zeros(len(names), bool),
        )
        write_shard(
            str(folder / shard_name(0, number)), shard_header, fill(placement, lists, PAD, first, last), segments
        )
    return list_shards(str(folder))


def expected_rows(documents: list[list[int]], length: int, policy: str = "best-fit") -> list[list[int]]:
    """The packed rows without their padding."""
    placement = pack(np.array([len(ids) for ids in documents], np.int64), length, policy)
    rows: list[list[int]] = [[] for _ in range(placement.sequences)]
    for sequence, document, start, size in zip(
        placement.sequence, placement.document, placement.start, placement.length, strict=True
    ):
        rows[sequence] += documents[document][start : start + size]
    return rows


def all_documents(shards: list[str], partitions: int = 2) -> tuple[list[Items], int]:
    """(documents of a shard set, as whole ones of each shard and joined ones, how many lack a piece)."""
    items, parted = [], []
    for path in shards:
        whole, pieces = shard_documents(path)
        items.append(whole)
        parted.append(piece_partitions(pieces, partitions))
    missing = 0
    for number in range(partitions):
        joined, lacking = joined_documents([partition[number] for partition in parted], EOS)
        items.append(joined)
        missing += lacking
    return items, missing


def lists_of(items: Items) -> list[list[int]]:
    return [items.tokens[a:b].tolist() for a, b in zip(items.offsets[:-1], items.offsets[1:], strict=True)]


def export(kind: str, shards: list[str], folder: Path, unit: str = "sequence", vocab: int = VOCAB) -> None:
    """What the stage does, in one process: every shard to files of its own, then what the format has once."""
    module = format_named(kind)
    entries = []
    shard_header = header(vocab=vocab)
    groups: list[tuple[str, list[Items]]]
    if unit == "sequence":
        groups = []
        for path in shards:
            batches = []
            for shard_header, batch in shard_batches(path):
                batches.append(sequence_items(shard_header, batch, padding=module.PADDED))
            groups.append((Path(path).stem, batches))
    else:
        groups = [
            (f"shard-{number:05d}", list(items.batches())) for number, items in enumerate(all_documents(shards)[0])
        ]
    for stem, batches in groups:
        if not sum(map(len, batches)):
            continue
        with module.Writer(str(folder), stem, shard_header, unit) as writer:
            for items in batches:
                if len(items):
                    writer.write(items)
        entries += writer.entries
    data = [entry for entry in entries if "rows" in entry]
    for name, content in module.beside(data, shard_header, unit, "").items():
        (folder / name).write_bytes(content)


def read_plainly(kind: str, folder: Path) -> list[list[int]]:
    """Every item of a folder, without padding."""
    return {"megatron": _megatron, "mds": _mds, "huggingface": _parquet, "flat": _flat}[kind](folder)


def _megatron(folder: Path) -> list[list[int]]:
    items = []
    for path in sorted(folder.glob("*.idx"), key=lambda path: path.stem):
        index, data = path.read_bytes(), path.with_suffix(".bin").read_bytes()
        assert index[:9] == b"MMIDIDX\x00\x00"
        version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
        letter = {8: "H", 4: "i"}[code]
        lengths = struct.unpack_from(f"<{sequences}i", index, 34)
        pointers = struct.unpack_from(f"<{sequences}q", index, 34 + 4 * sequences)
        first = struct.unpack_from(f"<{documents}q", index, 34 + 12 * sequences)
        assert (
            version == 1 and first == tuple(range(sequences + 1)) and len(index) == 34 + 12 * sequences + 8 * documents
        )
        items += [
            list(struct.unpack_from(f"<{length}{letter}", data, at))
            for length, at in zip(lengths, pointers, strict=True)
        ]
    return items


def _mds(folder: Path) -> list[list[int]]:
    items = []
    for shard in json.loads((folder / "index.json").read_text())["shards"]:
        raw = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert len(raw) == shard["raw_data"]["bytes"] and shard["column_names"] == sorted(shard["column_names"])
        (count,) = struct.unpack_from("<I", raw)
        bounds = struct.unpack_from(f"<{count + 1}I", raw, 4)
        for begin, end in pairwise(bounds):
            row, at = {}, begin + 4 * sum(size is None for size in shard["column_sizes"])
            heads = iter(struct.unpack_from(f"<{(at - begin) // 4}I", raw, begin))
            columns = zip(shard["column_names"], shard["column_encodings"], shard["column_sizes"], strict=True)
            for name, encoding, fixed in columns:
                size = fixed or next(heads)
                row[name] = _mds_value(raw[at : at + size], encoding)
                at += size
            assert at == end
            items.append(row["tokens"][: sum(row["segment_lengths"])] if "segment_lengths" in row else row["tokens"])
    return items


def _mds_value(data: bytes, encoding: str) -> list[int] | str:
    if encoding == "str":
        return data.decode()
    if encoding == "ndarray:int32":
        width = 1 << (data[0] & 3)
        length = int.from_bytes(data[1 : 1 + width], "little")
        data = data[1 + width :]
        assert len(data) == 4 * length
    return [token for (token,) in struct.iter_unpack("<i", data)]


def _parquet(folder: Path) -> list[list[int]]:
    rows = []
    for path in sorted(folder.glob("*.parquet"), key=lambda path: path.stem):
        rows += pq.read_table(path).to_pylist()
    return [
        row["input_ids"][: sum(row["segment_lengths"])] if "segment_lengths" in row else row["input_ids"]
        for row in rows
    ]


def _flat(folder: Path) -> list[list[int]]:
    """All tokens, as one item."""
    tokens: list[int] = []
    for path in sorted(folder.glob("*.bin"), key=lambda path: path.stem):
        description = json.loads(path.with_suffix(".json").read_text())
        tokens += np.fromfile(path, {"uint16": "<u2", "uint32": "<u4"}[description["dtype"]]).tolist()
        assert description["special"]["eos"] == EOS
    return [tokens]
