"""Learning BPE merges from counted pretokens alone: the merges, ids and ties of Hugging Face's `BpeTrainer`, exactly.

Time and memory follow the number of unique pretokens, not the corpus (128,000 tokens from 600,000 pretokens take some
seconds). Counts are int64, where the original's 32-bit pair counts go wrong past two billion. What the original does:
take the commonest pair of neighbouring symbols, ties to the lower (left id, right id); make it one symbol, everywhere,
left to right; repeat. What makes it fast here:

- A pair's count can only fall once its newer symbol exists. So pairs below a threshold are neither stored nor listed;
  when no pair reaches the threshold it is divided by four and all is recounted from the words as they are now.
- The heap holds counts as of when a pair was made; a pair found stale at the top goes back with its present count.
- During one merge, changes are summed by neighbouring symbol, so that hashing is per distinct neighbour.

Should a merge spell a token that exists, it gets that token's id, as in the original, and everything is recounted,
since the token's old pairs may rise again. (No such case is known: random searches over short alphabets found none.)
A special token's spelling is refused, so that text never yields one. The original keeps the count of a pair after
merging it; that residue could only show after such a case, and is not imitated.

Memory: 8 bytes for each byte of unique pretokens, 20 for each pretoken, 32 to 64 for each pair at or above the
threshold, and 4 for each (such pair, word it occurs in).
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataproc.errors import UserError
from tokenizer.counts import PretokenCounts
from tokenizer.merges import DONE, DRY, SPELLS_SPECIAL, Spellings, enter_spellings, merge_pairs, no_neighbours
from tokenizer.pairs import Words, count_pairs, list_words, move_pairs
from tokenizer.pretokens import read_text
from tokenizer.vocabulary import Vocabulary, alphabet, byte_characters

NO_LIMIT = 1 << 62


def _pack(table: PretokenCounts, byte_ids: np.ndarray) -> Words:
    """The pretokens of two bytes and more, commonest first."""
    long_enough = pc.greater_equal(pc.binary_length(table.pretokens), 2)
    offsets, data = read_text(table.pretokens.filter(long_enough))
    counts = table.counts[long_enough.to_numpy(zero_copy_only=False)]
    words = np.empty((len(counts), 2), np.int64)
    words[:, 0] = offsets[:-1] - offsets[0] + np.arange(len(counts))
    words[:, 1] = counts
    symbols = np.empty(int(offsets[-1] - offsets[0]) + len(counts), np.int32)
    is_symbol = np.ones(len(symbols), bool)
    is_symbol[words[:, 0]] = False
    symbols[words[:, 0]] = np.diff(offsets)
    symbols[is_symbol] = byte_ids[data[offsets[0] : offsets[-1]]]
    return Words(words, symbols)


def _special_spelling(special: str) -> bytes | None:
    """The bytes that byte-level text would have to hold to spell this special token; None where no text does."""
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    return bytes(byte_of[c] for c in special) if all(c in byte_of for c in special) else None


def _check(vocab_size: int, specials: list[str]) -> None:
    for number, special in enumerate(specials):
        if not special or special in specials[:number]:
            raise UserError("special tokens must be different and not empty", where=repr(special))
        if len(special) == 1 and special in byte_characters():
            raise UserError("a special token may not be spelled like a byte", where=repr(special))
    if vocab_size < len(specials) + 256:
        raise UserError(
            f"a vocabulary of {vocab_size:,} has no room for {len(specials)} special tokens and the 256 bytes",
            mend=f"vocab_size must be {len(specials) + 256} at least",
        )


def train_merges(
    table: PretokenCounts,
    vocab_size: int,
    special_tokens: list[str],
    min_frequency: int = 0,
    max_token_length: int | None = None,
) -> Vocabulary:
    """Learns a byte-level BPE vocabulary from counted pretokens.

    Args:
        table: unique pretokens and their counts.
        vocab_size: ids in all: special tokens, bytes and merges. Fewer come out where the text runs out of pairs.
        special_tokens: spellings of the first ids. Text never yields them.
        min_frequency: a pair seen less often is not merged.
        max_token_length: as in the original: a token made of an earlier merge is shorter than this many bytes.

    Raises:
        UserError: too small a vocabulary, or a special token that ordinary text would spell.
    """
    _check(vocab_size, special_tokens)
    specials = len(special_tokens)
    tokens = specials + 256
    spellings = _spellings(special_tokens, vocab_size)
    byte_ids = np.empty(256, np.int32)
    byte_ids[list(alphabet())] = np.arange(specials, tokens)
    words = _pack(table, byte_ids)
    longest = NO_LIMIT if max_token_length is None else max_token_length
    least = max(min_frequency, 1)
    # A guess at the count of the last merge; a wrong one costs a recount, or some memory.
    bytes_counted = int(pc.binary_length(table.pretokens).to_numpy() @ table.counts)
    threshold = max(least, bytes_counted // (64 * vocab_size))
    merges = [np.empty((0, 3), np.int32)]
    while True:
        spellings = _with_room(spellings, tokens)
        made_now = np.empty((vocab_size - tokens + 1, 3), np.int32)
        status, tokens, made = merge_pairs(
            words,
            *_count(words, np.diff(spellings.starts[: tokens + 1]), longest, threshold),
            *(spellings, no_neighbours(vocab_size), made_now),
            *(tokens, specials, threshold, longest),
        )
        merges.append(made_now[:made])
        if status == SPELLS_SPECIAL:
            special = special_tokens[int(made_now[made - 1, 2])]
            raise UserError("ordinary text spells this special token", where=repr(special), mend="spell it otherwise")
        if status == DONE or (status == DRY and threshold == least):
            return Vocabulary(_tokens(special_tokens, spellings, tokens), np.concatenate(merges), specials)
        if status == DRY:
            threshold = max(least, threshold // 4)


def _spellings(special_tokens: list[str], room: int) -> Spellings:
    """The special tokens and the bytes, with room for so many tokens."""
    spelled = [_special_spelling(special) or b"" for special in special_tokens]
    spelled += [bytes([byte]) for byte in alphabet()]
    starts = np.zeros(room + 1, np.int64)
    starts[1 : len(spelled) + 1] = np.cumsum([len(part) for part in spelled])
    data = np.frombuffer(b"".join(spelled), np.uint8).copy()
    spellings = Spellings(data, starts, np.zeros(1 << (4 * room).bit_length(), np.int32))
    enter_spellings(spellings, len(spelled))
    return spellings


def _with_room(spellings: Spellings, tokens: int) -> Spellings:
    """The spellings with room for one more of any pair at least, and usually for all that will come."""
    starts = spellings.starts
    longest = int(np.diff(starts[: tokens + 1]).max())
    needed = int(starts[tokens]) + 2 * longest + 16 * (len(starts) - tokens)
    data = spellings.data
    return spellings._replace(data=np.concatenate([data, np.zeros(max(0, needed - len(data)), np.uint8)]))


def _count(
    words: Words, lengths: np.ndarray, longest: int, threshold: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(keys, counts, heap, lists) of the pairs that reach the threshold now, as `merge_pairs` wants them."""
    keys, counts = count_pairs(words, lengths, longest)
    kept = int(np.count_nonzero(counts >= threshold))
    keys, counts, _ = move_pairs(keys, counts, 4 * kept, threshold)
    slots = np.flatnonzero(keys)
    slots = slots[np.lexsort((keys[slots], -counts[slots]))]  # rows in order are a heap
    heap = np.zeros((kept, 4), np.int64)
    heap[:, 0] = counts[slots]
    heap[:, 1] = keys[slots].astype(np.int64)
    rows = np.zeros(len(keys), np.int64)
    rows[slots] = np.arange(kept)
    list_words(words, keys, heap, rows, np.empty(0, np.int32))
    ends = np.cumsum(heap[:, 3])
    lists = np.empty(int(ends[-1]) if kept else 0, np.int32)
    heap[:, 2] = ends - heap[:, 3]
    heap[:, 3] = 0
    list_words(words, keys, heap, rows, lists)
    return keys, counts, heap, lists


def _tokens(special_tokens: list[str], spellings: Spellings, tokens: int) -> pa.LargeBinaryArray:
    """The bytes of each id: special tokens as they are written, then what was spelled."""
    specials = len(special_tokens)
    starts = spellings.starts[specials : tokens + 1]
    ordinary = spellings.data[starts[0] : starts[-1]]
    buffers = [None, pa.py_buffer((starts - starts[0]).tobytes()), pa.py_buffer(ordinary.tobytes())]
    return pa.concat_arrays(
        [
            pa.array([special.encode() for special in special_tokens], pa.large_binary()),
            pa.LargeBinaryArray.from_buffers(pa.large_binary(), tokens - specials, buffers),
        ]
    )
