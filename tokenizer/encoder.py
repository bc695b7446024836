"""Text to token ids and back: Arrow strings in, Arrow lists of int32 out, and no Python object for each document.

Text is cut into pretokens (`pretokens.py`); each is looked up in a cache, and only one not met before goes through the
merges. Ids equal Hugging Face's on every text, with one intended difference: the spelling of a special token inside
text is text. Special ids come from code that knows what it marks, never from a document.

A short pretoken is merged by scanning for its best pair; one longer than 48 bytes by a heap over linked symbols, so
that a megabyte of one letter or of Han characters takes a fraction of a second. The cache has a fixed size (48 MiB,
up to 800,000 pretokens); when it is full it starts anew. Each thread that encodes at the same time takes a cache of
its own, and the kernels release the interpreter lock.

Memory of a call: 4 bytes for each id (room for one in three bytes of text is set aside, untouched pages cost nothing),
the list offsets, and 36 bytes for each byte of the longest pretoken.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dataproc.errors import UserError
from tokenizer.files import TokenizerFiles, read_tokenizer
from tokenizer.keys import SHORT, hash_of, kernel, kernel_part, key_of, prefetch, read_only
from tokenizer.patterns import pattern_named
from tokenizer.pretokens import pretoken_blocks, read_text
from tokenizer.ranks import SCANNED, Merges, encode_pretoken, enter_merges
from tokenizer.special import SpecialTokens
from tokenizer.vocabulary import Vocabulary

SLOTS = 1 << 20
ARENA = 1 << 22
AHEAD = 128
"""Keys computed before the first of them is looked up."""
LONGEST_CACHED = 255


class Cache(NamedTuple):
    """Pretokens met before and their ids.

    Attributes:
        slots: uint64 (SLOTS, 4): key (two words); length * 2^32 + how many ids, 0 when free; the ids themselves, when
            a pretoken of up to 16 bytes has one or two, else their place in `arena`.
        arena: int32, ids; after those of a pretoken of more than 16 bytes, its bytes, one each.
        used: int64 (2,): slots, arena.
    """

    slots: np.ndarray
    arena: np.ndarray
    used: np.ndarray


@kernel_part
def remember(
    slots: np.ndarray,
    arena: np.ndarray,
    used: np.ndarray,
    slot: int,
    low: np.uint64,
    high: np.uint64,
    data: np.ndarray,
    start: int,
    length: int,
    ids: np.ndarray,
    count: int,
) -> None:
    """Enters a pretoken and its ids in a free slot, for which there is room."""
    slots[slot, 0] = low
    slots[slot, 1] = high
    slots[slot, 2] = (np.uint64(length) << np.uint64(32)) | np.uint64(count)
    used[0] += 1
    if length <= SHORT and count <= 2:
        slots[slot, 3] = np.uint64(ids[0]) | (np.uint64(ids[count - 1]) << np.uint64(32))
        return
    top = used[1]
    slots[slot, 3] = np.uint64(top)
    for place in range(count):
        arena[top + place] = ids[place]
    top += count
    if length > SHORT:
        for place in range(length):
            arena[top + place] = data[start + place]
        top += length
    used[1] = top


@kernel_part
def same_in_arena(arena: np.ndarray, first: int, data: np.ndarray, start: int, length: int) -> bool:
    """Whether the pretoken remembered at `first` has these bytes."""
    for place in range(length):  # noqa: SIM110 - kernels have no generators
        if arena[first + place] != data[start + place]:
            return False
    return True


@kernel
def encode_spans(
    data: np.ndarray,
    start: int,
    ends: np.ndarray,
    merges: Merges,
    cache: Cache,
    scratch: np.ndarray,
    offsets: np.ndarray,
    document: int,
    lists: np.ndarray,
    out: np.ndarray,
    filled: int,
) -> tuple[int, int]:
    """Appends the ids of a block of pretokens to `out`, which has room for as many as they have bytes, and two more.

    Args:
        data, start, ends: the block, as `pretoken_blocks` gives it.
        scratch: int32, as long as the longest pretoken.
        offsets: where documents start; `document` is the first whose end is not yet in `lists`.
        lists: int64 (documents + 1,), where each document's ids start in `out`.
        out: int32, of which `filled` are there.

    Returns:
        (document, filled) as they are then.
    """
    slots, arena, used = cache
    mask = np.int64(slots.shape[0] - 1)
    keys = np.empty((AHEAD, 2), np.uint64)
    places = np.empty(AHEAD, np.int64)
    ranks = np.empty(SCANNED, np.uint64)
    low_half = np.uint64(0xFFFFFFFF)
    end_of_document = offsets[document + 1]
    for first in range(0, ends.shape[0], AHEAD):
        last = min(first + AHEAD, ends.shape[0])
        begin = start
        for span in range(first, last):
            low, high = key_of(data, begin, ends[span] - begin)
            slot = np.int64(hash_of(low, high, ends[span] - begin) & np.uint64(mask))
            prefetch(slots, slot)
            keys[span - first, 0] = low
            keys[span - first, 1] = high
            places[span - first] = slot
            begin = ends[span]
        for span in range(first, last):
            length = ends[span] - start
            low = keys[span - first, 0]
            high = keys[span - first, 1]
            slot = places[span - first]
            while True:
                known = slots[slot, 2]
                if known == 0:
                    count = encode_pretoken(data, start, length, merges.byte_ids, merges.pairs, scratch, ranks)
                    for place in range(count):
                        out[filled + place] = scratch[place]
                    if length <= LONGEST_CACHED:
                        if used[1] + 2 * LONGEST_CACHED > arena.shape[0] or 4 * used[0] >= 3 * slots.shape[0]:
                            for row in range(slots.shape[0]):
                                slots[row, 2] = 0
                            used[0] = used[1] = 0
                            slot = places[span - first]
                        remember(slots, arena, used, slot, low, high, data, start, length, scratch, count)
                    break
                if slots[slot, 0] == low and slots[slot, 1] == high and known >> np.uint64(32) == np.uint64(length):
                    count = np.int64(known & low_half)
                    value = slots[slot, 3]
                    if length <= SHORT:
                        if count <= 2:
                            out[filled] = np.int32(value & low_half)
                            out[filled + 1] = np.int32(value >> np.uint64(32))
                            break
                        known = np.uint64(0)
                    elif same_in_arena(arena, np.int64(value) + count, data, start, length):
                        known = np.uint64(0)
                    if known == 0:
                        for place in range(count):
                            out[filled + place] = arena[np.int64(value) + place]
                        break
                slot = (slot + 1) & mask
            filled += count
            start = ends[span]
            if start == end_of_document:
                while document < offsets.shape[0] - 1 and offsets[document + 1] == start:
                    document += 1
                    lists[document] = filled
                if document < offsets.shape[0] - 1:
                    end_of_document = offsets[document + 1]
    return document, filled


class Tokenizer:
    """A trained tokenizer, ready to encode and decode.

    Attributes:
        vocabulary: the BPE model: bytes of its ids, merges.
        special: the special tokens: names, ids, roles.
        pattern: name of the pretoken pattern.
        fingerprint: digest of `tokenizer.json`.
        vocab_size: ids in all, special ones included.
        model_rows: rows that a model's embedding should have: `vocab_size`, padded.
        spellings: large_binary (vocab_size,), the bytes of each id; of a special one, its name.
    """

    def __init__(self, vocabulary: Vocabulary, special: SpecialTokens, pattern: str, fingerprint: str) -> None:
        self.vocabulary = vocabulary
        self.special = special
        self.pattern = pattern_named(pattern).name
        self.fingerprint = fingerprint
        self.vocab_size = special.vocab_size
        self.model_rows = special.model_rows
        added = [token.text.encode() for token in special.tokens[vocabulary.specials :]]
        self.spellings = pa.concat_arrays([vocabulary.tokens, pa.array(added, pa.large_binary())])
        pairs = np.zeros((1 << (4 * len(vocabulary.merges)).bit_length(), 2), np.uint64)
        enter_merges(read_only(vocabulary.merges.astype(np.int32)), pairs)
        self._merges = Merges(pairs, read_only(vocabulary.byte_ids()))
        self._idle_caches: list[Cache] = []

    @classmethod
    def load(cls, folder: str) -> "Tokenizer":
        """The tokenizer of a folder (path or URL). Raises UserError when it is not one, or not a known kind."""
        files: TokenizerFiles = read_tokenizer(folder)
        return cls(files.vocabulary, files.special, files.pattern, files.fingerprint)

    def encode(self, texts: pa.Array) -> pa.LargeListArray:
        """The ids of each text: a string array without nulls in, large_list<int32> out.

        No text yields a special id, and nothing (such as the beginning of a sentence) is added.
        """
        offsets, data = read_text(texts)
        return self._encode(offsets, data, pretoken_blocks(offsets, data, self.pattern))

    def encode_pieces(self, pieces: pa.Array) -> pa.LargeListArray:
        """The ids of each piece of text taken as one pretoken, whatever the pattern says; bytes need not be UTF-8."""
        offsets, data = read_text(pieces)
        ends = offsets[1:][np.diff(offsets) > 0]
        return self._encode(offsets, data, [(int(offsets[0]), ends)] if len(ends) else [])

    def _encode(
        self, offsets: np.ndarray, data: np.ndarray, blocks: Iterable[tuple[int, np.ndarray]]
    ) -> pa.LargeListArray:
        size = int(offsets[-1] - offsets[0])
        out = np.empty(size // 3 + 1024, np.int32)
        lists = np.zeros(len(offsets), np.int64)
        scratch = np.empty(1 << 10, np.int32)
        document = int(np.searchsorted(offsets, offsets[0], side="right")) - 1  # empty ones in front have no ids
        filled = 0
        try:
            cache = self._idle_caches.pop()
        except IndexError:
            slots = np.zeros((SLOTS, 4), np.uint64)
            cache = Cache(slots, np.empty(ARENA, np.int32), np.zeros(2, np.int64))
        for start, ends in blocks:
            if filled + ends[-1] - start + 2 > len(out):
                larger = np.empty(int(filled + ends[-1] - start) + len(out) * 3 // 2 + 2, np.int32)
                larger[:filled] = out[:filled]
                out = larger
            longest = max(int(ends[0]) - start, int(np.diff(ends).max(initial=0)))
            if longest > len(scratch):
                scratch = np.empty(longest, np.int32)
            document, filled = encode_spans(
                *(data, start, ends),
                *(self._merges, cache, scratch, offsets, document, lists, out, filled),
            )
        self._idle_caches.append(cache)
        values = pa.Array.from_buffers(pa.int32(), filled, [None, pa.py_buffer(out[:filled])])
        return pa.LargeListArray.from_arrays(pa.array(lists), values)

    def decode(self, ids: np.ndarray) -> bytes:
        """The bytes of a row of ids; special ones as they are spelled. A cut character stays cut.

        Raises UserError for an id that no token has.
        """
        ids = np.asarray(ids)
        if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= self.vocab_size):
            raise UserError(f"there are {self.vocab_size:,} token ids; {ids.min()} to {ids.max()} were to be decoded")
        offsets, data = read_text(self.spellings.take(pa.array(ids.astype(np.int64))))
        return data[offsets[0] : offsets[-1]].tobytes()

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one id; of a special one, its spelling."""
        return self.decode(np.array([token]))
