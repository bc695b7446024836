"""The merge loop of BPE training: kernels. What they compute, and why so, is said in `bpe.py`."""

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel, kernel_part
from corpusmill.tokenizer.keys import Integer, prefetch
from corpusmill.tokenizer.learning.pairs import Pairs, find_pair, longer, move_pairs, pair_key, rise, sink, taller
from corpusmill.tokenizer.learning.spellings import Spellings, enter_spelling, spell
from corpusmill.tokenizer.learning.words import Words

DONE, DRY, PAUSED, FULL, SPELLED_AGAIN = 0, 1, 2, 3, 4

AHEAD = 16
"""How many words of a list ahead of the one at work are fetched: twice the distance that their symbols need."""

SUM, HOLDERS, LAST, LIST = 0, 1, 2, 3
"""Columns of `Neighbours.rows`."""


class Neighbours(NamedTuple):
    """What one merge does to the symbols beside it. A symbol before the pair has the code 2 * symbol, one after it
    2 * symbol + 1.

    Attributes:
        rows: int64 (2 * room for tokens, 4), by code: the weight of new pairs with that symbol, how many words hold
            such a pair (both zero between merges), the word where it was met last, and where the new pair's list of
            words starts, -1 for none.
        touched: int64 (2 * room for tokens,), the codes met.
    """

    rows: np.ndarray
    touched: np.ndarray


def no_neighbours(room: int) -> Neighbours:
    """Sums of nothing yet, for `room` tokens."""
    return Neighbours(np.zeros((2 * room, 4), np.int64), np.zeros(2 * room, np.int64))


@kernel_part
def code_key(code: int, symbol: int) -> np.uint64:
    """The key of the pair of a symbol and its neighbour of that code."""
    other = code >> 1
    return pair_key(symbol, other) if code & 1 else pair_key(other, symbol)


@kernel_part
def replace_pair(
    words: Words, listed: np.ndarray, left: int, right: int, new: int, near: Neighbours, events: np.ndarray
) -> tuple[np.ndarray, int, int]:
    """Makes each `left right` of the listed words one symbol, and sums in `near` what that does to neighbours.

    An event, code * 2^32 + word, stands for each word that holds a new pair. Returns (events, how many there are, how
    many codes were met).
    """
    table, symbols = words
    rows, touched = near
    happened = 0
    met = 0
    for item in range(listed.shape[0]):
        if item + AHEAD < listed.shape[0]:
            prefetch(table, np.int64(listed[item + AHEAD]))
            prefetch(symbols, table[listed[item + AHEAD // 2], 0])
        word = np.int64(listed[item])
        first = table[word, 0] + 1
        weight = table[word, 1]
        end = first + symbols[first - 1]
        # Here and not where an event is written: an array that changes hands inside the inner loop halves its speed.
        if happened + end - first > events.shape[0]:
            events = longer(events, happened, 2 * happened + end - first)
        read = first
        while read + 1 < end and not (symbols[read] == left and symbols[read + 1] == right):
            read += 1
        write = read
        while read < end:
            if read + 1 < end and symbols[read] == left and symbols[read + 1] == right:
                for side in range(2):
                    beside = write - 1 if side == 0 else read + 2
                    if beside < first or beside >= end:
                        continue
                    code = 2 * np.int64(symbols[beside]) + side
                    if rows[code, HOLDERS] == 0:
                        touched[met] = code
                        met += 1
                        rows[code, LAST] = -1
                    rows[code, SUM] += weight
                    if rows[code, LAST] != word:
                        rows[code, LAST] = word
                        rows[code, HOLDERS] += 1
                        events[happened] = (code << 32) | word
                        happened += 1
                symbols[write] = new
                read += 2
            else:
                symbols[write] = symbols[read]
                read += 1
            write += 1
        symbols[first - 1] = write - first
    return events, happened, met


@kernel_part
def change_counts(
    keys: np.ndarray,
    counts: np.ndarray,
    left: int,
    right: int,
    new: int,
    near: Neighbours,
    met: int,
    starts: np.ndarray,
    threshold: int,
    longest: int,
    top: int,
) -> Integer:
    """Enters the new pairs of a merge that reach the threshold, and takes from the old ones what those gained.

    Gives each new pair its part of the lists of words, from `top` on; returns `top` as it is then. A pair that is made
    and lost within one merge (as in `abab`) has its net count at the end.
    """
    rows, touched = near
    length = starts[new + 1] - starts[new]
    for item in range(met):
        code = touched[item]
        other = code >> 1
        rows[code, LIST] = -1
        if rows[code, SUM] >= threshold and starts[other + 1] - starts[other] + length < longest:
            key = code_key(code, new)
            slot = find_pair(keys, key)
            keys[slot] = key
            counts[slot] = rows[code, SUM]
            rows[code, LIST] = top
            top += rows[code, HOLDERS]
    for item in range(met):
        code = touched[item]
        slot = find_pair(keys, code_key(code, right if code & 1 else left))
        if keys[slot] != 0:
            counts[slot] -= rows[code, SUM]
        rows[code, SUM] = 0
        rows[code, HOLDERS] = 0
    return top


@kernel
def merge_pairs(
    words: Words,
    pairs: Pairs,
    spellings: Spellings,
    near: Neighbours,
    merges: np.ndarray,
    tokens: int,
    threshold: int,
    longest: int,
    patience: int,
) -> tuple[int, int, int, Pairs]:
    """Merges the commonest pair, again and again, as far as it can without a recount.

    Args:
        words: changed in place.
        pairs: all that reach `threshold`; changed in place, and given back as they are then.
        near: as `no_neighbours` gives it.
        merges: int32 (M, 3), to be filled: left, right, new.
        tokens: how many there are.
        longest: a new pair's token has fewer bytes than this.
        patience: how many words may be looked at, about, before this returns.

    Returns:
        (why it returned; tokens there are then; merges made; the pairs). DONE: there is no room for another token. DRY:
        no pair reaches the threshold. PAUSED: `merges` is full, or patience is at its end. FULL: there is no room to
        spell. SPELLED_AGAIN: the last merge spelled a token that there was; only a recount gives the pairs' counts.
    """
    data, starts, _ = spellings
    keys, counts, heap, lists, used = pairs
    size, entries, top = used
    made = 0
    seen = 0
    events = np.empty(1 << 12, np.int64)
    status = PAUSED
    while made < merges.shape[0] and seen < patience:
        if tokens >= starts.shape[0] - 1:
            status = DONE
            break
        if size == 0 or heap[0, 0] < threshold:
            status = DRY
            break
        slot = find_pair(keys, np.uint64(heap[0, 1]))
        present = counts[slot]
        stale = present != heap[0, 0]
        if stale and present >= threshold:
            heap[0, 0] = present
            sink(heap, size)
            continue
        left = (heap[0, 1] - 1) >> 32
        right = (heap[0, 1] - 1) & 0xFFFFFFFF
        listed = lists[heap[0, 2] : heap[0, 2] + heap[0, 3]]
        if not stale:
            end = starts[tokens] + starts[left + 1] - starts[left] + starts[right + 1] - starts[right]
            if end > data.shape[0]:
                status = FULL
                break
            counts[slot] = 0
        size -= 1
        for column in range(4):
            heap[0, column] = heap[size, column]
        sink(heap, size)
        if stale:
            continue
        spell(spellings, left, right, tokens)
        new = enter_spelling(spellings, tokens)
        merges[made, 0] = left
        merges[made, 1] = right
        merges[made, 2] = new
        made += 1
        seen += listed.shape[0] + 1
        events, happened, met = replace_pair(words, listed, left, right, new, near, events)
        if new < tokens:
            status = SPELLED_AGAIN
            break
        tokens += 1
        entries += met
        if 2 * entries > keys.shape[0]:  # fallen pairs leave the table; the heap then finds a count of 0 for them
            keys, counts, entries = move_pairs(keys, counts, 4 * entries, threshold)
            entries += met
        if top + happened > lists.shape[0]:
            lists = longer(lists, top, top + happened + top // 2)
        if size + met > heap.shape[0]:
            heap = taller(heap, size, size + met + size // 2)
        top = change_counts(keys, counts, left, right, new, near, met, starts, threshold, longest, top)
        for event in range(happened):
            code = events[event] >> 32
            if near.rows[code, LIST] >= 0:
                lists[near.rows[code, LIST] + near.rows[code, HOLDERS]] = events[event] & 0xFFFFFFFF
                near.rows[code, HOLDERS] += 1
        for item in range(met):
            code = near.touched[item]
            if near.rows[code, LIST] >= 0:
                key = code_key(code, new)
                count = counts[find_pair(keys, key)]
                if count >= threshold:
                    heap[size, 0] = count
                    heap[size, 1] = np.int64(key)
                    heap[size, 2] = near.rows[code, LIST]
                    heap[size, 3] = near.rows[code, HOLDERS]
                    size += 1
                    rise(heap, size - 1)
                near.rows[code, HOLDERS] = 0
    used[0], used[1], used[2] = size, entries, top
    return status, tokens, made, Pairs(keys, counts, heap, lists, used)
