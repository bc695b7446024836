"""How well a model predicts documents: loss and bits per byte by source, kind, language and contamination.

Of a dataset, documents are measured one by one, from what stands before a document in training (bos where `pack` put
one, else eos), by the windows of lm-evaluation-harness; so figures of two models with the same tokenizer, or in bits
per byte with any, compare. Of shards, packed sequences are measured as in training, held-back ones where there are
some; kind and language of their documents come from the datasets that they were packed of, where these are still there.

Where a dataset was made by `decontaminate`, documents with an item that counts by its settings are "contaminated" and
all others "clean": a model that does better on the first half may have read the evaluation set.

Which documents are measured (`share`) is drawn by their ids. Memory: a batch of documents and a pass of the model; of
shards also the ids of the documents measured.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.randomness import random_keys
from corpusmill.dataproc.sequences.shard_folder import vocabulary_path
from corpusmill.dataproc.side_tables import side_files, stem_of
from corpusmill.pipelines.datasets import SHARD_MAKERS, list_parts
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.places import chain, recognise
from corpusmill.pipelines.registry import makes

if TYPE_CHECKING:
    from corpusmill.pipelines.generation import TextGenerator

BY = ("source", "kind", "language")
CONTAMINATION, DIRTY, CLEAN = "contamination", "contaminated", "clean"
UNKNOWN = "(unknown)"
_DOCUMENTS_A_BATCH = 256


@dataclass
class Measured:
    """Sums over some documents."""

    documents: int = 0
    tokens: int = 0
    """Predicted."""
    bytes: int = 0
    """Of the predicted tokens' text."""
    nats: float = 0.0

    @property
    def loss(self) -> float | None:
        """Nats a token; None where nothing was predicted."""
        return self.nats / self.tokens if self.tokens else None

    @property
    def bits_per_byte(self) -> float | None:
        """Bits for each byte of text; None where there was none."""
        return self.nats / log(2) / self.bytes if self.bytes else None


@dataclass
class Measurement:
    """All that was measured, and the same by what documents are."""

    total: Measured = field(default_factory=Measured)
    by: dict[str, dict[str, Measured]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Measured)))
    """Sums by value, by `source`, `kind`, `language`, and `contamination` where it is known."""
    held_back: bool = False
    """Whether only held-back sequences were measured."""

    def add(self, labels: Mapping[str, str | None], tokens: int, size: int, nats: float, documents: int = 1) -> None:
        """Adds a document, or a part of one."""
        for measured in (self.total, *(self.by[name][value or UNKNOWN] for name, value in labels.items())):
            measured.documents += documents
            measured.tokens += tokens
            measured.bytes += size
            measured.nats += nats


def evaluate(writer: "TextGenerator", folder: str, *, share: float = 1.0, sequences: int = 256) -> Measurement:
    """Measures a model on a folder of shards or a dataset.

    Args:
        writer: the model and its tokenizer.
        folder: of shards, or of documents.
        share: of a dataset's documents, drawn by id.
        sequences: at most so many packed sequences of shards, evenly spread.

    Raises UserError for another folder, other shards than the tokenizer's, or a share that makes no sense.
    """
    if not 0 < share <= 1 or sequences < 1:
        raise UserError("nothing to measure", hint="give a share above 0, at most 1, and a sequence or more")
    made_by = state.require_manifest(folder)["stage"]
    if made_by in SHARD_MAKERS:
        return _evaluate_shards(writer, folder, sequences)
    return _evaluate_dataset(writer, folder, share)


def _evaluate_dataset(writer: "TextGenerator", folder: str, share: float) -> Measurement:
    from corpusmill.training.watching.document_loss import document_nats

    measurement, manifest = Measurement(), state.require_manifest(folder)
    prefix, length = writer.prefix, writer.length
    hits = side_files(manifest, "hits")
    for part in list_parts([folder], lambda name: name):
        dirty = _dirty(folder, hits.get(stem_of(part.path)), manifest["settings"]) if hits else None
        for batch in _drawn(part.path, share):
            ids = [np.asarray(row.values) for row in writer.tokenizer.encode(batch.column("text"))]
            nats = document_nats(writer.trained.model, ids, prefix, length)
            sizes = pc.binary_length(batch.column("text").cast(pa.large_binary())).to_pylist()
            labels = {name: batch.column(name).to_pylist() for name in BY}
            if dirty is not None:
                flagged = pc.is_in(batch.column("id"), value_set=dirty).to_pylist()
                labels[CONTAMINATION] = [DIRTY if bad else CLEAN for bad in flagged]
            for row in range(batch.num_rows):
                named = {name: values[row] for name, values in labels.items()}
                measurement.add(named, len(ids[row]), sizes[row], float(nats[row]))
    return measurement


def _drawn(path: str, share: float) -> Iterator[pa.RecordBatch]:
    """The documents of a part that are measured, so many at a time."""
    for batch in read_batches(path, ["id", "text", *BY]):
        if share < 1:
            drawn = random_keys(0, "evaluate", batch.column("id")) < np.uint64(share * 2**63) * np.uint64(2)
            batch = batch.filter(pa.array(drawn))
        for start in range(0, batch.num_rows, _DOCUMENTS_A_BATCH):
            yield batch.slice(start, _DOCUMENTS_A_BATCH)


def _dirty(folder: str, path: str | None, settings: Mapping[str, Any]) -> pa.Array:
    """Ids of a part's documents in which an item of an evaluation set counts."""
    if path is None:
        return pa.array([], pa.string())
    with storage.open_input(storage.join(folder, path)) as file:
        hits = pq.read_table(file, columns=["id", "set", "share"])
    shares = settings.get("shares") or {}
    least = pa.array([shares.get(name, settings.get("share", 0.0)) for name in hits["set"].to_pylist()], pa.float64())
    return hits["id"].filter(pc.greater_equal(hits["share"].cast(pa.float64()), least)).combine_chunks().unique()


def _evaluate_shards(writer: "TextGenerator", folder: str, sequences: int) -> Measurement:
    from corpusmill.training.loader.shard_loader import held_back
    from corpusmill.training.loader.shard_set import ShardSet
    from corpusmill.training.watching.document_loss import segment_sums
    from corpusmill.training.watching.evaluation import measured_rows

    validation = held_back(folder)
    shards = validation or ShardSet(folder)
    if shards.header.tokenizer != writer.tokenizer.fingerprint:
        raise UserError("these shards are of another tokenizer", where=folder, hint="pack with the model's tokenizer")
    model, spelled = writer.trained.model, token_bytes(folder)
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    hidden = shards.header.learned  # conversations are hidden from each other, as fine-tuning has them
    for part in segment_sums(model, shards, measured_rows(shards, sequences), 8, spelled, masked=hidden):
        columns = (part.documents, part.sources, part.nats, part.tokens, part.bytes)
        for document, source, *numbers in zip(*columns, strict=True):
            kept = sums[document, source]
            for place, number in enumerate(numbers):
                kept[place] += float(number)
    known = _labels(folder, {document for document, _ in sums})
    measurement = Measurement(held_back=validation is not None)
    for (document, source), (nats, tokens, size) in sums.items():
        labels = {"source": source} | (known.get(document, dict.fromkeys(BY[1:])) if known else {})
        measurement.add(labels, int(tokens), int(size), nats)
    return measurement


def _labels(folder: str, documents: set[str]) -> dict[str, dict[str, str | None]]:
    """Kind and language of documents by id, from the datasets that shards were packed of; empty where they are gone."""
    links = chain(recognise(folder))
    inputs = next(iter(links.values())).inputs
    wanted, known = pa.array(sorted(documents), pa.string()), {}
    for link in (links[name] for name in inputs if name in links):
        if link.place is None or not link.place.manifest.get("parts") or makes(link.stage) != "dataset":
            continue
        for part in list_parts([link.place.path], lambda name: name):
            for batch in read_batches(part.path, ["id", *BY[1:]]):
                for row in batch.filter(pc.is_in(batch.column("id"), value_set=wanted)).to_pylist():
                    known[row.pop("id")] = row
    return known


def token_bytes(shards: str) -> np.ndarray:
    """Bytes of text that each id stands for, int64 [V]; special tokens stand for none."""
    with storage.open_input(vocabulary_path(shards)) as file:
        table = pq.read_table(file)
    return pc.if_else(table["special"], 0, pc.binary_length(table["bytes"])).to_numpy().astype(np.int64)
