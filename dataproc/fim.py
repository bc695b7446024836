"""Fill in the middle: documents rearranged so that a left-to-right model learns to insert (Bavarian et al. 2022).

A document is cut at two characters into prefix, middle and suffix, and the middle is moved to the end:

    PSM   <fim_begin> prefix <fim_hole> suffix <fim_end> middle <eos>       DeepSeek's spelling; V3 uses it at rate 0.1
    SPM   <fim_begin> <fim_hole> suffix <fim_end> prefix middle <eos>

It happens before packing, to whole documents. Cuts are drawn on characters and never inside one; the pieces are then
tokenised by themselves, so a cut may lie inside what would have been one token, which is what a cursor in an editor
looks like, too. The three markers are ids of their own: a document that spells a marker in its text stays text. Draws
are a function of (seed, document id), so a document is cut alike in every run and under any partition. As in the
paper, cut points are uniform over all positions and pieces may be empty.

Cost: a plain document costs one draw; one that is drawn has its characters counted twice, at 0.4 GB/s. Pieces are
views of the same text. Memory: 17 bytes a document and 8 a piece; `assemble` copies the tokens of its batch once.
"""

from typing import NamedTuple

import numba
import numpy as np
import pyarrow as pa

from dataproc.documents import read_only, text_buffers
from dataproc.errors import UserError
from dataproc.packing import token_buffers
from dataproc.randomness import random_uniform
from dataproc.shards import SpecialIds

MODES = ("psm", "spm")


class Splits(NamedTuple):
    """Where documents are cut: `fim` bool (N,); `first` <= `second` int64 (N,), bytes from the document's start.

    The middle lies between the two; both are 0 where a document stays plain.
    """

    fim: np.ndarray
    first: np.ndarray
    second: np.ndarray


@numba.njit(cache=True, nogil=True)
def _draw(offsets, data, keys, eligible, rate, minimum, maximum, fim, first, second):
    """Fills `fim`, `first` and `second`. Draw 0 of a key decides, draws 1 and 2 are the cut points."""
    for document in range(keys.shape[0]):
        key = keys[document]
        if not eligible[document] or random_uniform(key, np.uint64(0)) >= rate:
            continue
        start, stop = offsets[document], offsets[document + 1]
        characters = 0
        for position in range(start, stop):
            characters += (data[position] & 0xC0) != 0x80
        if characters < minimum or characters > maximum:
            continue
        a = np.int64(random_uniform(key, np.uint64(1)) * (characters + 1))
        b = np.int64(random_uniform(key, np.uint64(2)) * (characters + 1))
        low, high = min(a, b), max(a, b)
        first[document] = second[document] = stop - start
        fim[document] = True
        character = 0
        for position in range(start, stop):
            if (data[position] & 0xC0) == 0x80:
                continue
            if character == low:
                first[document] = position - start
            if character == high:
                second[document] = position - start
                break
            character += 1


def draw_splits(
    texts: pa.Array, keys: np.ndarray, eligible: np.ndarray, rate: float, min_characters: int, max_characters: int
) -> Splits:
    """Draws which documents are rearranged, and where they are cut.

    Args:
        texts: N documents.
        keys: uint64 (N,), from `randomness.random_keys(seed, "fim", ids)`.
        eligible: bool (N,); the caller's choice of kinds and sources.
        rate: share of the eligible documents to rearrange, 0 to 1.
        min_characters, max_characters: shorter and longer documents stay plain.
    """
    if not 0.0 <= rate <= 1.0:
        raise UserError(f"the FIM rate must be 0 to 1, not {rate}", mend="DeepSeek-V3 uses 0.1")
    if not 0 <= min_characters <= max_characters:
        raise UserError(f"FIM for {min_characters} to {max_characters} characters is an empty range")
    offsets, data = text_buffers(texts)
    documents = len(texts)
    splits = Splits(np.zeros(documents, bool), np.zeros(documents, np.int64), np.zeros(documents, np.int64))
    _draw(
        read_only(offsets, np.int64),
        read_only(data, np.uint8),
        read_only(keys, np.uint64),
        read_only(eligible, np.bool_),
        float(rate),
        np.int64(min_characters),
        np.int64(max_characters),
        *splits,
    )
    return splits


def piece_texts(texts: pa.Array, splits: Splits) -> tuple[pa.LargeStringArray, np.ndarray]:
    """The texts to tokenise: prefix, middle and suffix of a rearranged document, in that order, and plain ones whole.

    Returns:
        (pieces, document of each piece as int64). The pieces share the bytes of `texts`.
    """
    offsets, data = text_buffers(texts)
    counts = np.where(splits.fim, 3, 1)
    ends = np.cumsum(counts)
    starts = ends - counts
    bounds = np.empty(int(counts.sum()) + 1, np.int64)
    bounds[starts] = offsets[:-1]
    bounds[-1] = offsets[-1]
    bounds[starts[splits.fim] + 1] = (offsets[:-1] + splits.first)[splits.fim]
    bounds[starts[splits.fim] + 2] = (offsets[:-1] + splits.second)[splits.fim]
    pieces = pa.LargeStringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(data))
    return pieces, np.repeat(np.arange(len(texts), dtype=np.int64), counts)


@numba.njit(cache=True, nogil=True)
def _assemble(offsets, values, fim, psm, bos, eos, fim_begin, fim_hole, fim_end, bounds, out):
    """Writes document d to out[bounds[d]:bounds[d + 1]] from its pieces; bos is -1 for none."""
    piece = 0
    for document in range(fim.shape[0]):
        position = bounds[document]
        if bos >= 0:
            out[position] = bos
            position += 1
        if not fim[document]:
            for token in range(offsets[piece], offsets[piece + 1]):
                out[position] = values[token]
                position += 1
            piece += 1
        else:
            # Steps of (marker before, piece): prefix is piece 0, middle 1, suffix 2
            out[position] = fim_begin
            position += 1
            for step in range(3):
                if psm:
                    which = 0 if step == 0 else (2 if step == 1 else 1)
                    marker = np.int32(-1) if step == 0 else (fim_hole if step == 1 else fim_end)
                else:
                    which = 2 if step == 0 else step - 1
                    marker = fim_hole if step == 0 else (fim_end if step == 1 else np.int32(-1))
                if marker >= 0:
                    out[position] = marker
                    position += 1
                for token in range(offsets[piece + which], offsets[piece + which + 1]):
                    out[position] = values[token]
                    position += 1
            piece += 3
        out[position] = eos


def assemble(
    piece_tokens: pa.Array, splits: Splits, special: SpecialIds, mode: str = "psm", bos: bool = False
) -> pa.LargeListArray:
    """Token sequences of whole documents from the tokens of their pieces; eos ends every document.

    Args:
        piece_tokens: list<int32> of the pieces of `piece_texts`, in the same order.
        splits: as given to `piece_texts`.
        special: ids; the FIM markers must be there when a document is rearranged.
        mode: "psm" or "spm".
        bos: begin every document with `special.bos`.

    Returns:
        large_list<int32> of N documents (64-bit offsets: a batch of long documents may pass 2^31 tokens).
    """
    if mode not in MODES:
        raise UserError(f"there is no FIM mode '{mode}'", mend="use psm or spm")
    markers = (special.fim_begin, special.fim_hole, special.fim_end)
    if splits.fim.any() and None in markers:
        raise UserError("the tokenizer has no FIM markers", mend="train it with them or set the FIM rate to 0")
    if bos and special.bos is None:
        raise UserError("the tokenizer has no beginning-of-sequence token", mend="pack without it")
    offsets, values = token_buffers(piece_tokens)
    counts = np.where(splits.fim, 3, 1)
    ends = np.cumsum(counts)
    if len(piece_tokens) != counts.sum():
        raise ValueError(f"{len(piece_tokens)} pieces where the splits make {counts.sum()}")
    lengths = offsets[ends] - offsets[ends - counts] + np.where(splits.fim, 3, 0) + 1 + bos
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    out = np.empty(int(bounds[-1]), np.int32)
    ids = [np.int32(-1 if value is None else value) for value in (special.bos if bos else None, special.eos, *markers)]
    _assemble(offsets, values, read_only(splits.fim, np.bool_), mode == "psm", *ids, bounds, out)
    return pa.LargeListArray.from_arrays(pa.array(bounds), pa.array(out))


def restore(tokens: np.ndarray, special: SpecialIds, mode: str = "psm") -> np.ndarray:
    """The tokens of prefix, middle and suffix in the document's own order, from one assembled document (int32).

    The exact inverse of `assemble`, up to the place of the cuts; markers, bos and eos are gone.
    """
    body = np.asarray(tokens, np.int32)[:-1]
    if len(body) and special.bos is not None and body[0] == special.bos:
        body = body[1:]
    if special.fim_begin is None or not len(body) or body[0] != special.fim_begin:
        return body
    hole = int(np.flatnonzero(body == special.fim_hole)[0])
    end = int(np.flatnonzero(body == special.fim_end)[0])
    suffix = body[hole + 1 : end]
    prefix, middle = (body[1:hole], body[end + 1 :]) if mode == "psm" else (body[:0], body[end + 1 :])
    return np.concatenate([prefix, middle, suffix])
