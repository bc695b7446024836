"""Hugging Face datasets: Parquet files and a card, so that a folder loads by `datasets.load_dataset(folder)`.

Columns of a packed sequence: `input_ids` (all L ids, with padding as in our shards, since collators stack rows),
`segment_lengths` (which add up to the ids that are not padding), `segment_starts` (first token in its document),
`documents` and `sources` (of each segment). Of a document: `input_ids`, `document`, `source`, `fim`. `README.md` names
the splits, `train` and `validation`, and how many rows they have, which the library then checks.

Row groups are what is written at once, about a million tokens; ids are plain int32 under zstd, 1.3 bytes each on the
corpus of docs/performance.md.

Reading takes Parquet, and Arrow files as `save_to_disk` writes them; of a set with several splits, one split's folder.
The column of tokens may be any list of integers. A column `segment_lengths` says what is padding.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext, suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange.items import Items, flat_segments
from corpusmill.dataproc.exchange.pieces import (
    LENGTHS_COLUMN,
    MASK_COLUMNS,
    TOKEN_COLUMNS,
    Piece,
    ReadOptions,
    Tokens,
    files_in,
)
from corpusmill.dataproc.sequences.shards import ShardHeader
from corpusmill.dataproc.storage import commit_file, exists, is_url, join, list_names, open_input

PADDED = True
IDS = pa.list_(pa.int32())
SCHEMAS = {
    "sequence": pa.schema(
        {
            "input_ids": IDS,
            LENGTHS_COLUMN: IDS,
            "segment_starts": pa.list_(pa.int64()),
            "documents": pa.list_(pa.string()),
            "sources": pa.list_(pa.string()),
        }
    ),
    "document": pa.schema({"input_ids": IDS, "document": pa.string(), "source": pa.string(), "fim": pa.bool_()}),
}
CARD = """---
configs:
- config_name: default
  data_files:
{files}dataset_info:
  splits:
{splits}---

# Tokens by corpusmill

Token ids of the tokenizer {tokenizer}, {vocabulary} of them. Splits: {split_lines}.
In packed sequences `segment_lengths` add up to the ids that are no padding.
"""


class Writer:
    """Writes items to `<folder>/<stem>.parquet`; leaving the context commits it, an exception does not."""

    def __init__(self, folder: str, stem: str, header: ShardHeader, unit: str) -> None:
        self._folder, self._stem, self._unit = folder, stem, unit
        self._rows = self._tokens = self._arrow_bytes = 0
        self._stack = ExitStack()
        self.entries: list[dict[str, Any]] = []

    def __enter__(self) -> "Writer":
        self._file = self._stack.enter_context(commit_file(join(self._folder, f"{self._stem}.parquet")))
        # The ids' dictionaries would outgrow their pages; those of names are small.
        names = [f"{name}.list.element" for name in ("documents", "sources")] + ["document", "source"]
        self._parquet = pq.ParquetWriter(
            self._file, SCHEMAS[self._unit], compression="zstd", compression_level=1, use_dictionary=names
        )
        return self

    def write(self, items: Items) -> None:
        """Appends items as a row group."""
        bounds, flat = flat_segments(items.segments)
        ids = pa.ListArray.from_arrays(pa.array(items.offsets, pa.int32()), pa.array(items.tokens), type=IDS)
        if self._unit == "document":
            columns = [ids, *(flat.field(name) for name in ("document", "source", "fim"))]
        else:
            fields = [flat.field(name) for name in ("length", "start", "document", "source")]
            columns = [ids, *(pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), values) for values in fields)]
        table = pa.Table.from_arrays(columns, schema=SCHEMAS[self._unit])
        self._parquet.write_table(table, row_group_size=max(1, len(items)))
        self._rows += len(items)
        self._tokens += items.text_tokens
        self._arrow_bytes += table.nbytes

    def __exit__(self, *details: Any) -> None:
        # Whatever fails in closing after an error, the error that came before it is the one to show.
        with nullcontext() if details[0] is None else suppress(Exception):
            self._parquet.close()
        self._stack.__exit__(*details)
        if details[0] is None:
            entry = {"path": f"{self._stem}.parquet", "rows": self._rows, "bytes": self._file.bytes}
            more = {"digest": self._file.digest, "tokens": self._tokens, "arrow_bytes": self._arrow_bytes}
            self.entries = [entry | more]


def beside(entries: list[dict[str, Any]], header: ShardHeader, unit: str, folder: str) -> dict[str, bytes]:
    """The card of the whole export, from the entries of both splits; nothing for `_validation/` by itself."""
    if folder:
        return {}
    files, splits, split_lines = "", "", []
    for split, prefix in (("train", ""), ("validation", "validation/")):
        in_split = [entry for entry in entries if entry["path"].rpartition("/")[0] == prefix[:-1]]
        if not in_split:
            continue
        stems = sorted({entry["path"].rpartition("/")[2].partition("-")[0] for entry in in_split})
        paths = "".join(f'    - "{prefix}{stem}-*.parquet"\n' for stem in stems)
        files += f"  - split: {split}\n    path:\n{paths}"
        rows = sum(entry["rows"] for entry in in_split)
        splits += f"  - name: {split}\n    num_bytes: {sum(entry['arrow_bytes'] for entry in in_split)}\n"
        splits += f"    num_examples: {rows}\n"
        split_lines.append(f"{split} {rows:,} rows, {sum(entry['tokens'] for entry in in_split):,} tokens")
    vocabulary_size = f"{header.vocab_size:,}"
    card = CARD.format(
        files=files,
        splits=splits,
        tokenizer=header.tokenizer,
        vocabulary=vocabulary_size,
        split_lines="; ".join(split_lines),
    )
    return {"README.md": card.encode()}


def pieces(path: str, piece_bytes: int, options: ReadOptions) -> list[Piece]:
    """Row groups of the Parquet files, or whole Arrow files, of a folder; or of one file. Raises UserError."""
    if exists(join(path, "dataset_dict.json")):
        splits = ", ".join(json.loads(_text(join(path, "dataset_dict.json"))).get("splits", []))
        raise UserError(f"this folder has several splits ({splits})", path, f"name one of them, as in {path}/train")
    arrow = path.endswith(".arrow") or any(name.endswith(".arrow") for name in list_names(path))
    ranges = []
    for file in files_in(path, ".arrow" if arrow else ".parquet", "Parquet or Arrow files"):
        ranges += _arrow_piece(file, options) if arrow else _parquet_pieces(file, piece_bytes, options)
    return ranges


def _text(path: str) -> str:
    with open_input(path) as file:
        return file.read().decode("utf-8", "replace")


def _parquet_pieces(path: str, piece_bytes: int, options: ReadOptions) -> list[Piece]:
    ranges: list[Piece] = []
    with open_part(path) as file:
        column = _token_column(file.schema_arrow, options, path)
        for group in range(file.num_row_groups):
            meta = file.metadata.row_group(group)
            leaves = (meta.column(number) for number in range(meta.num_columns))
            group_bytes = sum(4 * leaf.num_values for leaf in leaves if leaf.path_in_schema.partition(".")[0] == column)
            if ranges and ranges[-1].bytes + group_bytes <= piece_bytes:
                ranges[-1] = Piece(path, ranges[-1].first, group + 1, ranges[-1].bytes + group_bytes)
            else:
                ranges.append(Piece(path, group, group + 1, group_bytes))
    return ranges


def _arrow_piece(path: str, options: ReadOptions) -> list[Piece]:
    with _open_stream(path) as stream:
        _token_column(stream.schema, options, path)
        size = sum(batch.nbytes for batch in stream)
    return [Piece(path, 0, 1, size)]


def _open_stream(path: str) -> pa.RecordBatchReader:
    """An Arrow file as `save_to_disk` writes it (a stream), or one with a footer. Raises UserError."""
    with open_input(path) as file:
        source = pa.memory_map(path) if not is_url(path) else pa.BufferReader(file.read())
    try:
        return pa.ipc.open_stream(source)
    except (pa.ArrowInvalid, OSError) as error:
        what = f"this is not an Arrow stream ({error})"
        raise UserError(what, where=path, hint="name a folder written by Dataset.save_to_disk") from error


def _token_column(schema: pa.Schema, options: ReadOptions, path: str) -> str:
    """The column of tokens. Raises UserError if there is none, or it does not hold lists of integers."""
    wanted = [options.column] if options.column else TOKEN_COLUMNS
    column = next((name for name in wanted if name in schema.names), None)
    if column is None:
        what = f"no column {' or '.join(wanted)} among {', '.join(schema.names)}"
        raise UserError(what, where=path, hint="name the column of token ids with --column")
    if options.refuse_masks and (masks := [name for name in MASK_COLUMNS if name in schema.names]):
        what = f"the column {masks[0]} says which tokens are learned, and an import does not carry that"
        raise UserError(what, path, "drop it to learn all tokens, or bring conversations in by 'ingest --format chat'")
    kind = schema.field(column).type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or not pa.types.is_integer(kind.value_type):
        raise UserError(
            f"column {column} holds {kind}, not lists of token ids", path, "name another column with --column"
        )
    return column


def read(piece: Piece, options: ReadOptions) -> Iterator[Tokens]:
    """The rows of a piece, a row group or record batch at a time. Raises UserError for a file that is damaged."""
    row = 0
    if piece.path.endswith(".parquet"):
        with open_part(piece.path) as file:
            column = _token_column(file.schema_arrow, options, piece.path)
            columns = [name for name in (column, LENGTHS_COLUMN) if name in file.schema_arrow.names]
            row = sum(file.metadata.row_group(group).num_rows for group in range(piece.first))
            for group in range(piece.first, piece.last):
                try:
                    table = file.read_row_group(group, columns=columns, use_threads=False).combine_chunks()
                except (pa.ArrowException, OSError) as error:
                    raise UserError(
                        f"row group {group} is damaged ({error})", piece.path, "download it again"
                    ) from error
                for batch in table.to_batches():
                    yield _tokens(batch, column, row, piece.path)
                    row += batch.num_rows
        return
    with _open_stream(piece.path) as stream:
        column = _token_column(stream.schema, options, piece.path)
        try:
            for batch in stream:
                yield _tokens(batch, column, row, piece.path)
                row += batch.num_rows
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"this Arrow file is damaged ({error})", piece.path, "download it again") from error


def _tokens(batch: pa.RecordBatch, column: str, row: int, path: str) -> Tokens:
    names = batch.schema.names
    lengths = _lists(batch.column(LENGTHS_COLUMN), row, path) if LENGTHS_COLUMN in names else None
    return Tokens(row, *_lists(batch.column(column), row, path), lengths)


def _lists(column: pa.Array, row: int, path: str) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 (N + 1,) from 0, values) of a column of lists without nulls."""
    nulls = column.is_null().to_numpy(zero_copy_only=False)
    if nulls.any():
        raise UserError("a row has no tokens", f"{path}, row {row + int(nulls.argmax())}", "remove such rows")
    offsets = np.append(0, np.cumsum(pc.list_value_length(column).to_numpy(), dtype=np.int64))
    values = column.flatten()
    if values.null_count:
        raise UserError("a token is null", f"{path}, from row {row} on", "remove such rows")
    return offsets, values.to_numpy()
