"""Fill in the middle: documents rearranged so that a left-to-right model learns to insert (Bavarian et al. 2022).

A document is cut in two places into prefix, middle and suffix, and the middle is moved to the end:

    PSM   <fim_begin> prefix <fim_hole> suffix <fim_end> middle <eos>       DeepSeek's spelling; V3 uses it at rate 0.1
    SPM   <fim_begin> <fim_hole> suffix <fim_end> prefix middle <eos>

It happens before packing, to whole documents. The three markers are ids of their own: a document that spells a marker
in its text stays text. Draws are a function of (seed, document id), so a document is cut alike in every run and under
any partition, and whether it is cut does not depend on the unit. As in the paper, cuts are uniform over all places that
the unit allows, and pieces may be empty. A cut never lies inside a UTF-8 character.

    character   the pieces are tokenised by themselves, so a cut may lie inside what would have been one token, which is
                what a cursor in an editor looks like, too
    line        as before, at starts of lines
    token       the document is tokenised once, whole, and its ids are dealt out; the model never sees half a token

A document of several files (a repository) may say where they begin. The first cut is drawn over the whole document and
the second over the file which holds the first, so the middle is a part of one file, earlier files belong to the prefix
and later ones to the suffix.

Cost, at rate 0.1, for 152 MB in 62,000 documents on one core, where the encoder takes 2.3 s: keys 11 ms, draws 3 ms (at
tokens 11), pieces 1 ms, `assemble` of the 36 million tokens 8 ms. Pieces are views of the same text or tokens. Memory:
17 bytes a document, 8 a piece, a byte for each of the longest document; `assemble` copies the tokens of its batch once.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only, text_buffers
from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.dataproc.randomness import random_uniform
from corpusmill.dataproc.sequences.fim_places import (
    NO_TOKENS,
    TOKEN,
    UNITS,
    Tokens,
    draw_place,
    file_begins,
    mark_text,
    mark_tokens,
    tokens_before,
)
from corpusmill.dataproc.sequences.packing import token_buffers
from corpusmill.dataproc.sequences.shards import SpecialIds

MODES = ("psm", "spm")


class Splits(NamedTuple):
    """Where documents are cut: `fim` bool (N,); `first` <= `second` int64 (N,), counted from the document's start.

    They count bytes, and tokens when they come from `draw_token_splits`. The middle lies between the two; both are 0
    where a document stays plain.
    """

    fim: np.ndarray
    first: np.ndarray
    second: np.ndarray


@kernel
def _draw(offsets, data, keys, rates, minimum, maximum, unit, files, tokens, scratch, splits):
    """Fills `splits`. Draw 0 of a key decides, draws 1 and 2 are the cuts.

    Returns the first document whose tokens have not as many bytes as its text, else -1. `scratch` is uint8, longer by
    one than the longest of them.
    """
    for document in range(keys.shape[0]):
        key = keys[document]
        if random_uniform(key, np.uint64(0)) >= rates[document]:
            continue
        text = data[offsets[document] : offsets[document + 1]]
        size = text.shape[0]
        characters = 0
        for byte in text:
            characters += (byte & 0xC0) != 0x80
        if characters < minimum or characters > maximum:
            continue
        marks = scratch[: size + 1]
        begins = files.begins[files.bounds[document] : files.bounds[document + 1]]
        ids = tokens.values[:0]
        if unit == TOKEN:
            ids = tokens.values[tokens.offsets[document] : tokens.offsets[document + 1]]
            if not mark_tokens(ids, tokens.lengths, tokens.starts, marks):
                return document
        else:
            mark_text(text, unit, begins, marks)
        a = draw_place(marks, random_uniform(key, np.uint64(1)))
        start, stop = 0, size
        for begin in begins:
            if begin > a:
                stop = begin
                break
            start = begin
        b = start + draw_place(marks[start : stop + 1], random_uniform(key, np.uint64(2)))
        low, high = min(a, b), max(a, b)
        if unit == TOKEN:
            low, high = tokens_before(ids, tokens.lengths, low), tokens_before(ids, tokens.lengths, high)
        splits.fim[document] = True
        splits.first[document] = low
        splits.second[document] = high
    return -1


def draw_splits(
    texts: pa.Array,
    keys: np.ndarray,
    rates: np.ndarray,
    *,
    minimum: int,
    maximum: int,
    unit: str = "character",
    files: pa.Array | None = None,
) -> Splits:
    """Draws which documents are rearranged, and at which characters or lines they are cut.

    Args:
        texts: N documents.
        keys: uint64 (N,), from `randomness.random_keys(seed, "fim", ids)`.
        rates: float64 (N,), 0 to 1: how likely each document is to be rearranged. 0 is never.
        minimum, maximum: documents of fewer or more characters stay plain, whatever the unit.
        unit: "character", or "line": cuts are at the bytes after a line feed, at the document's two ends and where a
            file begins, so the middle is whole lines. A document without a line break has but its ends to be cut at:
            one time in two all of it is middle, else it is all prefix or all suffix.
        files: large_list<int64>, N lists: the bytes of a document at which its files begin, the first of them 0; a
            null or empty list is an ordinary document. Both ends of a file are among the places for its second cut.

    Raises:
        UserError: an impossible rate or range; an offset of a file out of range, not rising or inside a character.
    """
    if unit not in UNITS[:TOKEN]:
        raise UserError(
            f"FIM cannot split text by '{unit}'", hint="use character or line; draw_token_splits cuts tokens"
        )
    return _splits(texts, keys, rates, minimum, maximum, UNITS.index(unit), files, NO_TOKENS)


def draw_token_splits(
    tokens: pa.Array,
    texts: pa.Array,
    keys: np.ndarray,
    rates: np.ndarray,
    *,
    token_lengths: np.ndarray,
    starts_character: np.ndarray,
    minimum: int,
    maximum: int,
    files: pa.Array | None = None,
) -> Splits:
    """As `draw_splits`, between tokens that are there already: `first` and `second` count tokens.

    Cuts are at the document's two ends and between any two tokens where a character begins. Where a token reaches from
    one file into the next it belongs to the prefix or the suffix.

    Args:
        tokens: list<int32> or large_list<int32>, the ids of the N documents, of just as many bytes as their texts.
        texts: the documents, to count characters and to check `files`.
        token_lengths: int64 (vocab,), bytes of each id.
        starts_character: bool (vocab,), whether the first byte of an id begins a UTF-8 character.
    """
    offsets, values = token_buffers(tokens)
    lengths, starts = read_only(token_lengths, np.int64), read_only(starts_character, np.bool_)
    if len(tokens) != len(texts) or len(lengths) != len(starts):
        raise ValueError(f"{len(tokens)} token lists for {len(texts)} texts; {len(lengths)} and {len(starts)} ids")
    return _splits(texts, keys, rates, minimum, maximum, TOKEN, files, Tokens(offsets, values, lengths, starts))


def _splits(
    texts: pa.Array,
    keys: np.ndarray,
    rates: np.ndarray,
    minimum: int,
    maximum: int,
    unit: int,
    files: pa.Array | None,
    tokens: Tokens,
) -> Splits:
    documents = len(texts)
    if np.shape(keys) != (documents,) or np.shape(rates) != (documents,):
        raise ValueError(f"{documents} documents need as many keys and rates, not {np.shape(keys)}, {np.shape(rates)}")
    rates = read_only(rates, np.float64)
    wrong = ~((rates >= 0) & (rates <= 1))
    if wrong.any():
        raise UserError(f"the FIM rate must be 0 to 1, not {rates[wrong][0]}", hint="DeepSeek-V3 uses 0.1")
    if not 0 <= minimum <= maximum:
        raise UserError(f"FIM for {minimum} to {maximum} characters is an empty range")
    offsets, data = text_buffers(texts)
    longest = int(np.diff(offsets).max(initial=0))
    splits = Splits(np.zeros(documents, bool), np.zeros(documents, np.int64), np.zeros(documents, np.int64))
    row = _draw(
        *(offsets, data, read_only(keys, np.uint64), rates, np.int64(minimum), np.int64(maximum), np.int64(unit)),
        *(file_begins(files, offsets, data), tokens, np.empty(longest + 1, np.uint8), splits),
    )
    if row >= 0:
        raise ValueError(f"the tokens of row {row} have not as many bytes as its text")
    return splits


def piece_texts(texts: pa.Array, splits: Splits) -> tuple[pa.LargeStringArray, np.ndarray]:
    """The texts to tokenise: prefix, middle and suffix of a rearranged document, in that order, and plain ones whole.

    Returns:
        (pieces, document of each piece as int64). The pieces share the bytes of `texts`.
    """
    offsets, data = text_buffers(texts)
    bounds, document = _piece_bounds(offsets, splits)
    return pa.LargeStringArray.from_buffers(len(document), pa.py_buffer(bounds), pa.py_buffer(data)), document


def cut_tokens(tokens: pa.Array, splits: Splits) -> tuple[pa.LargeListArray, np.ndarray]:
    """The twin of `piece_texts` for the splits of `draw_token_splits`: nothing is tokenised again.

    Returns:
        (pieces, document of each piece as int64). The pieces, large_list<int32>, share the ids of `tokens`.
    """
    offsets, values = token_buffers(tokens)
    bounds, document = _piece_bounds(offsets, splits)
    return pa.LargeListArray.from_arrays(pa.array(bounds), pa.array(values)), document


def _piece_bounds(offsets: np.ndarray, splits: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Where pieces begin, int64 and one more than there are, and the document of each."""
    if len(splits.fim) != len(offsets) - 1:
        raise ValueError(f"splits of {len(splits.fim)} documents for {len(offsets) - 1}")
    counts = np.where(splits.fim, 3, 1)
    starts = np.cumsum(counts) - counts
    bounds = np.empty(int(counts.sum()) + 1, np.int64)
    bounds[starts] = offsets[:-1]
    bounds[-1] = offsets[-1]
    bounds[starts[splits.fim] + 1] = (offsets[:-1] + splits.first)[splits.fim]
    bounds[starts[splits.fim] + 2] = (offsets[:-1] + splits.second)[splits.fim]
    return bounds, np.repeat(np.arange(len(counts), dtype=np.int64), counts)


@kernel_part
def _copy(offsets, values, piece, out, position):
    """Copies a piece to `out` and returns where it ends. Loops over slices are the ones that LLVM makes vectors of."""
    source = values[offsets[piece] : offsets[piece + 1]]
    end = position + source.shape[0]
    target = out[position:end]
    for token in range(source.shape[0]):
        target[token] = source[token]
    return end


@kernel
def _assemble(offsets, values, fim, psm, bos, eos, fim_begin, fim_hole, fim_end, bounds, out):
    """Writes document d to out[bounds[d]:bounds[d + 1]] from its pieces; bos and eos are -1 for none."""
    prefix = 0
    for document in range(fim.shape[0]):
        position = bounds[document]
        if bos >= 0:
            out[position] = bos
            position += 1
        if not fim[document]:
            position = _copy(offsets, values, prefix, out, position)
            prefix += 1
        else:
            middle, suffix = prefix + 1, prefix + 2
            out[position] = fim_begin
            position += 1
            if psm:
                position = _copy(offsets, values, prefix, out, position)
            out[position] = fim_hole
            position = _copy(offsets, values, suffix, out, position + 1)
            out[position] = fim_end
            position += 1
            if not psm:
                position = _copy(offsets, values, prefix, out, position)
            position = _copy(offsets, values, middle, out, position)
            prefix += 3
        if eos >= 0:
            out[position] = eos


def assemble(
    piece_tokens: pa.Array,
    splits: Splits,
    special: SpecialIds,
    mode: str = "psm",
    bos: bool = False,
    eos: bool = True,
) -> pa.LargeListArray:
    """Token sequences of whole documents from the tokens of their pieces.

    Args:
        piece_tokens: list<int32> or large_list<int32>: tokens of the pieces of `piece_texts`, in the same order, or the
            pieces of `cut_tokens`.
        splits: as the pieces were made with.
        special: ids. When a document is rearranged the FIM markers must be there, and be no other token's id.
        mode: "psm" or "spm".
        bos: begin every document with `special.bos`.
        eos: end every document with `special.eos`.

    Returns:
        large_list<int32> of N documents (64-bit offsets: a batch of long documents may pass 2^31 tokens).
    """
    if mode not in MODES:
        raise UserError(f"unknown FIM mode '{mode}'", hint="use psm or spm")
    markers = (special.fim_begin, special.fim_hole, special.fim_end)
    if splits.fim.any() and None in markers:
        raise UserError("the tokenizer has no FIM markers", hint="train one that has them, or set the FIM rate to 0")
    if splits.fim.any() and len({*markers} - {special.eos, special.bos}) < 3:
        raise UserError(f"the FIM markers {markers} are not ids of their own", hint="train the tokenizer with them")
    if bos and special.bos is None:
        raise UserError("the tokenizer has no beginning-of-sequence token", hint="pack without it")
    offsets, values = token_buffers(piece_tokens)
    counts = np.where(splits.fim, 3, 1)
    ends = np.cumsum(counts)
    if len(piece_tokens) != counts.sum():
        raise ValueError(f"{len(piece_tokens)} pieces where the splits make {counts.sum()}")
    lengths = offsets[ends] - offsets[ends - counts] + np.where(splits.fim, 3, 0) + bos + eos
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    out = np.empty(int(bounds[-1]), np.int32)
    ends_with = (special.bos if bos else None, special.eos if eos else None)
    ids = [np.int32(-1 if value is None else value) for value in (*ends_with, *markers)]
    _assemble(offsets, values, read_only(splits.fim, np.bool_), mode == "psm", *ids, bounds, out)
    return pa.LargeListArray.from_arrays(pa.array(bounds), pa.array(out))


def restore(tokens: np.ndarray, special: SpecialIds, mode: str = "psm") -> np.ndarray:
    """The tokens of prefix, middle and suffix in the document's own order, from one assembled document (int32).

    The exact inverse of `assemble`, up to the place of the cuts; markers, bos and eos are gone. bos and eos may be one
    id. It relies on what a tokenizer keeps to: no text has the id of a marker, of bos or of eos.
    """
    body = np.asarray(tokens, np.int32)
    if len(body) and body[-1] == special.eos:
        body = body[:-1]
    if len(body) and special.bos is not None and body[0] == special.bos:
        body = body[1:]
    if special.fim_begin is None or not len(body) or body[0] != special.fim_begin:
        return body
    hole = int(np.flatnonzero(body == special.fim_hole)[0])
    end = int(np.flatnonzero(body == special.fim_end)[0])
    suffix = body[hole + 1 : end]
    prefix, middle = (body[1:hole], body[end + 1 :]) if mode == "psm" else (body[:0], body[end + 1 :])
    return np.concatenate([prefix, middle, suffix])
