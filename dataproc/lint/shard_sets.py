"""Shards of ours for lint: what their header lets expect, and their blocks, all of them or a few.

Memory: one record batch (4 MiB of tokens) and its segments; a remote shard is read whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.lint.blocks import Block, shard_block
from corpusmill.dataproc.lint.expected import UNKNOWN_TOKENS, Expected, RoundTrip
from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, open_reader, rows_per_batch


class ShardFile(NamedTuple):
    """A shard: its path, the name that findings have for it, and its sequences."""

    path: str
    name: str
    rows: int


def expected_of_shards(
    header: ShardHeader,
    spellings: pa.Array | None,
    is_special: np.ndarray,
    *,
    encoded: bool,
    whole: bool,
    round_trip: RoundTrip | None,
    asked: Mapping[str, Mapping[str, float]] | None = None,
    recorded: Mapping[str, Mapping[str, int]] | None = None,
) -> Expected:
    """What a set's header says.

    Args:
        spellings: bytes of each id. is_special: bool, one an id.
        encoded: its ids were made here, from text; False where they were imported.
        whole: all of the set will be looked at.
    """
    reserved, unknown = special_ids(header.special, spellings, is_special)
    rates = [float(rate) for rate in header.fim.get("rates", {}).values()]
    return Expected(
        ours=True,
        encoded=encoded,
        whole=whole,
        vocab_size=header.vocab_size,
        names_vocabulary=True,
        special=header.special,
        reserved=reserved,
        unknown=unknown,
        spellings=spellings,
        bos=bool(header.packing.get("bos")) if encoded and not header.learned else None,
        eos=None if header.learned else bool(header.packing.get("eos", True)),
        conversations=header.learned,
        policy=str(header.packing.get("policy", "")),
        fim_rate=max([float(header.fim["rate"]), *rates]) if "rate" in header.fim else None,
        fim_is_one_rate=not rates,
        asked=asked or {},
        recorded=recorded or {},
        round_trip=round_trip,
    )


def special_ids(
    special: SpecialIds, spellings: pa.Array | None, is_special: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(ids of special tokens without a role in packing, those of them that are spelled like the unknown token)."""
    roles = [one for one in vars(special).values() if one is not None]
    reserved = np.setdiff1d(np.flatnonzero(is_special), roles)
    if spellings is None or not len(reserved):
        return reserved, np.zeros(0, np.int64)
    spelled = spellings.take(pa.array(reserved)).to_pylist()
    unknown = [number for number, text in zip(reserved.tolist(), spelled, strict=True) if text in UNKNOWN_TOKENS]
    return np.setdiff1d(reserved, unknown), np.array(unknown, np.int64)


def all_blocks(shards: Sequence[ShardFile]) -> Iterator[tuple[ShardHeader, Block]]:
    """Every record batch of every shard. Raises UserError for one that is damaged."""
    for shard in shards:
        header, reader = open_reader(shard.path)
        first = 0
        for number in range(reader.num_record_batches):
            block = _block(shard, header, reader, number, first)
            first += len(block)
            yield header, block


def sampled_blocks(shards: Sequence[ShardFile], sequence_length: int, most: int) -> Iterator[tuple[ShardHeader, Block]]:
    """At most so many record batches, evenly spaced over all shards. Raises UserError as `all_blocks` does."""
    rows = rows_per_batch(sequence_length)
    ends = np.cumsum([-(-shard.rows // rows) for shard in shards])
    if not len(ends) or not ends[-1]:
        return
    chosen = np.unique(np.linspace(0, int(ends[-1]) - 1, min(most, int(ends[-1]))).astype(np.int64))
    for batch in chosen.tolist():
        at = int(np.searchsorted(ends, batch, side="right"))
        header, reader = open_reader(shards[at].path)
        number = batch - (int(ends[at - 1]) if at else 0)
        yield header, _block(shards[at], header, reader, number, number * rows)


def _block(shard: ShardFile, header: ShardHeader, reader: Any, number: int, first: int) -> Block:
    try:
        return shard_block(header, reader.get_batch(number), shard.name, first)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"this shard is damaged ({error})", shard.path, "see corpusmill inspect verify") from error
