"""A tokenizer cut to size is the one that training for that size makes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tokenizers

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.formats.files import read_tokenizer, write_files, write_tokenizer
from corpusmill.tokenizer.formats.shrinking import shrink_tokenizer
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.special import SpecialLayout, SpecialToken, SpecialTokens, layout_named
from corpusmill.tokenizer.vocabulary import Vocabulary


@pytest.mark.parametrize("name", ["deepseek-v3", "compact"])
def test_it_is_what_training_for_that_size_makes(
    name: str, trained: Vocabulary, source_texts: list[str], tmp_path: Path
) -> None:
    layout = layout_named(name)
    write_tokenizer(str(tmp_path / "large"), trained, layout, "deepseek-v3", {"seed": 1})
    files = shrink_tokenizer(str(tmp_path / "large"), 1234, str(tmp_path / "small"))
    counts = count_pretokens(pa.array(source_texts, pa.large_string()))
    shorter = train_merges(counts, layout.model_size(1234), list(layout.first))
    write_tokenizer(str(tmp_path / "trained"), shorter, layout, "deepseek-v3", {})
    for file in ("tokenizer.json", "tokenizer_config.json", "tokenizer.tiktoken", "tiktoken.json", "vocabulary.arrow"):
        assert (tmp_path / "small" / file).read_bytes() == (tmp_path / "trained" / file).read_bytes(), file
    large = read_tokenizer(str(tmp_path / "large"))
    training = {"shrunk": {"from": large.fingerprint, "vocab_size": 1234}, "of": {"seed": 1}}
    assert read_tokenizer(str(tmp_path / "small")).training["training"] == training == files.training["training"]
    assert files.special == layout.tokens(layout.model_size(1234))


def test_special_tokens_among_the_first_ids_stay_and_the_others_move_up(tmp_path: Path) -> None:
    a, b, c = b"abc"
    tokens = [*(bytes([byte]) for byte in range(256)), None, b"ab", None, b"abc", b"abca"]
    merges = np.array([(a, b, 257), (257, c, 259), (259, a, 260)], np.int32)
    vocabulary = Vocabulary(pa.array(tokens, pa.large_binary()), merges, 0)
    special = tuple(SpecialToken(number, f"<{number}>", number != 258) for number in (256, 258, 261, 300))
    layout = SpecialLayout("small", last=tuple(token.text for token in special), counted=False, rows_multiple=8)
    roles = {"eos": 300, "pad": 256}
    write_files(str(tmp_path / "large"), vocabulary, SpecialTokens(special, roles, 301, 304), layout, "gpt2", {})
    files = shrink_tokenizer(str(tmp_path / "large"), 258, str(tmp_path / "small"))
    assert files.special.ids == {"<256>": 256, "<258>": 258, "<261>": 259, "<300>": 260}
    assert (files.special.roles, files.special.vocab_size, files.special.model_rows) == (
        {"eos": 260, "pad": 256},
        261,
        264,
    )
    assert [token.special for token in files.special.tokens] == [True, False, True, True]
    assert files.vocabulary.merges.tolist() == [[a, b, 257]]
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "small" / "tokenizer.json"))
    assert peer.encode("abca<300><258>").ids == [257, c, a, 260, 258]


def test_mistakes(folder: str, tmp_path: Path) -> None:
    for size, message in ((3001, "no prefix of 3,001"), (258, "too small for the layout"), (0, "too small")):
        with pytest.raises(UserError, match=message):
            shrink_tokenizer(folder, size, str(tmp_path / "small"))
    with pytest.raises(UserError, match="the output is the tokenizer itself"):
        shrink_tokenizer(folder, 2000, folder + "/")
    assert not (tmp_path / "small").exists()
