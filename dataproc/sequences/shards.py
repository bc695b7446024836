"""Token shards: packed sequences in Arrow IPC files that a trainer maps into memory, traceable to their documents.

A shard `shard-00000.arrow` has one row a sequence: `tokens`, L of them (a fixed-size list, so a sequence is a slice of
one flat int32 buffer), and `segments`, which says in order which document each stretch of tokens comes from, from which
of its tokens on, and whether it was rearranged to fill in the middle. Padding comes after the last segment. The
schema's metadata hold the `ShardHeader` as JSON under the key `corpusmill`: whoever has the file knows its tokenizer,
special ids, packing, FIM and seed.

Tokens are stored in one of three ways (`STORAGES`), which differ in bytes and in what a reader does:

    plain    4 bytes a token; reading a sequence is a page fault and no decoding
    packed   3 bytes a token, ids up to 2**24 - 1; a reader widens the sequences that it takes
    zstd     about 2 bytes a token of text; a reader decodes the record batch (4 MiB) that a sequence is in

Shards of conversations have a third column, `learned`: a bit a token, the lowest of a byte first, that says whether the
loss counts it as a target. They are version 3 of the format; those without it are version 2, in the same bytes as ever.

What each costs in speed is in docs/performance.md. Segments take about 60 bytes each, less under zstd. Memory: the
arrays of one shard when it is written; when it is read, what the pages in use take, and a table of a `zstd` shard as
much as it is plain. This module imports no kernels: `training` reads shards, too.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.storage import commit_file, exists, is_url, join, list_names, open_input, read_bytes, size

VERSION, WITH_LEARNED = 2, 3
METADATA_KEY = b"corpusmill"
STORAGES = ("plain", "packed", "zstd")
PACKED_BYTES = 3

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

_NAME = re.compile(r"shard-(\d{5,})(?:_(\d{3,}))?\.arrow")
_MANIFEST = "_manifest.json"


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
        group: what all documents of this shard have in common ("code", "web:0-4096"), "" where they are mixed.
        storage: one of `STORAGES`.
        learned: whether a column says which tokens the loss counts.
    """

    tokenizer: str
    sequence_length: int
    special: SpecialIds
    vocab_size: int
    model_rows: int
    seed: int
    packing: dict[str, Any] = field(default_factory=dict)
    fim: dict[str, Any] = field(default_factory=dict)
    group: str = ""
    storage: str = "plain"
    learned: bool = False

    @property
    def version(self) -> int:
        """Of the format: older readers refuse what they would read without its mask."""
        return WITH_LEARNED if self.learned else VERSION

    def to_values(self) -> dict[str, Any]:
        """As plain JSON values."""
        values = asdict(self) | {"version": self.version}
        return values if self.learned else {name: value for name, value in values.items() if name != "learned"}

    def to_json(self) -> str:
        """The same text for the same header: sorted keys, no white space."""
        return json.dumps(self.to_values(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "") -> "ShardHeader":
        """Reads and checks a header. Raises UserError for another version, missing or unknown fields, wrong types."""
        try:
            values = json.loads(text)
            version = values.pop("version", None)
            if version not in (VERSION, WITH_LEARNED):
                raise UserError(f"shard version {version!r} is not {VERSION} or {WITH_LEARNED}", where, "pack again")
            header = cls(**{**values, "special": SpecialIds(**values["special"])})
            if header.version != version or type(header.learned) is not bool:
                raise TypeError(f"version {version} and learned {header.learned!r} do not go together")
            numbers = [header.sequence_length, header.vocab_size, header.model_rows, header.seed]
            numbers += [value for value in asdict(header.special).values() if value is not None]
            whole = all(type(number) is int for number in numbers) and header.sequence_length > 0
            if not whole or not isinstance(header.packing, dict) or not isinstance(header.fim, dict):
                raise TypeError("a field has a value of the wrong kind")
            if not isinstance(header.group, str) or header.storage not in STORAGES:
                raise TypeError(f"group {header.group!r} or storage {header.storage!r} is unknown")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"this shard's header cannot be read ({error})", where, "pack again") from error
        return header


def shard_schema(header: ShardHeader) -> pa.Schema:
    """The Arrow schema of a shard, header included."""
    length = header.sequence_length
    plain = pa.list_(pa.field("item", pa.int32(), nullable=False), length)
    tokens = pa.binary(PACKED_BYTES * length) if header.storage == "packed" else plain
    columns = [pa.field("tokens", tokens, nullable=False), pa.field("segments", SEGMENT_TYPE, nullable=False)]
    if header.learned:
        columns.append(pa.field("learned", pa.binary(-(-length // 8)), nullable=False))
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


def write_shard(
    path: str, header: ShardHeader, tokens: np.ndarray, segments: pa.ListArray, learned: np.ndarray | None = None
) -> tuple[int, str]:
    """Commits one shard, in record batches of `BATCH_TOKENS`. Returns (bytes, digest); equal content, equal bytes.

    Args:
        tokens: int32 of shape (S, L), C order.
        segments: one list a sequence, as from `segment_column`.
        learned: bool of the tokens' shape, where the header says that there is such a mask.

    Raises UserError when an id does not fit the storage.
    """
    sequences, length = tokens.shape
    if length != header.sequence_length or len(segments) != sequences:
        raise ValueError(
            f"tokens {tokens.shape} and {len(segments)} segment lists do not fit L={header.sequence_length}"
        )
    if (learned is not None) != header.learned or (learned is not None and learned.shape != tokens.shape):
        raise ValueError("the mask of learned tokens is not what the header says")
    schema = shard_schema(header)
    options = pa.ipc.IpcWriteOptions(compression="zstd" if header.storage == "zstd" else None)
    rows = rows_per_batch(length)
    with commit_file(path) as file, pa.ipc.new_file(file, schema, options=options) as writer:
        for first in range(0, sequences, rows):
            column = _token_column(header, np.ascontiguousarray(tokens[first : first + rows], np.int32), schema)
            # `take` makes fresh buffers: those of a slice would carry their history into the file
            part = segments.take(pa.array(np.arange(first, first + len(column))))
            more = [] if learned is None else [_bits(learned[first : first + rows], schema.field("learned").type)]
            writer.write_batch(pa.RecordBatch.from_arrays([column, part, *more], schema=schema))
    return file.bytes, file.digest


def _token_column(header: ShardHeader, tokens: np.ndarray, schema: pa.Schema) -> pa.Array:
    """The `tokens` column of one record batch, from int32 (rows, L)."""
    kind = schema.field("tokens").type
    if header.storage != "packed":
        return pa.FixedSizeListArray.from_arrays(pa.array(tokens.reshape(-1)), type=kind)
    if header.vocab_size > 1 << (8 * PACKED_BYTES):
        raise UserError(f"{header.vocab_size:,} ids do not fit 3 bytes", hint="use storage plain or zstd")
    narrow = np.ascontiguousarray(tokens.astype("<i4", copy=False).view(np.uint8).reshape(-1, 4)[:, :PACKED_BYTES])
    return pa.Array.from_buffers(kind, len(tokens), [None, pa.py_buffer(narrow)])


def _bits(learned: np.ndarray, kind: pa.DataType) -> pa.Array:
    """The `learned` column of one record batch, from bool (rows, L)."""
    return pa.Array.from_buffers(kind, len(learned), [None, pa.py_buffer(np.packbits(learned, 1, "little"))])


def batch_learned(header: ShardHeader, batch: pa.RecordBatch, first: int = 0, rows: int | None = None) -> np.ndarray:
    """Which tokens of `rows` rows of a record batch, from `first` on, the loss counts: bool (rows, L).

    Raises ValueError where the shard has no such mask.
    """
    if not header.learned:
        raise ValueError("this shard has no mask of learned tokens")
    column, width = batch.column("learned"), -(-header.sequence_length // 8)
    rows = len(column) - first if rows is None else rows
    begin = (column.offset + first) * width
    bits = np.frombuffer(column.buffers()[1], np.uint8)[begin : begin + rows * width].reshape(rows, width)
    return np.unpackbits(bits, 1, header.sequence_length, "little").view(bool)


def unpack_rows(packed: np.ndarray) -> np.ndarray:
    """int32 (rows, L) from uint8 (rows, 3 L) of the storage `packed`."""
    rows, length = len(packed), packed.shape[1] // PACKED_BYTES
    wide = np.zeros((rows, length, 4), np.uint8)
    wide[:, :, :PACKED_BYTES] = packed.reshape(rows, length, PACKED_BYTES)
    return wide.view("<i4").reshape(rows, length)


def token_rows(header: ShardHeader, batch: pa.RecordBatch) -> np.ndarray:
    """The `tokens` column as it lies in the file, a view: int32 (rows, L), or uint8 (rows, 3 L) where it is packed."""
    column = batch.column("tokens")
    if header.storage != "packed":
        return column.flatten().to_numpy().reshape(-1, header.sequence_length)
    width = PACKED_BYTES * header.sequence_length
    flat = np.frombuffer(column.buffers()[1], np.uint8)
    return flat[column.offset * width : (column.offset + len(column)) * width].reshape(len(column), width)


def batch_tokens(header: ShardHeader, batch: pa.RecordBatch) -> np.ndarray:
    """The tokens of a record batch: int32 (rows, L); a view of the mapped file, except for the storage `packed`."""
    rows = token_rows(header, batch)
    return unpack_rows(rows) if header.storage == "packed" else rows


def rows_per_batch(sequence_length: int) -> int:
    """Sequences of every record batch but the last: row r is row r % this of batch r // this."""
    return max(1, BATCH_TOKENS // sequence_length)


def open_reader(path: str) -> tuple[ShardHeader, pa.ipc.RecordBatchFileReader]:
    """(header, reader) of a shard: `reader.get_batch(i)` gives one record batch, of a local file as views of its map
    (decoded first where the storage is `zstd`); a remote file is read whole.

    Raises UserError for a file that is missing, truncated, or no shard of ours.
    """
    source = open_input(path)
    try:
        if not is_url(path):
            mapped = pa.memory_map(path)
        else:
            mapped = pa.BufferReader(source.read())
        reader = pa.ipc.open_file(mapped)
    except (pa.ArrowException, OSError) as error:
        raise _truncated(path, error) from error
    finally:
        source.close()
    metadata = reader.schema.metadata or {}
    if METADATA_KEY not in metadata:
        raise UserError("not a corpusmill shard: this Arrow file has no shard header", path, "name a folder of shards")
    header = ShardHeader.from_json(metadata[METADATA_KEY], path)
    if not reader.schema.equals(shard_schema(header)):
        raise UserError("the columns of this shard do not match its version", path, "pack again")
    return header, reader


def open_shard(path: str) -> tuple[ShardHeader, pa.Table]:
    """(header, table) of a whole shard. A local file is memory-mapped, so the table takes no memory until it is looked
    at (but one of the storage `zstd` is decoded here).

    Raises UserError as `open_reader` does, and for a file that is damaged further on.
    """
    header, reader = open_reader(path)
    try:
        table = reader.read_all()
        table.validate()
    except (pa.ArrowException, OSError) as error:
        raise _truncated(path, error) from error
    return header, table


def _truncated(path: str, error: Exception) -> UserError:
    return UserError(
        f"incomplete or damaged Arrow file ({error})", path, "it may be truncated: download it or pack it again"
    )


def shard_name(number: int, part: int = 0) -> str:
    """The file name of a shard: `number` is that of the task that wrote it, `part` counts its shards."""
    return f"shard-{number:05d}.arrow" if part == 0 else f"shard-{number:05d}_{part:03d}.arrow"


def is_shard_name(path: str) -> bool:
    """Whether a path is named like a shard; other Arrow files may lie in a folder of ours, too."""
    return _NAME.fullmatch(path.rsplit("/", 1)[-1]) is not None


def list_shards(folder: str) -> list[str]:
    """Paths of the shards directly in a folder, by number and part."""
    numbered = [
        (int(match[1]), int(match[2] or 0), name) for name in list_names(folder) if (match := _NAME.fullmatch(name))
    ]
    return [join(folder, name) for _, _, name in sorted(numbered)]


@dataclass(frozen=True)
class ShardEntry:
    """A shard of a set as it is known without opening it.

    Attributes:
        path: of the file.
        rows: sequences.
        group: as in its header.
        bytes, digest: of the file; the digest (xxh3-128) is "" if no manifest has it.
        tokens: without padding; 0 if no manifest has it.
    """

    path: str
    rows: int
    group: str
    bytes: int
    digest: str
    tokens: int


def shard_entries(folder: str) -> list[ShardEntry]:
    """The shards of a folder in order, by its manifest, so that a loader of 100,000 shards opens none of them first.

    The held-back shards of `_validation/` stand in the manifest above it. Where there is no manifest every shard is
    opened. Raises UserError when a shard of the manifest is not there (local folders), or a file is no shard.
    """
    paths = list_shards(folder)
    above, _, name = folder.rstrip("/").rpartition("/")
    for base, prefix in ((folder, ""), (above or "/", f"{name}/")):
        if not exists(manifest := join(base, _MANIFEST)):
            continue
        recorded = json.loads(read_bytes(manifest))
        listed = [entry for entry in [*recorded["parts"], *recorded["files"]] if "group" in entry]
        here = {join(base, entry["path"]): entry for entry in listed if entry["path"].rpartition("/")[0] == prefix[:-1]}
        if not here:
            continue
        if missing := sorted(here.keys() - set(paths)):
            raise UserError(
                "a shard listed in the manifest is missing", where=missing[0], hint="download it or pack again"
            )
        wanted = ("rows", "group", "bytes", "digest", "tokens")
        return [ShardEntry(path, *(here[path][key] for key in wanted)) for path in paths if path in here]
    entries = []
    for path in paths:
        header, table = open_shard(path)
        entries.append(ShardEntry(path, table.num_rows, header.group, size(path), "", 0))
    return entries
