"""Characters that are never part of a longer token: cut as plain Python cuts them, learned as Hugging Face learns."""

import json
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split
from tokenizers.trainers import BpeTrainer

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.counts import PretokenCounts, count_pretokens, in_order
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.learning.no_merge import CLASSES, cut_apart
from corpusmill.tokenizer.patterns import DEEPSEEK_V3
from corpusmill.tokenizer.vocabulary import Vocabulary, byte_characters

CHARACTERS = "ab1 9²٣½Ⅷ१.,$€–、 \n\t\u3000é中ж𝟙😀"
PIECES = st.one_of(
    st.text(CHARACTERS, max_size=6).map(str.encode),
    st.sampled_from([b"\x80", b"\xd9", b"\xe2\x82", b"\xff", b"\xc0\xb1", b"\xf0\x9d\x9f", b"\xed\xa0\x80", b"\xc3"]),
)
PRETOKENS = st.lists(PIECES, min_size=1, max_size=6).map(b"".join).filter(bool)


def is_of(character: str, names: list[str]) -> bool:
    category = unicodedata.category(character)
    return (
        ("digits" in names and category[0] == "N")
        or ("punctuation" in names and category[0] in "PS")
        or ("whitespace" in names and character.isspace())
    )


def cut_plainly(words: dict[bytes, int], names: list[str]) -> dict[bytes, int]:
    pieces: dict[bytes, int] = {}
    for word, count in words.items():
        begin = True
        cut: list[str] = []
        for character in word.decode(errors="surrogateescape"):
            alone = is_of(character, names)
            if begin or alone:
                cut.append("")
            cut[-1] += character
            begin = alone
        for piece in cut:
            raw = piece.encode(errors="surrogateescape")
            pieces[raw] = pieces.get(raw, 0) + count
    return pieces


def table_of(words: dict[bytes, int]) -> PretokenCounts:
    return in_order(pa.array([*words], pa.large_binary()), np.array([*words.values()], np.int64))


@given(
    st.dictionaries(PRETOKENS, st.integers(1, 1 << 40), max_size=8), st.lists(st.sampled_from([*CLASSES]), unique=True)
)
def test_cuts_where_plain_python_cuts(words: dict[bytes, int], names: list[str]) -> None:
    cut = cut_apart(table_of(words), names)
    right = table_of(cut_plainly(words, names))
    assert cut.pretokens == right.pretokens
    assert cut.counts.tolist() == right.counts.tolist()


def test_a_table_that_is_part_of_a_larger_one_is_cut_alike() -> None:
    whole = table_of({b"x1": 5, b"a22b": 3, b"33": 1})
    part = cut_apart(PretokenCounts(whole.pretokens[1:], whole.counts[1:]), ["digits"])
    counts = dict(zip(part.pretokens.to_pylist(), part.counts.tolist(), strict=True))
    assert counts == {b"a": 3, b"b": 3, b"2": 6, b"3": 2}


@pytest.mark.parametrize("names", [["digits"], ["punctuation"], ["whitespace"], [*CLASSES]])
def test_no_token_holds_such_a_character_and_anything_else(source_texts: list[str], names: list[str]) -> None:
    table = count_pretokens(pa.array(source_texts[:60], pa.large_string()))

    def joined(vocabulary: Vocabulary) -> list[str]:
        texts = [token.decode(errors="replace") for token in vocabulary.tokens.to_pylist()]
        return [t for t in texts if len(t) > 1 and any(is_of(c, names) for c in t if c != "\ufffd")]

    assert joined(train_merges(table, 3000, [], no_merge=names)) == []
    assert len(joined(train_merges(table, 3000, []))) > 20


def test_digits_are_those_of_hugging_face(source_texts: list[str]) -> None:
    texts = source_texts[:60]
    peer = Tokenizer(BPE())
    splits = [Split(Regex(regex), "isolated") for regex in DEEPSEEK_V3.splits]
    peer.pre_tokenizer = Sequence(
        [*splits, Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = BpeTrainer(vocab_size=2000, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    peer.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(peer.to_str())["model"]["merges"]]
    table = count_pretokens(pa.array(texts, pa.large_string()))
    ours = train_merges(table, 2000, [], no_merge=["digits"])
    characters = byte_characters()
    spelled = ["".join(characters[byte] for byte in token) for token in ours.tokens.to_pylist()]
    assert [(spelled[left], spelled[right]) for left, right, _ in ours.merges.tolist()] == merges
    assert len(merges) == 1744


def test_an_unknown_class_is_a_mistake() -> None:
    with pytest.raises(UserError, match="known: digits, punctuation, whitespace"):
        cut_apart(table_of({b"a": 1}), ["numbers"])
