"""Imported tokens as documents: cut where they end, stripped of padding, and checked against the tokenizer.

A document ends where an item of the file ends, after every end token, and, if the file records segments, at the end of
each. Padding is what an item holds beyond its segments; in a file that records none, it is the run of pad tokens at an
item's end (where pad and end token are one id, the run after the first of them). A document without an end token gets
one unless `add_eos` is off: packed beside others it would run into the next.

Ids outside the vocabulary and pad tokens inside a document mean another tokenizer, so they are errors, with the place.

Cost: a few passes of NumPy, about 100 million tokens/s. Memory: about 20 bytes a token of one batch.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.exchange.pieces import Tokens
from corpusmill.dataproc.sequences.shards import SpecialIds


@dataclass(frozen=True)
class Documents:
    """N documents.

    Attributes:
        offsets: int64 (N + 1,). tokens: int32 (T,).
        item: int64 (N,), number of the item in its file. within: int64 (N,), number of the document in its item.
        place: int64 (N,), of its first token in the file, where that has no items; else None.
        fim: bool (N,), it holds a marker of fill-in-the-middle.
        padding: pad tokens that were left out. ended: documents that got an end token.
    """

    offsets: np.ndarray
    tokens: np.ndarray
    item: np.ndarray
    within: np.ndarray
    place: np.ndarray | None
    fim: np.ndarray
    padding: int
    ended: int

    def __len__(self) -> int:
        return len(self.offsets) - 1


def cut_documents(read: Tokens, special: SpecialIds, vocab_size: int, *, add_eos: bool, path: str = "") -> Documents:
    """Documents from items. Raises UserError, naming `path` and place, for ids that cannot be this tokenizer's."""
    begins, ends = read.offsets[:-1], read.offsets[1:]
    tokens = read.tokens
    bad = np.flatnonzero((tokens < 0) | (tokens >= vocab_size)) if len(tokens) else np.zeros(0, np.int64)
    if len(bad):
        what = f"token id {int(tokens[bad[0]])} is outside the vocabulary of {vocab_size:,}"
        raise UserError(what, _place(read, int(bad[0]), path), "name the tokenizer that produced these ids")
    tokens = np.ascontiguousarray(tokens, np.int32)
    if read.lengths is not None:
        used = _given_lengths(read, path)
    else:
        used = _without_padding(tokens, begins, ends, special)
    stops = begins + used
    inside = np.repeat(np.arange(len(begins)), used)
    inside = begins[inside] + np.arange(len(inside)) - np.repeat(np.cumsum(used) - used, used)
    text = tokens[inside] if len(inside) < len(tokens) else tokens
    if special.pad not in (special.eos, special.bos) and len(pads := np.flatnonzero(text == special.pad)):
        what = f"the pad token {special.pad} stands inside a document"
        raise UserError(what, _place(read, int(inside[pads[0]]), path), "name the tokenizer that produced these ids")
    cuts = [stops[used > 0], inside[text == special.eos] + 1]
    if read.lengths is not None:
        bounds, lengths = read.lengths
        item = np.repeat(np.arange(len(begins)), np.diff(bounds))
        total = np.cumsum(lengths, dtype=np.int64)
        before = np.append(0, total)[bounds[:-1]]
        cuts.append((begins[item] + total - before[item])[np.asarray(lengths) > 0])
    document_ends = np.unique(np.concatenate(cuts)).astype(np.int64)
    item = np.searchsorted(read.offsets, document_ends - 1, side="right") - 1
    document_begins = np.maximum(np.append(0, document_ends)[:-1], begins[item])
    lengths_out = document_ends - document_begins
    within = np.arange(len(item)) - np.searchsorted(item, item)
    fim = _has_marker(tokens, document_begins, document_ends, special)
    ended = 0
    if add_eos and len(item):
        lacking = tokens[document_ends - 1] != special.eos
        ended = int(lacking.sum())
        text = np.insert(text, np.cumsum(lengths_out)[lacking], np.int32(special.eos))
        lengths_out = lengths_out + lacking
    offsets = np.append(0, np.cumsum(lengths_out)).astype(np.int64)
    padding = len(tokens) - int(used.sum())
    place = None if read.has_items else read.first + document_begins
    return Documents(offsets, text, item + read.first, within, place, fim, padding, ended)


def document_ids(documents: Documents, stem: str) -> pa.Array:
    """`<stem>#<item>`, or `<stem>#<item>.<number>` where an item holds several documents; `<stem>#<place>` of the first
    token where there are no items. string (N,)."""
    if documents.place is not None:
        number = pa.array(documents.place).cast(pa.string())
    else:
        _, rows, counts = np.unique(documents.item, return_inverse=True, return_counts=True)
        item, within = (pa.array(numbers).cast(pa.string()) for numbers in (documents.item, documents.within))
        number = pc.if_else(pa.array(counts[rows] > 1), pc.binary_join_element_wise(item, within, "."), item)
    return pc.binary_join_element_wise(pa.scalar(stem), number, "#")


def _place(read: Tokens, token: int, path: str) -> str:
    if not read.has_items:
        return f"{path}, token {read.first + token}"
    item = int(np.searchsorted(read.offsets, token, side="right")) - 1
    return f"{path}, item {read.first + item}, token {token - int(read.offsets[item])}"


def _given_lengths(read: Tokens, path: str) -> np.ndarray:
    """Tokens of each item that are not padding: int64 (N,), from the segment lengths that the file records."""
    assert read.lengths is not None
    bounds, lengths = read.lengths
    total = np.append(0, np.cumsum(lengths, dtype=np.int64))
    used = total[bounds[1:]] - total[bounds[:-1]]
    wrong = np.flatnonzero(used > np.diff(read.offsets))
    negative = np.flatnonzero(np.asarray(lengths) < 0)
    if len(wrong) or len(negative):
        item = int(wrong[0]) if len(wrong) else int(np.searchsorted(bounds, negative[0], side="right")) - 1
        raise UserError(
            "segment lengths do not match the tokens", f"{path}, item {read.first + item}", "export it again"
        )
    return used


def _without_padding(tokens: np.ndarray, begins: np.ndarray, ends: np.ndarray, special: SpecialIds) -> np.ndarray:
    """Tokens of each item before the run of pad tokens at its end: int64 (N,)."""
    text = np.append(-1, np.flatnonzero(tokens != special.pad))
    last = text[np.searchsorted(text, ends) - 1]
    used = np.maximum(last + 1 - begins, 0)
    return np.minimum(used + 1, ends - begins) if special.pad == special.eos else used


def _has_marker(tokens: np.ndarray, begins: np.ndarray, ends: np.ndarray, special: SpecialIds) -> np.ndarray:
    """bool (N,): whether a document holds one of the markers of fill-in-the-middle."""
    has_marker = np.zeros(len(begins), bool)
    for marker in (special.fim_begin, special.fim_hole, special.fim_end):
        if marker is None:
            continue
        at = np.flatnonzero(tokens == marker)
        document = np.searchsorted(ends, at, side="right")
        document, at = document[document < len(ends)], at[document < len(ends)]
        has_marker[document[at >= begins[document]]] = True
    return has_marker
