"""Sets of other trainers as lint reads them: Megatron, Mosaic MDS, Hugging Face datasets and flat files, in place.

Their readers are import's (`dataproc/exchange/`). What the format does not say comes from a tokenizer folder; of what
corpusmill exported itself the shards that it was made of know it, and of a flat file the `.json` beside it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import open_part
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange.formats import format_named
from corpusmill.dataproc.exchange.pieces import Piece, ReadOptions, Tokens
from corpusmill.dataproc.lint.blocks import Block, foreign_block, holds_packed
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding
from corpusmill.dataproc.lint.masks import COLUMNS
from corpusmill.dataproc.lint.shard_sets import special_ids
from corpusmill.dataproc.sequences.shards import SpecialIds, list_shards, open_reader
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lineage import find_input
from corpusmill.pipelines.registry import makes
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.round_trip import RoundTrip

PIECE_BYTES = 64 << 20
NO_EOS = -1
HELD_BACK = "validation"
_INTEGERS = re.compile(r"ndarray:u?int|bytes$")
"""Encodings of MDS that hold whole numbers."""


def guess_format(path: str) -> str:
    """The format of a file, prefix or folder, by names alone. Raises UserError where nothing tells."""
    names = storage.list_names(path)
    if path.endswith(".idx") or storage.exists(f"{path.removesuffix('.bin')}.idx"):
        return "megatron"
    if path.endswith(".bin"):
        return "flat"
    if path.endswith((".parquet", ".arrow")):
        return "huggingface"
    if path.endswith("index.json") or "index.json" in names:
        return "mds"
    if any(name.endswith(".idx") for name in names):
        return "megatron"
    if any(name.endswith(".bin") for name in names):
        return "flat"
    if any(name.endswith((".parquet", ".arrow")) for name in names):
        return "huggingface"
    if not storage.exists(path):
        raise UserError("no such file or folder", where=path)
    raise UserError("neither token shards nor a known format", path, "name its --format")


def open_foreign(
    path: str, kind: str, tokenizer: str, column: str, dtype: str, asked: Mapping[str, Mapping[str, float]]
) -> "ForeignSet":
    """A foreign set. Raises UserError for what cannot be read as one."""
    return ForeignSet(path, kind or guess_format(path), tokenizer, column, dtype, asked)


class ForeignSet:
    """Files of another trainer."""

    def __init__(
        self, path: str, kind: str, tokenizer: str, column: str, dtype: str, asked: Mapping[str, Mapping[str, float]]
    ) -> None:
        self.what, self._path, self._module = kind, path, format_named(kind)
        self.tokenizer = ""
        self.expected = self._expected(tokenizer, asked)
        special = self.expected.special
        self._eos = special.eos if special else None
        self._pad = special.pad if special else None
        self._options = ReadOptions(NO_EOS if self._eos is None else self._eos, column, dtype)
        self._pieces = list(self._list_pieces())
        if not self._pieces:
            raise UserError("there are no tokens here", where=path)
        self._packed = self._is_packed()
        if self.what == "flat" and self._packed:
            self.expected = replace(self.expected, loose_ends=True)

    def _list_pieces(self) -> Iterator[tuple[str, Piece]]:
        """(name, piece) of all files, those of `validation` below after the others."""
        for folder, prefix in ((self._path, ""), (storage.join(self._path, HELD_BACK), f"{HELD_BACK}/")):
            if prefix and not storage.list_names(folder):
                continue
            for piece in self._module.pieces(folder, PIECE_BYTES, self._options):
                yield f"{prefix}{piece.path.rpartition('/')[2]}", piece

    def _is_packed(self) -> bool:
        """Whether items are packed sequences, by what a flat file says of itself, else by the first and last items."""
        if self.what == "flat":
            return any(values.get("unit") == "sequence" for values in self._beside())
        ends = {0: self._pieces[0], 1: self._pieces[-1]}.values()
        looked_at = [next(iter(self._module.read(piece, self._options)), None) for _, piece in ends]
        return any(holds_packed(read, self._eos) for read in looked_at if read is not None)

    def _beside(self) -> Iterator[dict[str, Any]]:
        """What stands beside flat files."""
        names = [storage.join(self._path, name) for name in storage.list_names(self._path) if name.endswith(".bin")]
        for file in names or [self._path]:
            path = f"{file.removesuffix('.bin')}.json"
            if storage.exists(path):
                yield json.loads(storage.read_bytes(path))

    def _expected(self, tokenizer: str, asked: Mapping[str, Mapping[str, float]]) -> Expected:
        if tokenizer:
            loaded = Tokenizer.load(tokenizer)
            self.tokenizer = loaded.fingerprint
            roles = loaded.special.roles
            missing = [role for role in ("eos", "pad") if role not in roles]
            if missing:
                raise UserError(f"the tokenizer has no special token for the role '{missing[0]}'", where=tokenizer)
            names = ("bos", "fim_begin", "fim_hole", "fim_end")
            special = SpecialIds(eos=roles["eos"], pad=roles["pad"], **{name: roles.get(name) for name in names})
            is_special = np.isin(np.arange(loaded.vocab_size), list(loaded.special.ids.values()))
            reserved, unknown = special_ids(special, loaded.spellings, is_special)
            return Expected(
                vocab_size=loaded.vocab_size,
                names_vocabulary=True,
                special=special,
                reserved=reserved,
                unknown=unknown,
                spellings=loaded.spellings,
                asked=asked,
                round_trip=RoundTrip(loaded),
            )
        described = self._described()
        if described is None:
            return Expected(asked=asked)
        special, vocab_size, self.tokenizer = described
        return Expected(vocab_size=vocab_size, names_vocabulary=True, special=special, asked=asked)

    def _described(self) -> tuple[SpecialIds, int, str] | None:
        """(special ids, vocabulary, tokenizer) by the shards that an export was made of, or a flat file's `.json`."""
        manifest = state.read_manifest(self._path)
        if manifest and makes(manifest["stage"]) == "export":
            name = manifest["settings"]["shards"]
            place = find_input(self._path, name, manifest["inputs"][name]["manifest"])
            if place and (shards := list_shards(place.path)):
                header = open_reader(shards[0])[0]
                return header.special, header.vocab_size, header.tokenizer
        if self.what != "flat":
            return None
        for values in self._beside():
            if "special" in values and "vocab_size" in values:
                return SpecialIds(**values["special"]), int(values["vocab_size"]), str(values.get("tokenizer", ""))
        return None

    def blocks(self) -> Iterator[Block]:
        documents: dict[str, int] = {}
        for name, piece in self._pieces:
            for read in self._module.read(piece, self._options):
                first = read.first if read.has_items else documents.get(name, 0)
                block = foreign_block(read, name, self._eos, self._pad, first, packed=self._packed)
                documents[name] = documents.get(name, 0) + len(block)
                yield block

    def mask_columns(self) -> list[str]:
        """Columns of masks and labels that the files have, of whole numbers."""
        return [column for column, is_integer in self._mask_columns().items() if is_integer]

    def _mask_columns(self) -> dict[str, bool]:
        """The columns of masks and labels that there are, and whether they hold lists of whole numbers."""
        if self.what not in ("mds", "huggingface"):
            return {}
        path = self._pieces[0][1].path
        if self.what == "mds":
            index = json.loads(storage.read_bytes(storage.join(path.rpartition("/")[0], "index.json")))
            shard = index["shards"][0]
            named = zip(shard["column_names"], shard["column_encodings"], strict=True)
            columns = {name: _INTEGERS.match(encoding) is not None for name, encoding in named}
        elif path.endswith(".parquet"):
            with open_part(path) as file:
                columns = {field.name: _is_integers(field.type) for field in file.schema_arrow}
        else:
            with storage.open_input(path) as file:
                columns = {field.name: _is_integers(field.type) for field in pa.ipc.open_stream(file).schema}
        return {column: columns[column] for column in COLUMNS if column in columns}

    def column(self, column: str) -> Iterator[Tokens]:
        """The values of a column, in portions that go with `blocks`."""
        for _, piece in self._pieces:
            yield from self._module.read(piece, self._options._replace(column=column))

    def settings(self) -> dict[str, Any]:
        return {"format": self.what, "vocab_size": self.expected.vocab_size}

    def findings(self) -> Iterator[Finding]:
        for column, is_integer in self._mask_columns().items():
            if not is_integer:
                seen, hint = (
                    f"the column {column} does not hold whole numbers, so it is not checked",
                    "write it as int8",
                )
                yield Finding(
                    check="loss-mask", severity="note", seen=seen, expected="lists of 0 and 1, or ids", hint=hint
                )
        if self.expected.special is None:
            seen = "nothing says which ids begin documents, end them and pad, so neither these nor the text are checked"
        elif self.expected.round_trip is None:
            seen = "without the tokenizer the text is not checked"
        else:
            return
        hint = "name the tokenizer by --tokenizer"
        yield Finding(
            check="tokenizer", severity="note", seen=seen, expected="a set that can be read as text", hint=hint
        )


def _is_integers(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and pa.types.is_integer(kind.value_type))
