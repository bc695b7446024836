"""Runs of blanks that a tokenizer from elsewhere has as added tokens: GPT-NeoX and OLMo, 2 to 24 spaces in a row.

The original cuts them out of any text, the longest first, before its pattern cuts the rest. Other added tokens that it
cuts out are names of something, and are text here; blanks name nothing and are in most of what is code. So the pattern
begins with an expression of theirs, and each of them, as a piece, has its own id.
"""

import re
from collections.abc import Iterable

import pyarrow as pa

from corpusmill.tokenizer.patterns import Pattern
from corpusmill.tokenizer.special import SpecialToken, SpecialTokens
from corpusmill.tokenizer.vocabulary import Vocabulary
from corpusmill.tokenizer.warm import WarmTable, encodable_ids, table_of


def are_blanks(token: SpecialToken) -> bool:
    """Whether an added token is a run of white space that text may hold."""
    return not token.special and token.text.isspace()


def blanks_expression(texts: Iterable[str]) -> str:
    """The regular expression that cuts runs of blanks out, the longest first."""
    return "|".join(re.escape(text) for text in sorted(texts, key=lambda text: (-len(text), text)))


def blank_ids(special: SpecialTokens, pattern: Pattern) -> dict[str, int]:
    """Id by spelling of the runs of blanks that the pattern cuts out; none, if it does not begin with them."""
    ids = {token.text: token.id for token in special.tokens if are_blanks(token)}
    return ids if ids and pattern.splits[:1] == (blanks_expression(ids),) else {}


def table_with_blanks(vocabulary: Vocabulary, blanks: dict[str, int]) -> WarmTable:
    """The table of pretokens that are looked up whole: runs of blanks, and all tokens where the vocabulary says so."""
    whole = {text.encode(): number for text, number in blanks.items()}
    if vocabulary.whole_first:
        rows = encodable_ids(vocabulary).tolist()
        spelled = vocabulary.tokens.take(pa.array(rows)).to_pylist()
        whole = dict(zip(spelled, rows, strict=True)) | whole
    ids = pa.array([[number] for number in whole.values()], pa.large_list(pa.int32()))
    return table_of(pa.array(list(whole), pa.large_binary()), ids)
