"""Documents to tokens, as the pack stage wants them: encoded, split at joined punctuation, rearranged to fill in the
middle, each by draws of its own id.

Where FIM cuts are drawn on characters or lines, the pieces are cut first and encoded by themselves, as a cursor would
split them; where they are drawn on tokens, the document is encoded once and its tokens are cut. Tokens that join
punctuation and line breaks are split in between.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.file_starts import FILE_STARTS
from corpusmill.dataproc.randomness import random_keys, uniforms
from corpusmill.dataproc.sequences.fim import Splits, assemble, cut_tokens, draw_splits, draw_token_splits, piece_texts
from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds
from corpusmill.pipelines.stages.pack.arguments import PackWork, ShardWork
from corpusmill.tokenizer.boundary import BoundaryTable, boundary_table, split_joined
from corpusmill.tokenizer.chat_encoding import ChatEncoder
from corpusmill.tokenizer.encoder import Tokenizer

COLUMNS = ("id", "text", "source", "kind", "language", "meta")
"""What packing reads of a document."""


@dataclass(frozen=True)
class Encoded:
    """Documents as tokens: columns of N documents, and what was done to them."""

    table: pa.RecordBatch  # id, source, kind, language, fim, held_back
    tokens: pa.LargeListArray
    boundary_splits: int
    text_bytes: int


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with the tables that packing needs.

    Attributes:
        tokenizer: as loaded.
        joined: the tokens that join punctuation and line breaks, and their parts.
        special: the ids that shards name.
        token_lengths: int64 (vocab,), bytes of each id.
        starts_character: bool (vocab,), whether an id's first byte begins a UTF-8 character.
    """

    tokenizer: Tokenizer
    joined: BoundaryTable
    special: SpecialIds
    token_lengths: np.ndarray
    starts_character: np.ndarray


@cache
def load_encoder(folder: str) -> Encoder:
    """One tokenizer for each worker process: its pretoken cache stays warm from task to task."""
    tokenizer = Tokenizer.load(folder)
    spelled = tokenizer.spellings
    first_byte = pc.binary_slice(spelled, 0, 1).cast(pa.binary()).fill_null(b"")
    starts = [byte == b"" or byte[0] & 0xC0 != 0x80 for byte in first_byte.to_pylist()]
    roles = tokenizer.special
    others = {role: roles.roles.get(role) for role in ("bos", "fim_begin", "fim_hole", "fim_end")}
    special = SpecialIds(eos=roles.eos, pad=roles.pad, **others)
    lengths = pc.binary_length(spelled).fill_null(0).to_numpy().astype(np.int64)
    return Encoder(tokenizer, boundary_table(tokenizer), special, lengths, np.array(starts, bool))


def encode_documents(batch: pa.RecordBatch, work: PackWork) -> Encoded:
    """Tokens of a batch of documents, each a function of its own text, id, source, kind and the settings."""
    encoder, rules = load_encoder(work.tokenizer), work.fim
    ids, text, seed = batch.column("id"), batch.column("text"), work.seed
    fim = {
        "keys": random_keys(seed, "fim", ids),
        "rates": fim_rates(batch, rules.rate, rules.rates),
        "minimum": rules.minimum,
        "maximum": rules.maximum,
        "files": file_starts(batch.column("meta")),
    }
    boundary = random_keys(seed, "boundary", ids), work.boundary_split
    cut = _cut_tokens if rules.split == "token" else _cut_text
    try:
        pieces, splits, touched = cut(encoder, text, fim, boundary, rules.split)
    except UserError as error:  # of a document's own `file_starts`: its fault, and no reason to stop
        raise ValueError(error.what) from error
    whole = assemble(pieces, splits, encoder.special, rules.mode, bos=work.bos, eos=work.eos)
    held_back = uniforms(random_keys(seed, "validation", ids)) < work.validation_share
    table = batch.select(["id", "source", "kind", "language"])
    table = table.append_column("fim", pa.array(splits.fim)).append_column("held_back", pa.array(held_back))
    text_bytes = int(pc.sum(pc.binary_length(text)).as_py() or 0)
    return Encoded(table=table, tokens=whole, boundary_splits=touched, text_bytes=text_bytes)


@cache
def load_chat_encoder(folder: str) -> ChatEncoder:
    """The same tokenizer with its chat template."""
    return ChatEncoder(load_encoder(folder).tokenizer)


def encode_conversations(batch: pa.RecordBatch, work: PackWork) -> Encoded:
    """Tokens of a batch of conversations, each with its mark of what is learned. Nothing else is done to them."""
    text = batch.column("text")
    tokens = load_chat_encoder(work.tokenizer).encode(text)
    held_back = uniforms(random_keys(work.seed, "validation", batch.column("id"))) < work.validation_share
    table = batch.select(["id", "source", "kind", "language"])
    table = table.append_column("fim", pa.array(np.zeros(len(text), bool)))
    table = table.append_column("held_back", pa.array(held_back))
    return Encoded(table, tokens, boundary_splits=0, text_bytes=int(pc.sum(pc.binary_length(text)).as_py() or 0))


Boundary = tuple[np.ndarray, float]
"""(key of each document, share of the joined tokens to split)."""


def _cut_text(
    encoder: Encoder, text: pa.Array, fim: Mapping[str, Any], boundary: Boundary, unit: str
) -> tuple[pa.Array, Splits, int]:
    """(tokens of all pieces, splits, joined tokens that were split), with cuts on characters or lines."""
    splits = draw_splits(text, unit=unit, **fim)
    pieces, document = piece_texts(text, splits)
    tokens, touched = encoder.tokenizer.encode(pieces), 0
    keys, share = boundary
    if share:
        # Pieces of one document draw from different streams: the key is moved on by the piece's number.
        first = np.searchsorted(document, document)
        number = (np.arange(len(document)) - first).astype(np.uint64)
        tokens, touched = split_joined(tokens, keys[document] + number, share, encoder.joined)
    return tokens, splits, touched


def _cut_tokens(
    encoder: Encoder, text: pa.Array, fim: Mapping[str, Any], boundary: Boundary, unit: str
) -> tuple[pa.Array, Splits, int]:
    """The same with cuts between tokens: a document is encoded once, whole."""
    tokens, touched = encoder.tokenizer.encode(text), 0
    keys, share = boundary
    if share:
        tokens, touched = split_joined(tokens, keys, share, encoder.joined)
    lengths, starts = encoder.token_lengths, encoder.starts_character
    splits = draw_token_splits(tokens, text, token_lengths=lengths, starts_character=starts, **fim)
    pieces, _ = cut_tokens(tokens, splits)
    return pieces, splits, touched


def fim_rates(batch: pa.RecordBatch, default: float, rates: Mapping[str, float]) -> np.ndarray:
    """Each document's share of FIM, float64 (N,): by "source:NAME", else by its kind, else the default."""
    shares = np.full(batch.num_rows, float(default))
    by_kind = {name: rate for name, rate in rates.items() if not name.startswith("source:")}
    by_source = {name.removeprefix("source:"): rate for name, rate in rates.items() if name.startswith("source:")}
    for column, chosen in (("kind", by_kind), ("source", by_source)):
        for name, rate in chosen.items():
            shares[pc.equal(batch.column(column), name).fill_null(False).to_numpy(zero_copy_only=False)] = rate
    return shares


def file_starts(meta: pa.Array) -> pa.Array | None:
    """large_list<int64> of the byte offsets at which each document's files begin, null for one that is not made of
    files; None when none of them is. Raises ValueError for a list of anything but whole numbers."""
    named = pc.match_substring(meta, f'"{FILE_STARTS}"').fill_null(False)
    rows = np.flatnonzero(named.to_numpy(zero_copy_only=False))
    if not len(rows):
        return None
    lists: list[list[int] | None] = [None] * len(meta)
    for row in rows:  # only documents made of files: their meta is small beside their text
        values = orjson.loads(meta[int(row)].as_py())
        starts = values.get(FILE_STARTS) if isinstance(values, dict) else None
        if starts is None:
            continue
        if not isinstance(starts, list) or not all(type(start) is int for start in starts):
            raise ValueError(f"{FILE_STARTS} is not a list of whole numbers")
        lists[row] = starts
    return pa.array(lists, pa.large_list(pa.int64()))


def shard_header(work: ShardWork, group: str = "", storage: str | None = None) -> ShardHeader:
    """The header of a shard of the set."""
    encoder = load_encoder(work.tokenizer)
    return ShardHeader(
        tokenizer=encoder.tokenizer.fingerprint,
        sequence_length=work.sequence_length,
        special=encoder.special,
        vocab_size=encoder.tokenizer.vocab_size,
        model_rows=encoder.tokenizer.model_rows,
        seed=work.seed,
        packing=_packing(work),
        fim=asdict(work.fim) if work.fim else {},
        group=group,
        storage=storage or work.storage,
        learned=work.chat,
    )


def _packing(work: ShardWork) -> dict[str, Any]:
    if work.chat:
        return {"policy": work.packing, "chat": load_chat_encoder(work.tokenizer).template.name}
    return {"policy": work.packing, "boundary_split": work.boundary_split, "bos": work.bos, "eos": work.eos}
