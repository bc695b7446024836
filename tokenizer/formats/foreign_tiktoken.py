"""Byte-level tokenizers from elsewhere: a file of tiktoken's ranks, read as one of ours.

Such a file (`tokenizer.tiktoken`, Llama 3's `tokenizer.model`) holds the bytes of each token and nothing else: the
pattern and the special tokens stand in the code of whoever published it, so they are given here. The merges are those
that tiktoken's rule makes (`splits.py`), and a pretoken that is a token as it stands is not merged.

The file is untrusted, as `foreign.py` says.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import xxhash

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.formats.files import TokenizerFiles
from corpusmill.tokenizer.formats.foreign import MOST_IDS, imported, read_bounded, special_tokens
from corpusmill.tokenizer.formats.roles import chosen_roles
from corpusmill.tokenizer.formats.special_records import check_spellings
from corpusmill.tokenizer.formats.splits import merges_by_rank
from corpusmill.tokenizer.formats.tiktoken_files import read_ranks
from corpusmill.tokenizer.patterns import Pattern, check_regex, pattern_named
from corpusmill.tokenizer.special import SpecialToken
from corpusmill.tokenizer.vocabulary import Vocabulary

LONGEST_TOKEN = 1024
"""Bytes of the longest token that is taken; each is tried at every place where it may come apart."""


def _tokens(ranks: Mapping[bytes, int], where: str) -> pa.LargeBinaryArray:
    """The bytes of each id, null for an id without a token."""
    if not ranks:
        raise UserError("no tokens", where=where)
    if (largest := max(ranks.values())) >= MOST_IDS:
        raise UserError(f"rank {largest:,} is too large: ranks must be below {MOST_IDS:,}", where=where)
    if len(set(ranks.values())) < len(ranks):
        raise UserError("two tokens have the same rank", where=where)
    if (longest := max(map(len, ranks))) > LONGEST_TOKEN:
        raise UserError(f"a token has {longest:,} bytes; at most {LONGEST_TOKEN:,} are supported", where=where)
    spelled: list[bytes | None] = [None] * (largest + 1)
    for token, number in ranks.items():
        spelled[number] = token
    return pa.array(spelled, pa.large_binary())


def import_ranks(
    path: str, pattern: str | Pattern, special: Mapping[str, int] | None = None, roles: Mapping[str, str] | None = None
) -> TokenizerFiles:
    """Reads a file of tiktoken's ranks.

    Args:
        path: the file, path or URL.
        pattern: how text is cut: a preset's name, or a `Pattern` of any expression.
        special: id by spelling of the special tokens.
        roles: spelling by role, for roles that cannot be guessed or should differ.

    Returns:
        The tokenizer; `fingerprint` is the file's digest, and `training` says where it came from.

    Raises:
        UserError: a damaged file, a byte without a token, or ids that are taken.
    """
    cut = pattern_named(pattern)
    for regex in cut.splits:
        check_regex(regex, "the pattern")
    content = read_bounded(path)
    vocabulary = Vocabulary(_tokens(read_ranks(content, path), path), np.empty((0, 3), np.int32), 0, whole_first=True)
    try:
        vocabulary.byte_ids()
    except UserError as error:
        raise UserError(f"{error.what}, so it is not a byte-level one", where=path) from error
    merges = merges_by_rank(vocabulary)
    tokens = [SpecialToken(number, text, special=True) for text, number in (special or {}).items()]
    check_spellings((token.text for token in tokens), "the special tokens")
    taken: dict[int, str] = {}
    for token in tokens:
        ordinary = token.id < len(vocabulary) and vocabulary.tokens[token.id].is_valid
        if not 0 <= token.id < MOST_IDS or ordinary or token.id in taken:
            raise UserError(f"the id {token.id} of {token.text!r} is taken or out of range", where="the special tokens")
        taken[token.id] = token.text
    ids = chosen_roles({token.text: token.id for token in tokens}, {}, roles or {}, path)
    origin = {"file": path, "format": "tiktoken", "digest": xxhash.xxh3_128_hexdigest(content)}
    around = special_tokens(tokens, ids, len(vocabulary))
    return imported(replace(vocabulary, merges=merges), around, cut, origin)
