r"""Special tokens where a caller says so, and nowhere else: text with trusted spans.

Whoever writes "<｜end▁of▁sentence｜>" into a document must not end it; whoever builds a conversation must. So spellings
become ids only inside a span that the caller marked as trusted, and stay text everywhere else: in untrusted text,
and where they straddle the border of a span, even one between two trusted spans. Spans change nothing else: what lies
between special ids is encoded as one text, whatever borders run through it. So a document without trusted spans gives
the ids of `Tokenizer.encode`, and one trusted from end to end those that Hugging Face gives.

Inside a span spellings are found from left to right, the longest of those that begin at a place, by a trie over their
bytes in a kernel; no Python object is made for a document or a span.

A chat template trusts what it writes itself, and nothing that comes from outside:

    >>> turns = [("<｜begin▁of▁sentence｜><｜User｜>", True), (question, False), ("<｜Assistant｜>", True)]
    >>> ids = encode_segments(tokenizer, segments([turns]))

and with tools, whose output is text of others:

    >>> turns += [("<｜tool▁output▁begin｜>", True), (page, False), ("<｜tool▁output▁end｜>", True)]

Cost: that of encoding, and half a nanosecond for each byte that is trusted. 100,000 short conversations of four marks
each took 1.24 times what they take as plain text, 73 MB/s a core.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.pretokens import read_text
from corpusmill.tokenizer.special import SpecialTokens

SEGMENT = pa.struct([pa.field("text", pa.large_string(), nullable=False), pa.field("trusted", pa.bool_(), False)])
SEGMENTS = pa.large_list(SEGMENT)
"""Documents as segments, whose texts one after the other are the document's."""
SPAN = pa.struct([pa.field("start", pa.int64(), nullable=False), pa.field("end", pa.int64(), nullable=False)])
SPANS = pa.large_list(SPAN)
"""Spans of each document, in bytes of its UTF-8, rising, not overlapping."""


class Spellings(NamedTuple):
    """A trie of the special tokens' spellings.

    Attributes:
        columns: int64 (256,), the column of each byte; 0 for a byte that is in no spelling.
        following: int32 (nodes, columns), the node after one more byte; 0 for none. Node 0 is the root.
        ids: int32 (nodes,), the token that is spelled there; -1 for none.
    """

    columns: np.ndarray
    following: np.ndarray
    ids: np.ndarray


def spelling_trie(tokens: Iterable[tuple[bytes, int]]) -> Spellings:
    """The trie of (spelling, id) pairs; empty spellings are left out."""
    spelled = [(spelling, number) for spelling, number in tokens if spelling]
    used = sorted({byte for spelling, _ in spelled for byte in spelling})
    columns = np.zeros(256, np.int64)
    columns[used] = np.arange(1, len(used) + 1)
    rows: list[dict[int, int]] = [{}]
    ids = [-1]
    for spelling, number in spelled:
        node = 0
        for byte in spelling:
            if byte not in rows[node]:
                rows[node][byte] = len(rows)
                rows.append({})
                ids.append(-1)
            node = rows[node][byte]
        ids[node] = number
    following = np.zeros((len(rows), len(used) + 1), np.int32)
    for node, row in enumerate(rows):
        for byte, child in row.items():
            following[node, columns[byte]] = child
    return Spellings(read_only(columns), read_only(following), read_only(np.array(ids, np.int32)))


@lru_cache(maxsize=8)
def _trie_of(texts: tuple[tuple[str, int], ...]) -> Spellings:
    return spelling_trie([(text.encode(), number) for text, number in texts])


def special_trie(special: SpecialTokens) -> Spellings:
    """The trie of a tokenizer's special tokens, kept from call to call."""
    return _trie_of(tuple((token.text, token.id) for token in special.tokens))


@kernel
def find_spellings(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, trie: Spellings, places: np.ndarray, tokens: np.ndarray
) -> int:
    """Finds spellings inside the spans `data[starts[s] : ends[s]]`; returns how many there are.

    Args:
        places: int64 (room, 2), filled with where each begins and ends.
        tokens: int32 (room,), filled with its id.
    """
    columns, following, ids = trie
    count = 0
    for span in range(starts.shape[0]):
        place = starts[span]
        while place < ends[span]:
            node = np.int64(following[0, columns[data[place]]])
            longest = np.int64(0)
            token = np.int32(-1)
            stop = place
            while node != 0:
                stop += 1
                if ids[node] >= 0:
                    longest = stop
                    token = ids[node]
                if stop == ends[span]:
                    break
                node = np.int64(following[node, columns[data[stop]]])
            if longest == 0:
                place += 1
                continue
            places[count, 0] = place
            places[count, 1] = longest
            tokens[count] = token
            count += 1
            place = longest
    return count


def segments(documents: Iterable[Iterable[tuple[str, bool]]]) -> pa.LargeListArray:
    """Documents of (text, whether it is trusted) pairs as an array of type `SEGMENTS`; for a few, as it is Python."""
    return pa.array(
        [[{"text": text, "trusted": trusted} for text, trusted in document] for document in documents], SEGMENTS
    )


def encode_segments(tokenizer: Tokenizer, documents: pa.Array) -> pa.LargeListArray:
    """The ids of documents that are lists of segments, each trusted as a whole or not at all.

    Args:
        documents: `SEGMENTS` (or what casts to it), without nulls.

    Returns:
        large_list<int32>, one for each document.
    """
    documents = documents.cast(SEGMENTS)
    inside = documents.flatten()
    texts, trusted = inside.flatten()
    if documents.null_count or inside.null_count or trusted.null_count:
        raise ValueError("documents, segments and their trust must not be null")
    borders, data = read_text(texts)
    lists = documents.offsets.to_numpy()
    marked = trusted.to_numpy(zero_copy_only=False)
    return _encode(tokenizer, borders[lists - lists[0]], data, borders[:-1][marked], borders[1:][marked])


def encode_trusted(tokenizer: Tokenizer, texts: pa.Array, trusted: pa.Array) -> pa.LargeListArray:
    """The ids of texts in which some spans are trusted.

    Args:
        texts: a string array (N,) without nulls.
        trusted: `SPANS` (N,) (or what casts to it), without nulls.

    Returns:
        large_list<int32> (N,).

    Raises UserError for spans that overlap, go backwards, lie outside of their text or cut a character.
    """
    offsets, data = read_text(texts)
    trusted = trusted.cast(SPANS)
    if len(trusted) != len(texts):
        raise ValueError("there must be one list of spans for each text")
    inside = trusted.flatten()
    if trusted.null_count or inside.null_count:
        raise ValueError("spans must not be null")
    document = np.repeat(np.arange(len(texts)), np.diff(trusted.offsets.to_numpy()))
    starts, ends = (offsets[document] + edge.to_numpy() for edge in inside.flatten())
    limits = offsets[document + 1]
    wrong = (starts < offsets[document]) | (ends < starts) | (ends > limits)
    wrong[1:] |= (document[1:] == document[:-1]) & (starts[1:] < ends[:-1])
    for edges in (starts, ends):
        within = np.flatnonzero((edges < limits) & (edges >= offsets[document]))
        wrong[within] |= (data[edges[within]] & 0xC0) == 0x80
    if wrong.any():
        where = f"document {document[np.flatnonzero(wrong)[0]]}"
        raise UserError(
            "trusted spans must be sorted, must not overlap, and must start and end between characters of their text",
            where=where,
        )
    return _encode(tokenizer, offsets, data, starts, ends)


def _encode(
    tokenizer: Tokenizer, offsets: np.ndarray, data: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> pa.LargeListArray:
    """Ids of the documents `data[offsets[d] : offsets[d + 1]]` with the trusted spans `data[starts[s] : ends[s]]`."""
    shortest = min((len(token.text.encode()) for token in tokenizer.special.tokens if token.text), default=1)
    room = int((ends - starts).sum()) // shortest
    places, tokens = np.empty((room, 2), np.int64), np.empty(room, np.int32)
    count = 0
    if room:
        trie = special_trie(tokenizer.special)
        count = find_spellings(data, read_only(starts), read_only(ends), trie, places, tokens)
    # Documents cut at both ends of every spelling; spellings are encoded like all else, and their ids then replaced.
    borders = np.sort(np.concatenate([offsets, places[:count].reshape(-1)]), kind="stable")
    cut = pa.LargeStringArray.from_buffers(len(borders) - 1, pa.py_buffer(borders), pa.py_buffer(data))
    pieces = tokenizer.encode(cut)
    if not count:
        return pieces
    lists = pieces.offsets.to_numpy()
    spelled = np.zeros(len(pieces), bool)
    spelled[np.searchsorted(borders, places[:count, 0], side="right") - 1] = True
    lengths = np.diff(lists)
    kept = np.where(spelled, 1, lengths)
    ids = np.empty(int(kept.sum()), np.int32)
    text = np.repeat(~spelled, kept)
    ids[text] = pieces.values.to_numpy()[lists[0] :][np.repeat(~spelled, lengths)]
    ids[~text] = tokens[:count]
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    # Empty pieces have no ids, so any of several equal borders will do for a document.
    return pa.LargeListArray.from_arrays(pa.array(before[np.searchsorted(borders, offsets)]), pa.array(ids))
