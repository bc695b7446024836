"""The merge loop of BPE training: kernels. What they compute, and why so, is said in `bpe.py`."""

from typing import NamedTuple

import numpy as np

from tokenizer.keys import Integer, hash_of, kernel, kernel_part, key_of, same_bytes
from tokenizer.pairs import Words, find_pair, longer, move_pairs, pair_key, rise, sink, taller

DONE, DRY, RECOUNT, SPELLS_SPECIAL = 0, 1, 2, 3


class Spellings(NamedTuple):
    """The bytes of tokens.

    Attributes:
        data: uint8; token t is `data[starts[t] : starts[t + 1]]`.
        starts: int64, one more than there is room for tokens.
        slots: int32 (a power of two), a hash table of token + 1 by spelling.
    """

    data: np.ndarray
    starts: np.ndarray
    slots: np.ndarray


class Neighbours(NamedTuple):
    """What one merge does to the symbols beside it, by symbol. Side 0 is before the pair, side 1 after it.

    Attributes (int64, (2, room for tokens)):
        sums: the weight of new pairs with that symbol. Zero between merges.
        holders: how many words hold such a pair. Zero between merges.
        last: the word where the symbol was met last.
        lists: where the new pair's list of words starts, -1 for none.
        touched: the symbols met.
        met: int64 (2,), how many those are.
    """

    sums: np.ndarray
    holders: np.ndarray
    last: np.ndarray
    lists: np.ndarray
    touched: np.ndarray
    met: np.ndarray


def no_neighbours(room: int) -> Neighbours:
    """Sums of nothing yet, for `room` tokens."""
    sums, holders, last, lists, touched = (np.zeros((2, room), np.int64) for _ in range(5))
    return Neighbours(sums, holders, last, lists, touched, met=np.zeros(2, np.int64))


@kernel_part
def enter_spelling(spellings: Spellings, token: int) -> Integer:
    """The token that is spelled like `token`: an earlier one, or itself, which is then entered."""
    data, starts, slots = spellings
    start = starts[token]
    length = starts[token + 1] - start
    low, high = key_of(data, start, length)
    slot = np.int64(hash_of(low, high, length) & np.uint64(slots.shape[0] - 1))
    while slots[slot] != 0:
        other = np.int64(slots[slot]) - 1
        same_length = starts[other + 1] - starts[other] == length
        if same_length and same_bytes(data, starts[other], data, start, length):
            return other
        slot = (slot + 1) & (slots.shape[0] - 1)
    slots[slot] = token + 1
    return token


@kernel
def enter_spellings(spellings: Spellings, tokens: int) -> None:
    """Enters all tokens that have a spelling."""
    for token in range(tokens):
        if spellings.starts[token + 1] > spellings.starts[token]:
            enter_spelling(spellings, token)


@kernel_part
def spell(spellings: Spellings, left: int, right: int, token: int) -> None:
    """Writes the bytes of two tokens together as those of token number `token`, which comes after all others."""
    data, starts, _ = spellings
    end = starts[token]
    for part in (left, right):
        for place in range(starts[part], starts[part + 1]):
            data[end] = data[place]
            end += 1
    starts[token + 1] = end


@kernel_part
def replace_pair(
    words: Words, listed: np.ndarray, left: int, right: int, new: int, near: Neighbours, events: np.ndarray
) -> tuple[np.ndarray, int]:
    """Makes each `left right` of the listed words one symbol, and sums in `near` what that does to neighbours.

    An event is (side, neighbour, word) for each word that holds a new pair. Returns (events, how many there are).
    """
    table, symbols = words
    happened = 0
    for item in range(listed.shape[0]):
        word = np.int64(listed[item])
        first = table[word, 0] + 1
        end = first + symbols[first - 1]
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
                    other = np.int64(symbols[beside])
                    if near.holders[side, other] == 0:
                        near.touched[side, near.met[side]] = other
                        near.met[side] += 1
                        near.last[side, other] = -1
                    near.sums[side, other] += table[word, 1]
                    if near.last[side, other] != word:
                        near.last[side, other] = word
                        near.holders[side, other] += 1
                        if happened == events.shape[0]:
                            events = taller(events, happened, 2 * happened)
                        events[happened, 0] = side
                        events[happened, 1] = other
                        events[happened, 2] = word
                        happened += 1
                symbols[write] = new
                read += 2
            else:
                symbols[write] = symbols[read]
                read += 1
            write += 1
        symbols[first - 1] = write - first
    return events, happened


@kernel_part
def change_counts(
    keys: np.ndarray,
    counts: np.ndarray,
    left: int,
    right: int,
    new: int,
    near: Neighbours,
    starts: np.ndarray,
    threshold: int,
    longest: int,
    top: int,
) -> int:
    """Enters the new pairs of a merge that reach the threshold, and takes from the old ones what those gained.

    Gives each new pair its part of the lists of words, from `top` on; returns `top` as it is then. A pair that is made
    and lost within one merge (as in `abab`) has its net count at the end.
    """
    length = starts[new + 1] - starts[new]
    for side in range(2):
        for item in range(near.met[side]):
            other = near.touched[side, item]
            near.lists[side, other] = -1
            if near.sums[side, other] >= threshold and starts[other + 1] - starts[other] + length < longest:
                key = pair_key(other, new) if side == 0 else pair_key(new, other)
                slot = find_pair(keys, key)
                keys[slot] = key
                counts[slot] = near.sums[side, other]
                near.lists[side, other] = top
                top += near.holders[side, other]
    for side in range(2):
        for item in range(near.met[side]):
            other = near.touched[side, item]
            slot = find_pair(keys, pair_key(other, left) if side == 0 else pair_key(right, other))
            if keys[slot] != 0:
                counts[slot] -= near.sums[side, other]
            near.sums[side, other] = 0
            near.holders[side, other] = 0
    return top


@kernel
def merge_pairs(
    words: Words,
    keys: np.ndarray,
    counts: np.ndarray,
    heap: np.ndarray,
    lists: np.ndarray,
    spellings: Spellings,
    near: Neighbours,
    merges: np.ndarray,
    tokens: int,
    specials: int,
    threshold: int,
    longest: int,
) -> tuple[int, int, int]:
    """Merges the commonest pair, again and again, as far as it can without a recount.

    Args:
        words: changed in place.
        keys, counts: the table of all pairs that reach `threshold`, at most half full.
        heap: int64 (P, 4), a heap of just these pairs: count, key, start and length of the pair's part of `lists`.
        lists: int32, words by pair.
        near: as `no_neighbours` gives it.
        merges: int32 (M, 3), to be filled: left, right, new.
        tokens: how many there are; the first `specials` of them may not be spelled.
        longest: a new pair's token has fewer bytes than this.

    Returns:
        (DONE, DRY, RECOUNT or SPELLS_SPECIAL; tokens there are then; merges made). DONE: there is no room for another
        token. DRY: no pair reaches the threshold. RECOUNT: an existing token was spelled, or there is no room to spell.
    """
    data, starts, _ = spellings
    size = heap.shape[0]
    pairs = size
    top = lists.shape[0]
    made = 0
    events = np.empty((1 << 12, 3), np.int64)
    while tokens < starts.shape[0] - 1:
        if size == 0 or heap[0, 0] < threshold:
            return DRY, tokens, made
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
                return RECOUNT, tokens, made
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
        if new < specials:
            return SPELLS_SPECIAL, tokens, made
        near.met[0] = near.met[1] = 0
        events, happened = replace_pair(words, listed, left, right, new, near, events)
        if new < tokens:
            return RECOUNT, tokens, made
        tokens += 1
        more = near.met[0] + near.met[1]
        pairs += more
        if 2 * pairs > keys.shape[0]:  # fallen pairs leave the table; the heap then finds a count of 0 for them
            keys, counts, pairs = move_pairs(keys, counts, 4 * pairs, threshold)
            pairs += more
        if top + happened > lists.shape[0]:
            lists = longer(lists, top, top + happened + top // 2)
        if size + more > heap.shape[0]:
            heap = taller(heap, size, size + more + size // 2)
        top = change_counts(keys, counts, left, right, new, near, starts, threshold, longest, top)
        for event in range(happened):
            side = events[event, 0]
            other = events[event, 1]
            if near.lists[side, other] >= 0:
                lists[near.lists[side, other] + near.holders[side, other]] = events[event, 2]
                near.holders[side, other] += 1
        for side in range(2):
            for item in range(near.met[side]):
                other = near.touched[side, item]
                if near.lists[side, other] >= 0:
                    key = pair_key(other, new) if side == 0 else pair_key(new, other)
                    count = counts[find_pair(keys, key)]
                    if count >= threshold:
                        heap[size, 0] = count
                        heap[size, 1] = np.int64(key)
                        heap[size, 2] = near.lists[side, other]
                        heap[size, 3] = near.holders[side, other]
                        size += 1
                        rise(heap, size - 1)
                    near.holders[side, other] = 0
    return DONE, tokens, made
