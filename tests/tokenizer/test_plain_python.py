"""A tokenizer in plain Python: strings and lists, with the ids that Arrow arrays have, and text stays text."""

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.formats.files import write_tokenizer
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.special import layout_named

TEXTS = ["a lazy dog", "", "敏捷的狐狸 😀", "dog<|endoftext|>dog", "the quick brown fox, the lazy dog"]


@pytest.fixture(scope="module", params=["gpt2", "deepseek-v3"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    counts = count_pretokens(pa.array(TEXTS * 3, pa.large_string()))
    layout = request.param
    folder = str(tmp_path_factory.mktemp("tokenizer") / layout)
    write_tokenizer(folder, train_merges(counts, 290, list(layout_named(layout).first)), layout, "deepseek-v3", {})
    return Tokenizer.load(folder)


def test_a_text_gives_a_list_and_a_list_gives_the_text(tokenizer: Tokenizer) -> None:
    rows = tokenizer.encode(pa.array(TEXTS, pa.large_string())).to_pylist()
    assert tokenizer.encode_batch(TEXTS) == rows == tokenizer.encode_batch(iter(TEXTS))
    assert tokenizer.encode_batch([]) == []
    for text, row in zip(TEXTS, rows, strict=True):
        ids = tokenizer.encode(text)
        assert ids == row and all(type(number) is int for number in ids)
        assert tokenizer.decode(ids) == text == tokenizer.decode(tuple(ids))
        assert tokenizer.decode(np.array(ids, np.int64)) == text.encode()
    assert tokenizer.decode_batch(rows) == TEXTS


def test_the_spelling_of_a_special_token_gives_no_special_id(tokenizer: Tokenizer) -> None:
    for token in tokenizer.special.tokens[:20]:
        ids = tokenizer.encode(f"a{token.text}b")
        assert not set(ids) & set(tokenizer.special.ids.values())
        assert tokenizer.decode(ids) == f"a{token.text}b"


def test_a_cut_character_is_one_sign_in_text_and_stays_cut_in_bytes(tokenizer: Tokenizer) -> None:
    first = tokenizer.encode_pieces(pa.array(["😀".encode()[:2]], pa.large_binary()))[0].as_py()
    assert tokenizer.decode(first) == "\ufffd" and tokenizer.decode(np.array(first)) == "😀".encode()[:2]


def test_what_is_no_text_or_no_id_is_named_in_one_line(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="text 1: not text, but int"):
        tokenizer.encode_batch(["a", 1])  # type: ignore[list-item]
    with pytest.raises(UserError, match="lone surrogate"):
        tokenizer.encode("\ud800")
    with pytest.raises(UserError, match="one text was given"):
        tokenizer.encode_batch("text")
    with pytest.raises(UserError, match="token ids"):
        tokenizer.decode([-1])
