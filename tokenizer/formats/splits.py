"""How tokens come apart into two, where all that is known is each token's bytes and rank, as in tiktoken's files.

tiktoken has no list of merges. Any two neighbours may merge whose bytes together are a token; of all such pairs the one
that makes the token of the lowest rank (which is its id) goes first, the leftmost of equals. A pretoken that is a token
as it stands is not merged at all.

Of all the pairs that spell a token, however, only one ever merges. While a stretch of text becomes that token, nothing
merges across its borders, so what happens inside it is what happens to the token's bytes by themselves; the last step
of that run is the one pair. A token whose run ends in several pieces comes about only as a whole pretoken. Hence the
merges are those pairs, in the order of the ids that they make, whatever that order is, and `Vocabulary.whole_first`
says the rest. `tokenizer.json` can state both, so ids are equal there, too.

Cost: every place at which a token can be cut in two is looked up, and each token is merged once by scanning: 0.35 s of
CPU for 128,000 tokens, 100 MB of memory while it lasts.
"""

import numpy as np

from corpusmill.dataproc.kernels.buffers import read_only
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.tokenizer.pretokens import read_text
from corpusmill.tokenizer.vocabulary import Vocabulary


def all_pairs(vocabulary: Vocabulary) -> np.ndarray:
    """Every way of making an ordinary token of two: int32 (P, 3), left, right and whole, by left and then right."""
    ids = _ordinary(vocabulary)
    triples: list[tuple[int, int, int]] = []
    for token, number in ids.items():
        for cut in range(1, len(token)):
            left = ids.get(token[:cut])
            if left is not None:
                right = ids.get(token[cut:])
                if right is not None:
                    triples.append((left, right, number))
    pairs = np.array(triples, np.int32).reshape(-1, 3)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _ordinary(vocabulary: Vocabulary) -> dict[bytes, int]:
    """Id by bytes of the tokens that text yields."""
    spelled = enumerate(vocabulary.tokens.to_pylist())
    return {token: number for number, token in spelled if token and number >= vocabulary.specials}


@kernel
def last_pairs(
    starts: np.ndarray,
    data: np.ndarray,
    byte_ids: np.ndarray,
    keys: np.ndarray,
    wholes: np.ndarray,
    parts: np.ndarray,
    makes: np.ndarray,
    pairs: np.ndarray,
) -> None:
    """Merges each token's bytes until two pieces are left, or nothing merges.

    Args:
        starts, data: the tokens, int64 (N + 1,) and uint8.
        byte_ids: int32 (256,).
        keys, wholes: int64 (P,), all pairs that spell a token as left * 2^32 + right, rising, and what they make.
        parts, makes: int64, room for the longest token: its pieces, and what each makes with the next, -1 if nothing.
        pairs: int64 (N, 2), set to the two pieces, or to -1 where they make nothing or are more.
    """
    for token in range(starts.shape[0] - 1):
        count = starts[token + 1] - starts[token]
        for place in range(count):
            parts[place] = byte_ids[data[starts[token] + place]]
        first, last = 0, count - 1
        while True:
            for place in range(first, min(last, count - 1)):
                key = (parts[place] << 32) | parts[place + 1]
                row = np.searchsorted(keys, key)
                makes[place] = wholes[row] if row < keys.shape[0] and keys[row] == key else -1
            best = -1
            for place in range(count - 1):
                if makes[place] >= 0 and (best < 0 or makes[place] < makes[best]):
                    best = place
            if best < 0 or count == 2:
                break
            parts[best] = makes[best]
            count -= 1
            for place in range(best + 1, count):
                parts[place] = parts[place + 1]
                makes[place - 1] = makes[place]
            first, last = max(best - 1, 0), best + 1
        reached = count == 2 and best == 0
        pairs[token, 0] = parts[0] if reached else -1
        pairs[token, 1] = parts[1] if reached else -1


def merges_by_rank(vocabulary: Vocabulary) -> np.ndarray:
    """The merges that tiktoken's rule comes to, int32 (M, 3), rising by what they make, at most one for each token.

    A token that has none is reached only by a pretoken that is the token as it stands.
    """
    pairs, ids = all_pairs(vocabulary).astype(np.int64), _ordinary(vocabulary)
    numbers = np.array([number for token, number in ids.items() if len(token) > 1], np.int64)
    byte_ids = np.array([ids.get(bytes([byte]), -1) for byte in range(256)], np.int32)
    starts, data = read_text(vocabulary.tokens.take(numbers))
    room = int(np.diff(starts).max(initial=0))
    parts = np.empty((len(numbers), 2), np.int64)
    last_pairs(
        *(starts, data, read_only(byte_ids)),
        *(read_only((pairs[:, 0] << 32) | pairs[:, 1]), read_only(pairs[:, 2])),
        *(np.empty(room, np.int64), np.empty(room, np.int64), parts),
    )
    reached = parts[:, 0] >= 0
    return np.column_stack([parts[reached], numbers[reached]]).astype(np.int32)


def same_by_rank(vocabulary: Vocabulary) -> bool:
    """Whether tiktoken's rule gives the same ids as the vocabulary's own, on any text.

    It does where its merges are the vocabulary's, and a pretoken that is a token would become that token anyway.
    """
    needed = merges_by_rank(vocabulary)
    long_tokens = sum(len(token) > 1 for token in _ordinary(vocabulary))
    return np.array_equal(needed, vocabulary.merges) and (vocabulary.whole_first or long_tokens == len(needed))
