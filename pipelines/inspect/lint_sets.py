"""A path as a set of tokens that lint can read: shards of ours by manifest and headers, or another trainer's files.

What is expected comes from headers, manifests, the mixture that a set was made of, and the tokenizer, where it can be
found. What cannot be found is said as a note, since checks fall away with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.lint.blocks import Block
from corpusmill.dataproc.lint.expected import Expected
from corpusmill.dataproc.lint.findings import Finding
from corpusmill.dataproc.lint.shard_sets import ShardFile, all_blocks, expected_of_shards
from corpusmill.dataproc.sequences.shard_folder import held_back_folder, vocabulary_path
from corpusmill.dataproc.sequences.shards import ShardHeader, list_shards, open_reader, shard_entries
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.engine.lineage import find_input
from corpusmill.pipelines.inspect.foreign_sets import open_foreign
from corpusmill.pipelines.inspect.places import SHARD
from corpusmill.pipelines.inspect.sequences import shard_set
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.round_trip import RoundTrip

Asked = Mapping[str, Mapping[str, float]]


class TokenSet(Protocol):
    """A set of tokens: `what` it is, the fingerprint of its tokenizer ("" if unknown), what is expected of it."""

    what: str
    tokenizer: str
    expected: Expected

    def blocks(self) -> Iterator[Block]:
        """Its sequences, in order; may be asked for again."""

    def settings(self) -> dict[str, Any]:
        """How it was made, for a comparison of builds."""

    def findings(self) -> Iterator[Finding]:
        """What is wrong besides its tokens, or could not be checked; when the blocks were read."""


def open_set(path: str, kind: str, tokenizer: str, column: str, dtype: str, asked: Asked) -> TokenSet:
    """The set at a path. Raises UserError for anything else, and for a format that cannot be guessed."""
    path = path.rstrip("/") or "/"
    if not kind and (shards := _shards_at(path)):
        return ShardSet(path, shards, tokenizer, asked)
    return open_foreign(path, kind, tokenizer, column, dtype, asked)


def _shards_at(path: str) -> list[ShardFile]:
    """Shards of ours at a path, held-back ones after the others; none where there are none."""
    if path.endswith(SHARD) and not storage.list_names(path):
        if not storage.exists(path):
            raise UserError("no such file or folder", where=path)
        try:
            _, reader = open_reader(path)
        except UserError as error:
            if "has no header" in error.what:
                return []
            raise
        rows = sum(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
        return [ShardFile(path, path.rpartition("/")[2], rows)]
    if not list_shards(path):
        return []
    below = held_back_folder(path)
    held_back = shard_entries(below) if list_shards(below) else []
    shards = [ShardFile(entry.path, entry.path[len(path) + 1 :], entry.rows) for entry in shard_entries(path)]
    return shards + [ShardFile(entry.path, entry.path[len(path) + 1 :], entry.rows) for entry in held_back]


class ShardSet:
    """Token shards of ours: a folder, or one shard."""

    def __init__(self, path: str, shards: list[ShardFile], tokenizer: str, asked: Asked) -> None:
        self.what = "shards" if not path.endswith(SHARD) else "shard"
        self._shards, self._folder = shards, path if self.what == "shards" else shard_set(path)
        self.header = open_reader(shards[0].path)[0]
        self.tokenizer = self.header.tokenizer
        self._notes: list[Finding] = []
        self._unlike: dict[str, list[str]] = {}
        manifest = state.read_manifest(self._folder) or {}
        encoded = bool(self.header.fim)  # where ids were made elsewhere there was no text to rearrange
        spellings, special = self._vocabulary()
        facts = manifest.get("facts", {})
        whole = self.what == "shards"
        self.expected = expected_of_shards(
            self.header,
            spellings,
            special,
            encoded=encoded,
            whole=whole,
            round_trip=self._round_trip(manifest, tokenizer),
            asked=asked or asked_of_mixture(self._folder, manifest),
            recorded=facts.get("tokens_by", {}) if whole else {},
        )

    def _vocabulary(self) -> tuple[pa.Array | None, np.ndarray]:
        """(bytes of each id, whether it is special), by the set's own table."""
        path = vocabulary_path(self._folder)
        if not storage.exists(path):
            self._notes.append(_note("the set has no vocabulary table, so its text is not checked"))
            return None, np.zeros(0, bool)
        with storage.open_input(path) as file:
            table = pq.read_table(file)
        return table["bytes"].combine_chunks().cast(pa.large_binary()), table["special"].to_numpy()

    def _round_trip(self, manifest: Mapping[str, Any], given: str) -> RoundTrip | None:
        """The tokenizer's own opinion of ids: the one that was named, else the one that the manifest names."""
        written = manifest.get("settings", {}).get("tokenizer", "")
        beside = storage.join(storage.absolute(self._folder).rsplit("/", 1)[0], written) if written else ""
        candidates = [given] if given else [beside, written]
        for folder in candidates:
            if not folder or not storage.exists(storage.join(folder, "training.json")):
                continue
            loaded = Tokenizer.load(folder)
            if loaded.fingerprint == self.header.tokenizer:
                return RoundTrip(loaded)
            if given:
                self._notes.append(_other_tokenizer(loaded.fingerprint, self.header.tokenizer))
                return None
        if given:
            raise UserError("no tokenizer here", where=given, hint="name a folder made by corpusmill tokenizer")
        self._notes.append(_note("the tokenizer was not found, so texts are not encoded again"))
        return None

    def blocks(self) -> Iterator[Block]:
        self._unlike = {}
        for header, block in all_blocks(self._shards):
            for name in unlike(header, self.header):
                names = self._unlike.setdefault(name, [])
                if not names or names[-1] != block.shard:
                    names.append(block.shard)
            yield block

    def settings(self) -> dict[str, Any]:
        header = self.header.to_values()
        kept = ("sequence_length", "vocab_size", "special", "packing", "fim")
        return {name: header[name] for name in kept}

    def findings(self) -> Iterator[Finding]:
        yield from self._notes
        for name, shards in self._unlike.items():
            yield Finding(
                check="headers",
                severity="error",
                seen=f"{len(shards):,} shards have another {name} in their header than {self._shards[0].name}",
                expected="headers that differ only in the group",
                hint="these are shards of another set: take them out, or pack all of it together",
                where=shards[:3],
            )


def unlike(header: ShardHeader, first: ShardHeader) -> list[str]:
    """Fields in which a shard's header differs from the first's, those apart that may."""
    one, other = asdict(header), asdict(first)
    return [name for name in one if name not in ("group", "storage") and one[name] != other[name]]


def asked_of_mixture(folder: str, manifest: Mapping[str, Any]) -> Asked:
    """The shares of tokens that the mixture was asked for of which alone a set was made; none where there is none."""
    datasets = manifest.get("settings", {}).get("datasets", ())
    if len(datasets) != 1:
        return {}
    place = find_input(folder, datasets[0], manifest["inputs"].get(datasets[0], {}).get("manifest", ""))
    mixed = state.read_manifest(place.path) if place and not place.changed else None
    if not mixed or "plan" not in mixed["facts"] or mixed["facts"].get("unit") != "tokens":
        return {}
    level = mixed["settings"]["by"][0]
    weights: dict[str, float] = {}
    for group in mixed["facts"]["plan"]:
        name = group["group"].partition("/")[0]
        weights[name] = weights.get(name, 0.0) + group["weight"]
    return {level: weights}


def _note(seen: str) -> Finding:
    hint = "name the tokenizer by --tokenizer"
    return Finding(check="tokenizer", severity="note", seen=seen, expected="a set that can be read as text", hint=hint)


def _other_tokenizer(given: str, own: str) -> Finding:
    return Finding(
        check="tokenizer",
        severity="error",
        seen=f"the tokenizer that was named has the fingerprint {given}",
        expected=f"{own}, as the shards' headers say",
        hint="name the tokenizer that these shards were packed with",
    )
