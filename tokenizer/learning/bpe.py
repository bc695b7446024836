"""Learning BPE merges from counted pretokens alone: the merges, ids and ties of Hugging Face's `BpeTrainer`, exactly.

Time and memory follow the number of unique pretokens, not the corpus (128,000 ids from 872,000 pretokens take 1.5 s of
one core). Counts are int64, where the original's 32-bit pair counts go wrong past two billion. What the original does:
take the commonest pair of neighbouring symbols, ties to the lower (left id, right id); make it one symbol, everywhere,
left to right; repeat. What makes it fast here:

- A pair's count can only fall once its newer symbol exists. So pairs below a threshold are neither stored nor listed;
  when no pair reaches the threshold it is divided by four and all is recounted from the words as they are now.
- The heap holds counts as of when a pair was made; a pair found stale at the top goes back with its present count.
- During one merge, changes are summed by neighbouring symbol, so that hashing is per distinct neighbour, and the words
  that come next are fetched while one is at work.

Training from nothing is extending a vocabulary that has the bytes alone. Extending one that has merges applies these
first, in their order, and goes on from there; ids stay where they are. So learning can stop anywhere and go on
(`checkpoints.py`), and each vocabulary holds every smaller one of the same table as its prefix.

Should a merge spell a token that exists, it gets that token's id, as in the original, and everything is recounted,
since the token's old pairs may rise again. (Nothing trained here is known to get there: random searches over short
alphabets found no case. A vocabulary from elsewhere may have tokens that its merges do not reach.) From then on there
are no more checkpoints, since replaying is by rank. A special token's spelling is refused, so that text never yields
one. The original keeps the count of a pair after merging it; that residue could only show after such a case, and is not
imitated. Nor is its fault with a bounded token length, where a count below zero is read as a huge one (issue 2320 of
huggingface/tokenizers): that needs a subword prefix or suffix, which byte-level models do not have.

Memory: 4 bytes for each byte of unique pretokens, 20 for each pretoken, 64 to 180 for each pair at or above the
threshold, 4 to 10 for each (such pair, word it occurs in), 130 for each id, and the table of counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.counts import PretokenCounts
from corpusmill.tokenizer.learning.checkpoints import Checkpoints, identity, load, save
from corpusmill.tokenizer.learning.merges import DONE, DRY, SPELLED_AGAIN, merge_pairs, no_neighbours
from corpusmill.tokenizer.learning.no_merge import cut_apart
from corpusmill.tokenizer.learning.pairs import pairs_of
from corpusmill.tokenizer.learning.spellings import spelled_tokens, spellings_of, with_room
from corpusmill.tokenizer.learning.words import words_of
from corpusmill.tokenizer.vocabulary import Vocabulary, alphabet, byte_characters

NO_LIMIT = 1 << 62

PATIENCE = 1 << 22
"""Words looked at between two reports: a quarter of a second's work, or a second's where memory is slow."""


@dataclass(frozen=True)
class Progress:
    """How far learning is.

    Attributes:
        merges: learned so far, those of a checkpoint included.
        asked: how many would fill the vocabulary; text may run out of pairs before.
        count: how often the pair that comes next occurs, or somewhat less.
    """

    merges: int
    asked: int
    count: int


def train_merges(
    table: PretokenCounts,
    vocab_size: int,
    special_tokens: Sequence[str],
    min_frequency: int = 0,
    max_token_length: int | None = None,
    *,
    no_merge: Sequence[str] = (),
    checkpoints: Checkpoints | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Vocabulary:
    """Learns a byte-level BPE vocabulary from counted pretokens.

    Args:
        table: unique pretokens and their counts.
        vocab_size: ids in all: special tokens, bytes and merges. Fewer come out where the text runs out of pairs.
        special_tokens: spellings of the first ids. Text never yields them.
        min_frequency: a pair seen less often is not merged.
        max_token_length: as in the original: a token made of an earlier merge is shorter than this many bytes; of two
            bytes may be any.
        no_merge: classes of characters that are never part of a longer token: `no_merge.CLASSES`.
        checkpoints: where merges are kept while learning; what is there already is not learned again.
        progress: called every second or more often. What it raises ends learning.

    Raises:
        UserError: too small a vocabulary, a special token that ordinary text would spell, an unknown class, or a
            checkpoint of something else.
    """
    specials = len(special_tokens)
    _check_special(special_tokens)
    spelled = [*(special.encode() for special in special_tokens), *(bytes([byte]) for byte in alphabet())]
    if vocab_size < len(spelled):
        raise UserError(
            f"a vocabulary of {vocab_size:,} has no room for {specials} special tokens and the 256 bytes",
            hint=f"vocab_size must be at least {len(spelled)}",
        )
    start = Vocabulary(pa.array(spelled, pa.large_binary()), np.empty((0, 3), np.int32), specials)
    rules = _Rules(min_frequency, max_token_length, tuple(no_merge))
    return _learn(start, dict(enumerate(special_tokens)), table, vocab_size, rules, checkpoints, progress)


def extend_merges(
    vocabulary: Vocabulary,
    table: PretokenCounts,
    vocab_size: int,
    min_frequency: int = 0,
    max_token_length: int | None = None,
    *,
    added: Mapping[int, str] | None = None,
    no_merge: Sequence[str] = (),
    checkpoints: Checkpoints | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Vocabulary:
    """A larger vocabulary with the same ids: its merges are applied to the words first, then learning goes on.

    New ids come after all existing ones. Where special tokens stand behind the vocabulary, as in DeepSeek-V3's
    layout, new ids come behind these, and `tokens` is null at theirs. Training to one size and extending to another
    gives what training to the other at once gives, if nothing stands behind and the table is the same.

    Args:
        vocabulary: of any byte-level tokenizer with ordered merges.
        table: unique pretokens by its pattern, and their counts.
        vocab_size: ids in all, old ones and those of `added` included.
        added: the special tokens that are not among `vocabulary.tokens`, or null there: spelling by id.

    The others are as in `train_merges`; `no_merge` is for new tokens. Raises UserError as there.
    """
    special = dict(enumerate(token.decode() for token in vocabulary.tokens[: vocabulary.specials].to_pylist()))
    special |= added or {}
    ids = max([len(vocabulary), *(number + 1 for number in special)])
    if vocab_size < ids:
        raise UserError(
            f"a vocabulary of {ids:,} ids cannot be extended to {vocab_size:,}",
            hint=f"vocab_size must be at least {ids:,}",
        )
    rules = _Rules(min_frequency, max_token_length, tuple(no_merge))
    return _learn(vocabulary, special, table, vocab_size, rules, checkpoints, progress)


@dataclass(frozen=True)
class _Rules:
    min_frequency: int
    max_token_length: int | None
    no_merge: tuple[str, ...]


def _check_special(specials: Sequence[str]) -> None:
    for number, special in enumerate(specials):
        if not special or special in specials[:number]:
            raise UserError("special tokens must be distinct and not empty", where=repr(special))
        if len(special) == 1 and special in byte_characters():
            raise UserError("a special token may not be spelled like a byte", where=repr(special))


def _learn(
    start: Vocabulary,
    special: Mapping[int, str],
    table: PretokenCounts,
    vocab_size: int,
    rules: _Rules,
    checkpoints: Checkpoints | None,
    progress: Callable[[Progress], None] | None,
) -> Vocabulary:
    """The vocabulary with what can be learned up to `vocab_size` ids. `special`: the spelling of each special id."""
    first = max([len(start), *(number + 1 for number in special)])
    of = "" if checkpoints is None else identity(table, start, (first, *special.items(), rules))
    kept = np.empty((0, 3), np.int32) if checkpoints is None else load(checkpoints, of)[: vocab_size - first]
    table = cut_apart(table, rules.no_merge)
    words = words_of(table, start, kept)
    spellings = spellings_of(start.tokens, special, kept, vocab_size)
    tokens = first + len(kept)
    longest = NO_LIMIT if rules.max_token_length is None else rules.max_token_length
    least = max(rules.min_frequency, 1)
    # A guess at the count of the last merge; a wrong one costs a recount, or some memory.
    bytes_counted = int(pc.binary_length(table.pretokens).to_numpy() @ table.counts)
    threshold = max(least, bytes_counted // (128 * vocab_size))
    merges = [kept]
    learned, pairs, exact = len(kept), None, True
    while True:
        spellings = with_room(spellings, tokens)
        if pairs is None:
            pairs = pairs_of(words, np.diff(spellings.starts[: tokens + 1]), longest, threshold)
            near = no_neighbours(vocab_size)
        room = vocab_size - tokens + 1
        if checkpoints is not None and exact:
            room = min(room, checkpoints.every - learned % checkpoints.every)
        batch = np.empty((room, 3), np.int32)
        status, tokens, made, pairs = merge_pairs(
            words, pairs, spellings, near, batch, tokens, threshold, longest, PATIENCE
        )
        merges.append(batch[:made])
        learned += made
        if status == SPELLED_AGAIN:
            exact = False
            if (new := int(batch[made - 1, 2])) in special:
                where, hint = repr(special[new]), "spell it otherwise"
                raise UserError("ordinary text can contain this special token", where=where, hint=hint)
        elif checkpoints is not None and exact and made and learned % checkpoints.every == 0:
            merges = [np.concatenate(merges)]
            save(checkpoints, of, merges[0])
        if progress is not None:
            progress(Progress(learned, vocab_size - first, int(pairs.heap[0, 0]) if pairs.used[0] else 0))
        if status == DONE or (status == DRY and threshold == least):
            return _extended(start, spelled_tokens(spellings, first, tokens), first, np.concatenate(merges))
        if status == DRY:
            threshold = max(least, threshold // 4)
        if status in (DRY, SPELLED_AGAIN):
            pairs = None


def _extended(start: Vocabulary, tokens: pa.LargeBinaryArray, first: int, merges: np.ndarray) -> Vocabulary:
    """The vocabulary with more tokens, from id `first` on, and more merges."""
    gap = pa.nulls(first - len(start), pa.large_binary())
    return replace(
        start, tokens=pa.concat_arrays([start.tokens, gap, tokens]), merges=np.concatenate([start.merges, merges])
    )
