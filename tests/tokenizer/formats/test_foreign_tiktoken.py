"""A file of ranks gives the ids that tiktoken gives, or is refused with the reason."""

import base64
import random
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.formats.files import write_files
from corpusmill.tokenizer.formats.foreign_tiktoken import import_ranks
from corpusmill.tokenizer.formats.tiktoken_files import tiktoken_encoding
from corpusmill.tokenizer.patterns import PATTERNS, Pattern
from corpusmill.tokenizer.vocabulary import Vocabulary

tiktoken = pytest.importorskip("tiktoken")
SPECIAL = {"<|endoftext|>": 3001, "<|fim_prefix|>": 3005, "<|fim_middle|>": 3006, "<|fim_suffix|>": 3007}
BYTES = {bytes([byte]): byte for byte in range(256)}


def file_of(ranks: Mapping[bytes, int], folder: Path) -> str:
    path = folder / "ranks.tiktoken"
    path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items()))
    return str(path)


def ranks_of(vocabulary: Vocabulary) -> dict[bytes, int]:
    """The ordinary tokens, with a gap of 20 ids in the middle and some words that no merge makes."""
    spelled = vocabulary.tokens.to_pylist()[vocabulary.specials :]
    ranks = {token: number + 20 * (number > 1000) for number, token in enumerate(spelled[:2900])}
    for word in (b" asynchronous", b"=====", b"xyzzy", b" unittest"):
        ranks.setdefault(word, len(ranks) + 20)
    return ranks


@pytest.mark.parametrize("pattern", ["cl100k", "o200k", "gpt2", "deepseek-v3"])
def test_ids_are_tiktoken_s_on_real_text_and_survive_the_folder(
    pattern: str, trained: Vocabulary, source_texts: list[str], tmp_path: Path
) -> None:
    ranks = ranks_of(trained)
    files = import_ranks(file_of(ranks, tmp_path), pattern, SPECIAL)
    folder = str(tmp_path / "folder")
    write_files(folder, files.vocabulary, files.special, files.layout, files.pattern, files.training["training"])
    loaded, encoding = Tokenizer.load(folder), tiktoken_encoding(folder)
    assert {token: encoding.encode_single_token(token) for token in ranks} == ranks
    if len(PATTERNS[pattern].splits) == 1:
        original = tiktoken.Encoding(
            "original", pat_str=PATTERNS[pattern].splits[0], mergeable_ranks=ranks, special_tokens=SPECIAL
        )
    else:
        original = encoding
    library = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
    library.encode_special_tokens = True
    texts = [*source_texts[40:70], "xyzzy xyzzyxyzzy ===== a=====b", "<|endoftext|>"]
    for text, row in zip(texts, loaded.encode(pa.array(texts)).to_pylist(), strict=True):
        assert row == original.encode_ordinary(text)
        assert row == encoding.encode_ordinary(text)
        assert row == library.encode(text, add_special_tokens=False).ids
    for text, number in SPECIAL.items():
        assert loaded.special.ids[text] == number == library.token_to_id(text) == encoding.encode_single_token(text)
    assert loaded.special.roles == {"eos": 3001, "fim_begin": 3005, "fim_hole": 3007, "fim_end": 3006}
    assert loaded.vocab_size == 3008


@given(seed=st.integers(0, 1 << 30))
@settings(max_examples=120, deadline=None)
def test_any_set_of_tokens_is_read_as_tiktoken_reads_it(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    draw = random.Random(seed)
    words = {bytes(draw.choices(b"abc", k=draw.randint(2, 5))) for _ in range(draw.randint(1, 25))}
    in_order = sorted(words, key=len if draw.random() < 0.5 else lambda word: draw.random())
    ranks = BYTES | {word: number for number, word in enumerate(in_order, 256)}
    cut = Pattern("custom", (r"[abc]+|[^abc]",))
    files = import_ranks(file_of(ranks, tmp_path_factory.mktemp("ranks")), cut)
    ours = Tokenizer(files.vocabulary, files.special, files.pattern, files.fingerprint)
    peer = tiktoken.Encoding("peer", pat_str=r"[abc]+|[^abc]", mergeable_ranks=ranks, special_tokens={})
    texts = ["".join(draw.choices("abc", k=draw.randint(1, 40))) for _ in range(40)] + [word.decode() for word in words]
    assert ours.encode(pa.array(texts)).to_pylist() == [peer.encode_ordinary(text) for text in texts]


def test_an_expression_of_one_s_own_cuts(trained: Vocabulary, tmp_path: Path) -> None:
    ranks = ranks_of(trained)
    expression = r"\p{L}+|[0-9]| ?[^\p{L}0-9]+"
    files = import_ranks(file_of(ranks, tmp_path), Pattern("custom", (expression,)))
    ours = Tokenizer(files.vocabulary, files.special, files.pattern, files.fingerprint)
    peer = tiktoken.Encoding("peer", pat_str=expression, mergeable_ranks=ranks, special_tokens={})
    texts = ["import unittest  # 2024, naïve\n", "a  b\tc", "中文, 한국어 123"]
    assert ours.encode(pa.array(texts)).to_pylist() == [peer.encode_ordinary(text) for text in texts]
    assert files.special.roles == {} and files.special.vocab_size == max(ranks.values()) + 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no tokens"),
        (b"IQ== 0\nIg==\n", "line 2"),
        (b"IQ== 0\nI! 1\n", "line 2"),
        (b"IQ== 0\nIg== -1\n", "line 2"),
        (b"IQ== 0\nIQ== 1\n", "line 2"),
        (b"IQ== 0\nIg== 0\n", "two tokens have the same rank"),
        (b"IQ== 99999999\n", "must be below"),
        (b"IQ== 1\n", "no token for the byte 0x00, so it is not a byte-level one"),
        (base64.b64encode(b"a" * 5000) + b" 300\n", "a token has 5,000 bytes"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "ranks"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as raised:
        import_ranks(str(path), "cl100k")
    assert str(path) in str(raised.value)


def test_mistakes(tmp_path: Path) -> None:
    path = file_of(BYTES, tmp_path)
    for special, reason in (
        ({"<a>": 97}, "the id 97 of '<a>' is taken"),
        ({"<a>": 300, "<b>": 300}, "the id 300 of '<b>' is taken"),
        ({"<a>": -1}, "out of range"),
        ({"": 300}, "must not be empty"),
        ({"a": 300}, "like an ordinary byte"),
    ):
        with pytest.raises(UserError, match=reason):
            import_ranks(path, "cl100k", special)
    with pytest.raises(UserError, match="unknown pretoken pattern"):
        import_ranks(path, "gpt9")
    with pytest.raises(UserError, match="not a regular expression"):
        import_ranks(path, Pattern("custom", ("(",)))
    with pytest.raises(UserError, match="no such file"):
        import_ranks(str(tmp_path / "none"), "gpt2")
