"""The form that tiktoken reads: each token's bytes and rank, one expression for pretokens, special tokens by id.

A rank is the id. tiktoken has no merges: it joins any two pieces whose bytes are a token (`splits.py` explains when
that gives the same ids, and a folder has these files only then), and cuts text by one expression. So DeepSeek-V3's
three in a row are here as one: the third cuts runs of Han and kana, too, so its alternatives come once within these
scripts and once without, and white space that ends where a number or such a run begins ends there.
"""

import base64
import binascii
import json
from typing import Any

from corpusmill.dataproc.errors import UserError, is_caught
from corpusmill.dataproc.storage import exists, join, read_bytes
from corpusmill.tokenizer.patterns import COMPLETE, DEEPSEEK_V3, Pattern
from corpusmill.tokenizer.special import SpecialTokens
from corpusmill.tokenizer.vocabulary import Vocabulary

RANKS, ENCODING = "tokenizer.tiktoken", "tiktoken.json"

_SCRIPTS = "一-龥\u3040-ゟ゠-ヿ"
"""The characters that DeepSeek-V3's second expression takes."""
_MATCHED = (
    r"\p{N}{1,3}"
    r"|[<S>&&[^\p{L}\p{P}\p{S}]]?[<S>&&[\p{L}\p{M}]]+"
    r"|[<S>&&[\p{P}\p{S}]]+"
    r"""|[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}<S>]?[[\p{L}\p{M}]&&[^<S>]]+"
    r"| ?[[\p{P}\p{S}]&&[^<S>]]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?![^\s\p{N}<S>])|\s+"
).replace("<S>", _SCRIPTS)
DEEPSEEK_V3_MERGED = f"{_MATCHED}|(?:(?!{_MATCHED})[{_SCRIPTS}])+|(?:(?!{_MATCHED})[^{_SCRIPTS}])+"
"""Compared with the three by fuzzed strings. What none of them matches is a piece, too: tiktoken would drop it."""


def one_expression(pattern: Pattern) -> str | None:
    """The pattern as one regular expression; None for a row of expressions that nobody has put into one."""
    if pattern.splits == DEEPSEEK_V3.splits:
        return DEEPSEEK_V3_MERGED
    if len(pattern.splits) != 1:
        return None
    regex = pattern.splits[0]
    return regex if regex in COMPLETE else f"{regex}|(?:(?!{regex})[\\s\\S])+"


def tiktoken_ranks(vocabulary: Vocabulary) -> bytes:
    """`base64(bytes) rank` lines of the ordinary tokens."""
    ordinary = enumerate(vocabulary.tokens[vocabulary.specials :].to_pylist(), vocabulary.specials)
    return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in ordinary if token is not None)


def tiktoken_json(special: SpecialTokens, pattern: Pattern) -> dict[str, Any]:
    """What `tiktoken.Encoding` asks for beside the ranks."""
    return {"pat_str": one_expression(pattern), "special_tokens": special.ids}


def tiktoken_encoding(folder: str) -> Any:
    """The `tiktoken.Encoding` of a tokenizer folder (path or URL).

    Raises UserError when the folder has no tokenizer that tiktoken can express, or the library is not there.
    """
    try:
        import tiktoken
    except ImportError as error:
        raise UserError("the library tiktoken is not installed", hint="pip install tiktoken") from error

    if not exists(join(folder, ENCODING)):
        hint = "not every tokenizer can be said in tiktoken's form"
        raise UserError(f"no {ENCODING} in this folder", where=folder, hint=hint)
    try:
        encoding = json.loads(read_bytes(join(folder, ENCODING)))
        expression, special = encoding["pat_str"], encoding["special_tokens"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("not a file made by corpusmill", where=join(folder, ENCODING)) from error
    if expression is None:
        raise UserError("its pattern consists of several expressions", where=folder, hint="tiktoken supports only one")
    ranks = read_ranks(read_bytes(join(folder, RANKS)), join(folder, RANKS))
    try:
        return tiktoken.Encoding(folder, pat_str=expression, mergeable_ranks=ranks, special_tokens=special)
    except BaseException as error:  # whatever the library objects to, in a panic if need be
        if not is_caught(error):
            raise
        raise UserError(f"tiktoken does not accept this tokenizer ({error})", where=folder) from error


def read_ranks(content: bytes, where: str) -> dict[bytes, int]:
    """Rank by token, of a file of `base64 rank` lines. Raises UserError with the line."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            spelled, rank = line.split()
            token = base64.b64decode(spelled, validate=True)
            ranks_before = len(ranks)
            ranks[token] = int(rank) if rank.isdigit() and len(rank) < 10 else -1
        except (ValueError, binascii.Error) as error:
            raise UserError("not a line with a base64 token and a rank", where=f"{where}, line {number}") from error
        if not token or ranks[token] < 0 or len(ranks) == ranks_before:
            raise UserError("an empty token, a repeated token, or no rank", where=f"{where}, line {number}")
    return ranks
