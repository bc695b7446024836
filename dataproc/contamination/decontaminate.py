"""Decontamination: documents that hold items of evaluation sets are reported, removed, or rid of those places.

What counts, and where the definitions come from:

- An item is found in a document when an n-gram of n words (13) stands in both: GPT-3 (arXiv 2005.14165, appendix C),
  with its least length of 8 words for items that are shorter than n. PaLM used 8-grams, Llama 3 8-grams of tokens.
- The *share* of an item is that of its words which lie in such n-grams (Llama 2, arXiv 2307.09288, appendix A.6, by
  tokens and over a whole corpus). With `share` 0 one n-gram is enough, as for GPT-3; with 0.8 a document counts only
  when it holds four fifths of the item, Llama 2's "dirty".
- N-grams that are common in the corpus itself (licences, proverbs, quotations) do not make an item known: GPT-3 left
  out those that more than 10 documents hold. `common_ngrams` counts them; the stage does so only if asked
  (`maximum_documents`), since a test copied to 11 pages is common, too. `allowed_ngrams` takes out phrases by
  name, and `contamination.index.crowded` what the items of a set share among themselves (its prompt).

What is not found: an item in other words or another language, with a letter or number changed every few words, or
written without the spaces between its words. (datatrove writes every number as 0 before it looks, and so finds sums
with other numbers, and much code that differs in its constants.)

One evaluation item may be found in many places of a document, and one place may be of many items: each stretch is
listed in `hits`, with its set, item and bytes. All stretches are listed, even of items below `share`, so that another
share can be judged from the hits alone; documents are judged by the greatest share that one item of a set has in them.

Actions: `report` leaves documents as they are. `remove` rejects a document for each set of which an item counts
(`decontaminate/<set>` in the ledger, value: the share). `cut` takes the stretches out (`contamination.cutting`) and
rejects only what comes apart into more than `maximum_pieces`, or of which nothing is left (`decontaminate/pieces`).

Cost and memory: those of `contamination.matching`; cutting copies a batch once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.contamination.cutting import cut_out
from corpusmill.dataproc.contamination.index import OverlapIndex
from corpusmill.dataproc.contamination.matching import NgramMatches, Overlaps, documents_by_ngram, find_ngrams, overlaps
from corpusmill.dataproc.documents import LEDGER_SCHEMA, REWRITES_SCHEMA
from corpusmill.dataproc.file_starts import with_texts

ActionName = Literal["report", "remove", "cut"]
RULE = "decontaminate"
PIECES_RULE = f"{RULE}/pieces"

HITS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("set", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("stop", pa.int64(), nullable=False),
        pa.field("start_character", pa.int64(), nullable=False),
        pa.field("stop_character", pa.int64(), nullable=False),
        pa.field("ngrams", pa.int64(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
    ]
)
"""A stretch of a document (bytes, and characters, of the text as it came in) that stands in an item: how many of the
item's n-grams it holds, and the share of the item's words that the whole document has."""


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """What is done about documents that hold items.

    Attributes:
        action: report, remove or cut.
        share: an item counts when a document holds at least this share of its words; 0: one n-gram is enough.
        shares: other shares for sets by name.
        margin: cut: characters that go along on either side.
        least_piece: cut: characters; smaller pieces that are left go, too.
        maximum_pieces: cut: a document that comes apart into more is rejected.
    """

    action: ActionName = "report"
    share: float = 0.0
    shares: Mapping[str, float] = field(default_factory=dict)
    margin: int = 200
    least_piece: int = 200
    maximum_pieces: int = 10


@dataclass(frozen=True)
class Decontaminated:
    """A batch after the action, each field for a folder of its name; `items` and `shares` are for totals.

    Attributes:
        items: int64, number of the item of each pair of a document and an item that it holds.
        shares: float64, the share of the item in that document.
        counted: bool, whether the item counts there.
        contaminated: documents in which an item counts.
        cut_bytes: bytes that were cut out of documents that are kept.
    """

    kept: pa.RecordBatch
    rejected: pa.RecordBatch
    ledger: pa.RecordBatch
    hits: pa.RecordBatch
    rewrites: pa.RecordBatch
    items: np.ndarray
    shares: np.ndarray
    counted: np.ndarray
    contaminated: int
    cut_bytes: int


def decontaminate(batch: pa.RecordBatch, index: OverlapIndex, settings: Decontamination) -> Decontaminated:
    """Does the action to every document of a batch (columns of `documents.SCHEMA`), each on its own."""
    texts, ids = batch.column("text"), batch.column("id")
    stretches = overlaps(texts, find_ngrams(texts, index), index)
    least = np.array([settings.shares.get(name, settings.share) for name in index.set_names])
    counts = stretches.shares >= least[index.item_sets[stretches.items]]
    rows, sets, values = _worst_by_set(stretches, counts, index)
    names, thresholds = [f"{RULE}/{index.set_names[group]}" for group in sets], least[sets]
    bad = np.zeros(batch.num_rows, bool)
    kept, rewrites, cut_bytes = batch, _rewrites(ids, np.zeros(0, np.int64), texts, texts), 0
    if settings.action == "remove":
        bad[rows] = True
    elif settings.action == "cut" and counts.any():
        done = cut_out(
            texts, stretches.rows[counts], stretches.starts[counts], stretches.stops[counts],
            margin=settings.margin, least_piece=settings.least_piece,
        )  # fmt: skip
        bad = (done.pieces_left == 0) | (done.pieces > settings.maximum_pieces)
        kept = with_texts(batch, done.texts)
        changed = np.zeros(batch.num_rows, bool)
        changed[stretches.rows[counts]] = True
        rewrites = _rewrites(ids, np.flatnonzero(changed & ~bad), texts, done.texts)
        cut_bytes = _total(rewrites, "bytes_before") - _total(rewrites, "bytes_after")
        rows = np.flatnonzero(bad)
        nothing_left = done.pieces_left[rows] == 0
        names = [PIECES_RULE] * len(rows)
        values = np.where(nothing_left, 0, done.pieces[rows]).astype(np.float64)
        thresholds = np.where(nothing_left, 1.0, float(settings.maximum_pieces))
    if settings.action == "report":
        rows, names, values, thresholds = rows[:0], [], values[:0], thresholds[:0]
    mask = pa.array(bad)
    rejected = batch.filter(mask)
    opens = np.flatnonzero(np.diff(rows, prepend=-1))
    broken = [",".join(names[a:b]) for a, b in pairwise(np.append(opens, len(rows)))]
    ledger = [ids.take(pa.array(rows)), pa.array(names, pa.string()), pa.array(values), pa.array(thresholds)]
    pairs = np.flatnonzero(_opens(stretches.rows, stretches.items))
    return Decontaminated(
        kept=kept.filter(pc.invert(mask)),
        rejected=rejected.append_column("broken_rules", pa.array(broken, pa.string())),
        ledger=pa.RecordBatch.from_arrays(ledger, schema=LEDGER_SCHEMA),
        hits=_hits(ids, stretches, index),
        rewrites=rewrites,
        items=stretches.items[pairs],
        shares=stretches.shares[pairs],
        counted=counts[pairs],
        contaminated=len(np.unique(stretches.rows[counts])),
        cut_bytes=cut_bytes,
    )


def _opens(*columns: np.ndarray) -> np.ndarray:
    """Where a new group of equal neighbours begins: bool."""
    result = np.zeros(len(columns[0]), bool)
    result[:1] = True
    for column in columns:
        result[1:] |= column[1:] != column[:-1]
    return result


def _worst_by_set(
    stretches: Overlaps, counts: np.ndarray, index: OverlapIndex
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, set, greatest share) for each document and set of which an item counts, by row and set."""
    rows, shares = stretches.rows[counts], stretches.shares[counts]
    sets = index.item_sets[stretches.items[counts]]
    order = np.lexsort((-shares, sets, rows))
    rows, sets, shares = rows[order], sets[order], shares[order]
    heads = _opens(rows, sets)
    return rows[heads], sets[heads], shares[heads]


def _hits(ids: pa.Array, stretches: Overlaps, index: OverlapIndex) -> pa.RecordBatch:
    sets = pa.array(index.set_names, pa.string()).take(pa.array(index.item_sets[stretches.items]))
    columns = [ids.take(pa.array(stretches.rows)), sets, index.item_ids.take(pa.array(stretches.items))]
    numbers = (
        stretches.starts,
        stretches.stops,
        stretches.start_characters,
        stretches.stop_characters,
        stretches.ngrams,
        stretches.shares,
    )
    return pa.RecordBatch.from_arrays([*columns, *map(pa.array, numbers)], schema=HITS_SCHEMA)


def _rewrites(ids: pa.Array, rows: np.ndarray, before: pa.Array, after: pa.Array) -> pa.RecordBatch:
    taken = pa.array(rows)
    sizes = (pc.binary_length(texts.take(taken)).cast(pa.int64()) for texts in (before, after))
    return pa.RecordBatch.from_arrays(
        [ids.take(taken), pa.array([RULE] * len(rows), pa.string()), *sizes], schema=REWRITES_SCHEMA
    )


def _total(table: pa.RecordBatch, column: str) -> int:
    return int(pc.sum(table.column(column)).as_py() or 0)


def common_ngrams(batch: pa.RecordBatch, index: OverlapIndex) -> tuple[np.ndarray, np.ndarray]:
    """(n-gram, documents of the batch that hold it), int64 each: to be added up over the corpus."""
    return documents_by_ngram(find_ngrams(batch.column("text"), index), index)


def allowed_ngrams(index: OverlapIndex, texts: Sequence[str]) -> np.ndarray:
    """The n-grams that stand in any of the texts: bool [E]; `index.without` takes them out."""
    matches: NgramMatches = find_ngrams(pa.array(texts, pa.large_string()), index)
    allowed = np.zeros(index.ngrams, bool)
    allowed[matches.ngrams] = True
    return allowed
