"""Unique pretokens as BPE training holds them, symbol by symbol, and brought to where known merges take them.

A word is its symbols in one int32 array: first how many there are, then their ids; merging shortens it in place. Words
are in the order of their counts, so that those of a common pair lie together.

Replaying merges is encoding: each word by itself, as `ranks.py` does it for any text. It takes about a microsecond a
word, whatever the number of merges, where learning them again would take hundreds of times as long for a large table;
so what a checkpoint has to keep is the merges alone, some megabytes at most, and never the words.
"""

from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.kernels.compiling import kernel
from corpusmill.tokenizer.counting.counts import PretokenCounts
from corpusmill.tokenizer.pretokens import read_text
from corpusmill.tokenizer.ranks import Merges, Room, encode_pretoken, merge_tables, room_for
from corpusmill.tokenizer.vocabulary import Vocabulary

MOST_WORDS = 1 << 31
"""What an int32 can number."""

MOST_BYTES = 1 << 62
"""Repeated ones as often as they occur: no count of a pair can be more."""


class Words(NamedTuple):
    """The unique pretokens, in their present state.

    Attributes:
        table: int64 (W, 2), where a word's symbols are, and how often the word occurs.
        symbols: int32, for each word its length and then its ids.
    """

    table: np.ndarray
    symbols: np.ndarray


@kernel
def encode_words(
    offsets: np.ndarray, data: np.ndarray, merges: Merges, room: Room, table: np.ndarray, symbols: np.ndarray
) -> None:
    """Writes the ids of each string, behind their number, and into column 0 of the table where that is.

    `room` is for the longest string.
    """
    ids = room.ids
    end = 0
    for word in range(table.shape[0]):
        count = encode_pretoken(data, offsets[word], offsets[word + 1] - offsets[word], merges, room)
        table[word, 0] = end
        symbols[end] = count
        end += 1
        for place in range(count):
            symbols[end + place] = ids[place]
        end += count


def words_of(table: PretokenCounts, vocabulary: Vocabulary, more: np.ndarray) -> Words:
    """The pretokens of two bytes and more, commonest first, as the vocabulary's merges and `more` encode them.

    `more` is int32 (M, 3), merges that follow the vocabulary's. With `whole_first`, pretokens that are tokens as they
    stand are left out: they have no pairs. Raises UserError for more pretokens, or more bytes, than can be counted.
    """
    wanted = pc.greater_equal(pc.binary_length(table.pretokens), 2)
    if vocabulary.whole_first:
        ordinary = vocabulary.tokens[vocabulary.specials :].drop_null()
        wanted = pc.and_(wanted, pc.invert(pc.is_in(table.pretokens, ordinary)))
    offsets, data = read_text(table.pretokens.filter(wanted))
    counts = table.counts[wanted.to_numpy(zero_copy_only=False)]
    if len(counts) >= MOST_WORDS or float(np.diff(offsets) @ counts.astype(np.float64)) >= MOST_BYTES:
        what = f"{len(counts):,} unique pretokens, or their counts, are more than can be learned from"
        raise UserError(what, hint="drop the rarest with min_count")
    packed = np.empty((len(counts), 2), np.int64)
    packed[:, 1] = counts
    symbols = np.empty(int(offsets[-1] - offsets[0]) + len(counts), np.int32)
    merges = merge_tables(np.concatenate([vocabulary.merges, more]), vocabulary.byte_ids())
    room = room_for(int(np.diff(offsets).max(initial=0)))
    encode_words(offsets, data, merges, room, packed, symbols)
    return Words(packed, symbols)
