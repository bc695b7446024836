"""Token shards: packed sequences in Arrow IPC files that a trainer maps into memory, traceable to their documents.

A shard `shard-00000.arrow` has one row a sequence: `tokens`, L of them (a fixed-size list, so a sequence is a slice of
one flat int32 buffer), and `segments`, which says in order which document each stretch of tokens comes from, from which
of its tokens on, and whether it was rearranged to fill in the middle. Padding comes after the last segment. Buffers
are not compressed, so reading a sequence is a page fault and no decoding. The schema's metadata hold the `ShardHeader`
as JSON under the key `corpusmill`: whoever has the file knows its tokenizer, special ids, packing, FIM and seed.

Cost: 4 bytes a token and about 60 a segment; writing runs at the disk's speed. Memory: the arrays of one shard when it
is written; when it is read, what the pages in use take. This module imports no kernels: `training` reads shards, too.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from dataproc.errors import UserError
from dataproc.storage import commit_file, is_url, join, list_names, open_input

VERSION = 1
METADATA_KEY = b"corpusmill"

BATCH_TOKENS = 1 << 20
"""Tokens of a record batch (4 MiB), rounded down to whole sequences; all batches but the last have as many rows."""

SEGMENT_FIELDS = [
    pa.field("document", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("start", pa.int64(), nullable=False),
    pa.field("length", pa.int32(), nullable=False),
    pa.field("fim", pa.bool_(), nullable=False),
]
SEGMENT_TYPE = pa.list_(pa.field("item", pa.struct(SEGMENT_FIELDS), nullable=False))

_NAME = re.compile(r"shard-(\d{5,})\.arrow")


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the tokens that no text can spell. `eos` and `pad` are always there; `pad` may be the id of `eos`."""

    eos: int
    pad: int
    bos: int | None = None
    fim_begin: int | None = None
    fim_hole: int | None = None
    fim_end: int | None = None


@dataclass(frozen=True)
class ShardHeader:
    """What all sequences of a shard set have in common.

    Attributes:
        tokenizer: fingerprint of the tokenizer.
        sequence_length: L, tokens of a sequence.
        special: ids of the special tokens.
        vocab_size: ids that the tokenizer can give are below this.
        model_rows: rows of the model's embedding, at least `vocab_size`.
        seed: of everything drawn at random (FIM, boundary splits).
        packing, fim: the settings of those steps, as plain JSON values.
    """

    tokenizer: str
    sequence_length: int
    special: SpecialIds
    vocab_size: int
    model_rows: int
    seed: int
    packing: dict[str, Any] = field(default_factory=dict)
    fim: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION

    def to_json(self) -> str:
        """The same text for the same header: sorted keys, no white space."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "") -> "ShardHeader":
        """Reads and checks a header. Raises UserError for another version, missing or unknown fields, wrong types."""
        try:
            values = json.loads(text)
            if values.get("version") != VERSION:
                raise UserError(f"shard version {values.get('version')!r} is not {VERSION}", where, "pack again")
            header = cls(**{**values, "special": SpecialIds(**values["special"])})
            numbers = [header.sequence_length, header.vocab_size, header.model_rows, header.seed]
            numbers += [value for value in asdict(header.special).values() if value is not None]
            whole = all(type(number) is int for number in numbers) and header.sequence_length > 0
            if not whole or not isinstance(header.packing, dict) or not isinstance(header.fim, dict):
                raise TypeError("a field has a value of the wrong kind")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"this shard's header cannot be read ({error})", where, "pack again") from error
        return header


def shard_schema(header: ShardHeader) -> pa.Schema:
    """The Arrow schema of a shard, header included."""
    tokens = pa.list_(pa.field("item", pa.int32(), nullable=False), header.sequence_length)
    columns = [pa.field("tokens", tokens, nullable=False), pa.field("segments", SEGMENT_TYPE, nullable=False)]
    return pa.schema(columns, metadata={METADATA_KEY: header.to_json().encode()})


def segment_column(
    bounds: np.ndarray, document: pa.Array, source: pa.Array, start: np.ndarray, length: np.ndarray, fim: np.ndarray
) -> pa.ListArray:
    """The `segments` column from flat arrays over all segments.

    Args:
        bounds: int64 of shape (S + 1,); sequence s has segments bounds[s] to bounds[s + 1].
        document, source: strings, one a segment. start, length, fim: int64, int32 and bool, one a segment.
    """
    flat = pa.StructArray.from_arrays(
        [
            document.cast(pa.string()),
            source.cast(pa.string()),
            pa.array(start, pa.int64()),
            pa.array(length, pa.int32()),
            pa.array(fim, pa.bool_()),
        ],
        fields=SEGMENT_FIELDS,
    )
    return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), flat, type=SEGMENT_TYPE)


def write_shard(path: str, header: ShardHeader, tokens: np.ndarray, segments: pa.ListArray) -> tuple[int, str]:
    """Commits one shard, in record batches of `BATCH_TOKENS`. Returns (bytes, digest); equal content, equal bytes.

    Args:
        tokens: int32 of shape (S, L), C order.
        segments: one list a sequence, as from `segment_column`.
    """
    sequences, length = tokens.shape
    if length != header.sequence_length or len(segments) != sequences:
        raise ValueError(
            f"tokens {tokens.shape} and {len(segments)} segment lists do not fit L={header.sequence_length}"
        )
    schema = shard_schema(header)
    rows = rows_per_batch(length)
    with commit_file(path) as file, pa.ipc.new_file(file, schema) as writer:
        for first in range(0, sequences, rows):
            flat = pa.array(np.ascontiguousarray(tokens[first : first + rows], np.int32).reshape(-1))
            column = pa.FixedSizeListArray.from_arrays(flat, type=schema.field("tokens").type)
            # `take` makes fresh buffers: those of a slice would carry their history into the file
            part = segments.take(pa.array(np.arange(first, first + len(column))))
            writer.write_batch(pa.RecordBatch.from_arrays([column, part], schema=schema))
    return file.bytes, file.digest


def rows_per_batch(sequence_length: int) -> int:
    """Sequences of every record batch but the last: row r is row r % this of batch r // this."""
    return max(1, BATCH_TOKENS // sequence_length)


def open_shard(path: str) -> tuple[ShardHeader, pa.Table]:
    """(header, table) of a shard. A local file is memory-mapped, so the table takes no memory until it is looked at; a
    remote one is read whole.

    Raises UserError for a file that is missing, truncated, or no shard of ours.
    """
    source = open_input(path)
    try:
        if not is_url(path):
            mapped = pa.memory_map(path)
        else:
            mapped = pa.BufferReader(source.read())
        table = pa.ipc.open_file(mapped).read_all()
        table.validate()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"this is not a whole Arrow file ({error})", path, "it may be truncated: fetch it or pack it again"
        ) from error
    finally:
        source.close()
    metadata = table.schema.metadata or {}
    if METADATA_KEY not in metadata:
        raise UserError("this Arrow file is no corpusmill shard: it has no header", path, "name a folder of shards")
    header = ShardHeader.from_json(metadata[METADATA_KEY], path)
    if not table.schema.equals(shard_schema(header)):
        raise UserError("this shard's columns are not those of its version", path, "pack again")
    return header, table


def token_batches(table: pa.Table) -> list[np.ndarray]:
    """The tokens of each record batch: int32 of shape (rows, L), views of the mapped file."""
    length = table.schema.field("tokens").type.list_size
    return [chunk.flatten().to_numpy().reshape(-1, length) for chunk in table["tokens"].chunks]


def shard_name(number: int) -> str:
    """The file name of shard `number`."""
    return f"shard-{number:05d}.arrow"


def list_shards(folder: str) -> list[str]:
    """Paths of the shards directly in a folder, by number."""
    found = [(int(match[1]), name) for name in list_names(folder) if (match := _NAME.fullmatch(name))]
    return [join(folder, name) for _, name in sorted(found)]


def verify_shard(path: str, examples: int = 3) -> list[str]:
    """What is wrong with a shard's content: a line for each kind of problem, with its count and first places.

    Checked: ids below `vocab_size`; segments that are not empty, start at 0 or later and fit their sequence; padding
    after the last segment and nowhere else; eos only at a segment's end; FIM markers once each and in their order in a
    rearranged document, never in a plain one (a document cut by its length has part of them). Raises UserError as
    `open_shard` does. Memory: a few times one record batch.
    """
    header, table = open_shard(path)
    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        return [f"damaged columns: {error}"]
    found: dict[str, list[str]] = {}
    row = 0
    for tokens, segments in zip(token_batches(table), table["segments"].chunks, strict=True):
        for kind, rows in _batch_problems(header, tokens, segments):
            found.setdefault(kind, []).extend(str(row + int(r)) for r in rows)
        row += len(tokens)
    return [
        f"{kind}: {len(rows)} (sequence {', '.join(rows[:examples])}{', …' if len(rows) > examples else ''})"
        for kind, rows in found.items()
    ]


def _batch_problems(header: ShardHeader, tokens: np.ndarray, segments: pa.ListArray) -> list[tuple[str, np.ndarray]]:
    """(kind, rows of the batch) for every kind of problem that occurs."""
    special, length = header.special, header.sequence_length
    bounds = segments.offsets.to_numpy().astype(np.int64)
    flat = segments.values
    lengths = flat.field("length").to_numpy().astype(np.int64)
    starts = flat.field("start").to_numpy()
    fim = flat.field("fim").to_numpy(zero_copy_only=False)
    sequence = np.repeat(np.arange(len(tokens)), np.diff(bounds))
    used = np.bincount(sequence, lengths[bounds[0] : bounds[-1]], minlength=len(tokens)).astype(np.int64)
    problems = [
        (
            "token ids outside the vocabulary",
            np.flatnonzero(((tokens < 0) | (tokens >= header.vocab_size)).any(axis=1)),
        ),
        ("empty segments", sequence[lengths[bounds[0] : bounds[-1]] < 1]),
        ("segments that start before their document", sequence[starts[bounds[0] : bounds[-1]] < 0]),
        ("segments longer than their sequence", np.flatnonzero(used > length)),
        ("sequences without a segment", np.flatnonzero(np.diff(bounds) == 0)),
    ]
    if any(len(rows) for _, rows in problems[1:4]):
        return [(kind, rows) for kind, rows in problems if len(rows)]

    inside = np.arange(length) < used[:, None]
    problems.append(
        ("padding that is not the pad token", np.flatnonzero(((tokens != special.pad) & ~inside).any(axis=1)))
    )
    if special.pad not in (special.eos, special.bos):
        problems.append(("pad tokens inside segments", np.flatnonzero(((tokens == special.pad) & inside).any(axis=1))))

    lengths, starts, fim = (values[bounds[0] : bounds[-1]] for values in (lengths, starts, fim))
    ends_within = np.cumsum(lengths) - np.repeat((np.cumsum(used) - used), np.diff(bounds))
    first_token = sequence * length + ends_within - lengths  # place in the flat batch
    last_token = first_token + lengths - 1
    everything = tokens.reshape(-1)

    def places(token: int | None) -> tuple[np.ndarray, np.ndarray]:
        """(place in the batch, number of the segment) wherever the token stands inside a segment."""
        where = (
            np.flatnonzero((everything == token) & inside.reshape(-1)) if token is not None else np.empty(0, np.int64)
        )
        return where, np.searchsorted(first_token, where, side="right") - 1

    eos_at, eos_in = places(special.eos)
    early = (eos_at != last_token[eos_in]) & ~((special.bos == special.eos) & (eos_at == first_token[eos_in]))
    problems.append(("end tokens inside segments", sequence[eos_in[early]]))

    whole = (starts == 0) & (everything[last_token] == special.eos)
    unbalanced = np.zeros(len(lengths), bool)
    previous = np.full(len(lengths), -1, np.int64)
    for marker in (special.fim_begin, special.fim_hole, special.fim_end):
        at, number = places(marker)
        count = np.bincount(number, minlength=len(lengths))
        unbalanced |= np.where(fim, (count > 1) | (whole & (count != 1)), count > 0)
        once = number[count[number] == 1]
        position = at[count[number] == 1]
        unbalanced[once] |= position < previous[once]
        previous[once] = position
    problems.append(("unbalanced FIM tokens", sequence[unbalanced]))
    return [(kind, np.unique(rows)) for kind, rows in problems if len(rows)]
