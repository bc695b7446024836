"""Text to token ids and back: Arrow strings in, Arrow lists of int32 out, and no Python object for each document.

For a few texts there is plain Python as well: `encode("text")` gives a list, `encode_batch` lists, and `decode` of a
list gives the text.

Text is cut into pretokens (`pretokens.py`), runs of Han and kana further (`cuts.py`); each piece is looked up, and only
one not met before goes through the merges (`ranks.py`). It is looked for in two tables (`lookup.py`): a cache of what
this process has met, and once for each piece in the warm table of the tokenizer's folder (`warm.py`), which has the
commonest ones. The cache comes first, since it is smaller, and dense in what this text has: the other way round, later
passes took a fifth longer. Keys are computed, and slots asked for, some hundred pieces before they are looked at.

Ids equal Hugging Face's on every text, with one intended difference: the spelling of a special token inside
text is text. Special ids come from code that knows what it marks, never from a document.

A short pretoken is merged by scanning for its best pair; one longer than 48 bytes by a heap over linked symbols, so
that a megabyte of one letter or of Han characters takes a fraction of a second. The cache has a fixed size (48 MiB,
up to 800,000 pretokens); when it is full it starts anew. Each thread that encodes at the same time takes a cache of
its own, and the kernels release the interpreter lock.

Memory of a call: 4 bytes for each id (room for one in three bytes of text is set aside, untouched pages cost nothing),
the list offsets, and 36 bytes for each byte of the longest pretoken.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.buffers import Texts
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step
from corpusmill.dataproc.storage import exists, join
from corpusmill.tokenizer.blanks import blank_ids, table_with_blanks
from corpusmill.tokenizer.cuts import joined_characters, pieces_of
from corpusmill.tokenizer.formats.files import TokenizerFiles, read_tokenizer
from corpusmill.tokenizer.keys import KEY_MASKS, hash_of, masked_key, prefetch
from corpusmill.tokenizer.lookup import PretokenTable, copy_ids, enter_pretoken, find_pretoken, new_table
from corpusmill.tokenizer.patterns import Pattern, pattern_named
from corpusmill.tokenizer.preparing import prepared
from corpusmill.tokenizer.pretokens import pretoken_blocks, read_text
from corpusmill.tokenizer.ranks import Merges, Room, encode_pretoken, merge_tables, room_for
from corpusmill.tokenizer.special import SpecialTokens
from corpusmill.tokenizer.vocabulary import Vocabulary
from corpusmill.tokenizer.warm import WARM, WarmTable, no_warm_table, read_warm_table, whole_tokens

SLOTS = 1 << 20
ARENA = 1 << 22
AHEAD = 128
"""Keys computed before the first of them is looked up."""
FEW_MISSED = 2
"""If more of so many were not in the cache, the warm table's slots are prefetched, too."""
LONGEST_CACHED = 255
LEAST_CUT = 9
"""Runs of Han and kana are cut from so many bytes on: shorter ones are in the tables as they are."""
NEVER = 1 << 62


class Cache(NamedTuple):
    """Pretokens met before. `used`: int64 (2,), slots and words of arena taken."""

    table: PretokenTable
    used: np.ndarray


@kernel_step
def begin_anew(slots: np.ndarray, used: np.ndarray) -> None:
    """Empties a table."""
    for row in range(slots.shape[0]):
        slots[row, 2] = 0
    used[0] = used[1] = 0


@kernel
def encode_spans(
    data: np.ndarray,
    start: int,
    ends: np.ndarray,
    ahead: np.ndarray,
    masks: np.ndarray,
    merges: Merges,
    warm: PretokenTable,
    cache: Cache,
    room: Room,
    offsets: np.ndarray,
    document: int,
    lists: np.ndarray,
    out: np.ndarray,
    filled: int,
) -> tuple[int, int]:
    """Appends the ids of a block of pieces to `out`, which has room for as many as they have bytes, and two more.

    Args:
        data, start, ends: the block, as `pieces_of` gives it.
        ahead: uint64 (AHEAD, 3), scratch: keys and their slots.
        masks: `KEY_MASKS`.
        room: for the longest piece.
        offsets: where documents start; `document` is the first whose end is not yet in `lists`.
        lists: int64 (documents + 1,), where each document's ids start in `out`.
        out: int32, of which the first `filled` are set.

    Returns:
        (document, filled) as they are then.
    """
    warm_slots, warm_arena, warm_bytes = warm
    (slots, arena, arena_bytes), used = cache
    ids = room.ids
    warm_mask = np.uint64(warm_slots.shape[0] - 1)
    mask = np.uint64(slots.shape[0] - 1)
    end_of_document = offsets[document + 1]
    missed = np.int64(0)
    for first in range(0, ends.shape[0], AHEAD):
        last = min(first + AHEAD, ends.shape[0])
        begin = start
        eager = missed > FEW_MISSED
        missed = np.int64(0)
        for span in range(first, last):
            end = ends[span]
            low, high = masked_key(data, begin, end - begin, masks)
            hashed = hash_of(low, high, end - begin)
            slot = hashed & mask
            prefetch(slots, np.int64(slot))
            if eager:
                prefetch(warm_slots, np.int64(hashed & warm_mask))
            ahead[span - first, 0] = low
            ahead[span - first, 1] = high
            ahead[span - first, 2] = slot
            begin = end
        for span in range(first, last):
            end = ends[span]
            length = end - start
            low = ahead[span - first, 0]
            high = ahead[span - first, 1]
            slot = find_pretoken(slots, arena_bytes, np.int64(ahead[span - first, 2]), low, high, data, start, length)
            if slot >= 0:
                filled += copy_ids(slots, arena, slot, out, filled)
            else:
                missed += 1
                place = np.int64(hash_of(low, high, length) & warm_mask)
                place = find_pretoken(warm_slots, warm_bytes, place, low, high, data, start, length)
                if place >= 0:
                    count = copy_ids(warm_slots, warm_arena, place, out, filled)
                else:
                    count = encode_pretoken(data, start, length, merges, room)
                    for token in range(count):
                        out[filled + token] = ids[token]
                if length <= LONGEST_CACHED:
                    if used[1] + 2 * LONGEST_CACHED > arena.shape[0] or 4 * used[0] >= 3 * slots.shape[0]:
                        begin_anew(slots, used)
                        slot = ~np.int64(hash_of(low, high, length) & mask)
                    used[0] += 1
                    used[1] = enter_pretoken(
                        slots, arena, arena_bytes, ~slot, used[1], low, high, data, start, length, out, filled, count
                    )
                filled += count
            start = end
            if start == end_of_document:
                while document < offsets.shape[0] - 1 and offsets[document + 1] == start:
                    document += 1
                    lists[document] = filled
                if document < offsets.shape[0] - 1:
                    end_of_document = offsets[document + 1]
    return document, filled


def _spellings(vocabulary: Vocabulary, special: SpecialTokens) -> pa.LargeBinaryArray:
    """The bytes of every id: of the model's own, else of the special token there, else null."""
    own = vocabulary.tokens
    rest = special.vocab_size - len(own)
    tokens = pa.concat_arrays([own, pa.nulls(rest, pa.large_binary())]) if rest > 0 else own
    gaps = pc.is_null(tokens).to_numpy(False)
    texts = {token.id: token.text.encode() for token in special.tokens}
    added = pa.array([texts.get(number) for number in np.flatnonzero(gaps).tolist()], pa.large_binary())
    return pc.replace_with_mask(tokens, pa.array(gaps), added)


class Tokenizer:
    """A trained tokenizer, ready to encode and decode.

    Attributes:
        vocabulary: the BPE model: bytes of its ids, merges.
        special: the special tokens: names, ids, roles.
        pattern: how text is cut into pretokens.
        fingerprint: digest of `tokenizer.json`.
        vocab_size: ids in all, special ones included.
        model_rows: rows that a model's embedding should have: `vocab_size`, padded.
        spellings: large_binary (vocab_size,), the bytes of each id; of a special one, its name; null where none is.
        warm: the table of common pretokens that it looks in first.
        cutting: how `pieces_of` cuts pretokens further.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        special: SpecialTokens,
        pattern: str | Pattern,
        fingerprint: str,
        warm: WarmTable | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.special = special
        self.pattern = pattern_named(pattern)
        self.fingerprint = fingerprint
        self.vocab_size = special.vocab_size
        self.model_rows = special.model_rows
        self.spellings = _spellings(vocabulary, special)
        blanks = blank_ids(special, self.pattern)
        if blanks:
            self.warm = table_with_blanks(vocabulary, blanks)
        else:
            self.warm = warm or (whole_tokens(vocabulary) if vocabulary.whole_first else no_warm_table())
        self._merges = merge_tables(vocabulary.merges, vocabulary.byte_ids())
        self.cutting = joined_characters(vocabulary.tokens), NEVER if vocabulary.whole_first else LEAST_CUT
        self._idle_caches: list[Cache] = []

    @classmethod
    def load(cls, folder: str) -> "Tokenizer":
        """The tokenizer of a folder (path or URL), with its warm table where it has one.

        Raises UserError when it is not one, not a known kind, or its warm table is damaged or another tokenizer's.
        """
        files: TokenizerFiles = read_tokenizer(folder)
        path = join(folder, WARM)
        warm = read_warm_table(path, files.fingerprint) if exists(path) else None
        return cls(files.vocabulary, files.special, files.pattern, files.fingerprint, warm)

    @overload
    def encode(self, texts: str) -> list[int]: ...

    @overload
    def encode(self, texts: pa.Array) -> pa.LargeListArray: ...

    def encode(self, texts: Any) -> Any:
        """The ids of each text: a string array (N,) without nulls in, large_list<int32> (N,) out; of one str, a list.

        No text yields a special id, and nothing (such as the beginning of a sentence) is added.

        Raises UserError for what is no text, and ValueError for a null.
        """
        if isinstance(texts, str):
            ids: list[int] = self._encode_texts([texts]).values.to_pylist()
            return ids
        return self._encode_texts(texts)

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text as a list, as it is Python; `encode` of an Arrow array gives the same ids, faster.

        Raises UserError for what is no text.
        """
        ids: list[list[int]] = self._encode_texts(texts).to_pylist()
        return ids

    def _encode_texts(self, texts: Texts) -> pa.LargeListArray:
        offsets, data = read_text(prepared(texts, self.pattern))
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
        ahead = np.empty((AHEAD, 3), np.uint64)
        room = room_for(1 << 8)
        document = int(np.searchsorted(offsets, offsets[0], side="right")) - 1  # empty ones in front have no ids
        filled = 0
        try:
            cache = self._idle_caches.pop()
        except IndexError:
            cache = Cache(new_table(SLOTS, ARENA), np.zeros(2, np.int64))
        for start, ends, longest in pieces_of(data, blocks, *self.cutting):
            if filled + ends[-1] - start + 2 > len(out):
                larger = np.empty(int(filled + ends[-1] - start) + len(out) * 3 // 2 + 2, np.int32)
                larger[:filled] = out[:filled]
                out = larger
            if longest > len(room.ids):
                room = room_for(longest)
            document, filled = encode_spans(
                *(data, start, ends, ahead, KEY_MASKS, self._merges, self.warm.table, cache, room),
                *(offsets, document, lists, out, filled),
            )
        self._idle_caches.append(cache)
        values = pa.Array.from_buffers(pa.int32(), filled, [None, pa.py_buffer(out[:filled])])
        return pa.LargeListArray.from_arrays(pa.array(lists), values)

    @overload
    def decode(self, ids: list[int] | tuple[int, ...]) -> str: ...

    @overload
    def decode(self, ids: np.ndarray) -> bytes: ...

    def decode(self, ids: Any) -> str | bytes:
        """The bytes of an array of ids (N,); special ones as they are spelled. A cut character stays cut.

        Of a list (or tuple) the text, in which each maximal stretch that is no UTF-8, such as a cut character, is one
        U+FFFD. `tokenizer/decoding.py` has batches, streams, and special ids left out.

        Raises UserError for an id that no token has.
        """
        if isinstance(ids, list | tuple):
            return self._decode(np.array(ids, np.int64)).decode(errors="replace")
        return self._decode(np.asarray(ids))

    def decode_batch(self, ids: Iterable[Sequence[int]]) -> list[str]:
        """The text of each list of ids, as `decode` gives it."""
        return [self.decode(list(row)) for row in ids]

    def _decode(self, ids: np.ndarray) -> bytes:
        if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= self.vocab_size):
            raise UserError(f"there are {self.vocab_size:,} token ids; {ids.min()} to {ids.max()} were to be decoded")
        spelled = self.spellings.take(pa.array(ids.astype(np.int64)))
        if spelled.null_count:
            raise UserError(
                f"no token has the id {ids[pc.is_null(spelled).to_numpy(False)][0]}, which was to be decoded"
            )
        offsets, data = read_text(spelled)
        return data[offsets[0] : offsets[-1]].tobytes()

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one id; of a special one, its spelling."""
        return self._decode(np.array([token]))
