"""What a set says of itself, or its reader knows: what the checks hold the tokens against.

For shards of ours all of it stands in headers and the manifest. Of a foreign set little is known, and checks that need
more than that say nothing: `None` and empty values mean "nobody says".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from corpusmill.dataproc.sequences.shards import SpecialIds

UNKNOWN_TOKENS = (b"<unk>", b"[UNK]", b"<|unk|>", b"<|unknown|>", b"<UNK>")
LARGEST_VOCABULARY = 1 << 18
"""Ids that are counted where nobody says how many there are."""

RoundTrip = Callable[[pa.LargeListArray], np.ndarray]
"""From lists of ids (N,), each a stretch of text, to int64 (N,): how many of its last ids encoding its text gives
again; -1 where it gives exactly the same."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of a set.

    Attributes:
        ours: token shards, whose segments say where every document lies.
        encoded: its ids were made here, from text, so that all of them must be the tokenizer's own.
        whole: the blocks are all of the set; False for a sample of it.
        vocab_size: ids are below this; `LARGEST_VOCABULARY` where nobody says, and `names_vocabulary` is False.
        special: ids by role.
        reserved: int64, ids of special tokens without such a role.
        unknown: int64, ids that are spelled like the unknown token.
        spellings: large_binary (vocab_size,), the bytes of each id.
        bos, eos: whether documents begin and end with the token.
        loose_ends: documents may break off anywhere, as in a flat file of sequences.
        conversations: documents are conversations: answers end with the end token, and roles are tokens inside.
        policy: how sequences were filled, "" if unknown.
        fim_rate: the largest share of documents to be rearranged; `fim_is_one_rate` if it is that of all.
        asked: shares that were asked for, by level (source, language, kind), by name.
        recorded: tokens by level and name, as the manifest counts them.
        round_trip: encodes text again.
    """

    ours: bool = False
    encoded: bool = False
    whole: bool = True
    vocab_size: int = LARGEST_VOCABULARY
    names_vocabulary: bool = False
    special: SpecialIds | None = None
    reserved: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    unknown: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    spellings: pa.LargeBinaryArray | None = None
    bos: bool | None = None
    eos: bool | None = None
    loose_ends: bool = False
    conversations: bool = False
    policy: str = ""
    fim_rate: float | None = None
    fim_is_one_rate: bool = False
    asked: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    recorded: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    round_trip: RoundTrip | None = None

    @property
    def markers(self) -> tuple[int, ...]:
        """Ids of the three markers of fill-in-the-middle; none where the tokenizer lacks one."""
        special = self.special
        if special is None or None in (markers := (special.fim_begin, special.fim_hole, special.fim_end)):
            return ()
        return tuple(marker for marker in markers if marker is not None)
