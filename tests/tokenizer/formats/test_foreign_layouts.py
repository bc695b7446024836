"""Layouts of well-known tokenizers from elsewhere, made in small: ids are the library's on the same file."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers, trainers

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.formats.files import write_files
from corpusmill.tokenizer.formats.foreign import import_json
from corpusmill.tokenizer.formats.foreign_tiktoken import import_ranks

TEXTS = [
    "def f(self):\n    return self.x  # naïve\n" * 3,
    "class A:\n        pass\n\n\n   x",
    "les élèves, café",
    "中文 12",
]
BLANKS = [" " * size for size in range(24, 1, -1)]
PIECES = st.sampled_from(
    [*BLANKS[::5], " ", "  ", "\n", "self", " return", "e\u0301", "é", "가", "\u1100\u1161", "12", "\t"]
)
ANY = st.lists(PIECES | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=10).map("".join)


def made(folder: Path, *, prefix_space: bool = False, normalizer: Any = None, cut: tuple[str, ...] = ()) -> str:
    """A small file of byte-level BPE by the library's own trainer, with added tokens that are not special."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    if normalizer:
        made.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False))
    made.add_special_tokens(["<|endoftext|>"])
    made.add_tokens([tokenizers.AddedToken(text, normalized=True) for text in cut])
    folder.mkdir(exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return str(folder / "tokenizer.json")


def both(path: str, folder: Path) -> tuple[Tokenizer, tokenizers.Tokenizer, tokenizers.Tokenizer]:
    """(ours, read back from its folder; the library on the file; the library on our folder's file)"""
    files = import_json(path)
    write_files(str(folder), files.vocabulary, files.special, files.layout, files.pattern, files.training["training"])
    theirs, again = (tokenizers.Tokenizer.from_file(file) for file in (path, str(folder / "tokenizer.json")))
    theirs.encode_special_tokens = again.encode_special_tokens = True
    return Tokenizer.load(str(folder)), theirs, again


@pytest.mark.parametrize(
    "layout",
    [
        {"cut": tuple(BLANKS), "normalizer": normalizers.NFC()},  # GPT-NeoX, OLMo
        {"normalizer": normalizers.Sequence([normalizers.NFC()])},  # Qwen
        {"prefix_space": True},  # RoBERTa
        {"cut": ("\n\n", "\t\t", "   ")},
        {"prefix_space": True, "normalizer": normalizers.NFC()},
    ],
    ids=["neox", "nfc", "prefix", "other-blanks", "both"],
)
def test_ids_are_the_library_s_on_any_text(layout: dict[str, Any], tmp_path: Path) -> None:
    ours, theirs, again = both(made(tmp_path / "original", **layout), tmp_path / "folder")

    @given(st.lists(ANY, max_size=6))
    @settings(max_examples=40, deadline=None, derandomize=True)
    def equal(texts: list[str]) -> None:
        rows = ours.encode(pa.array(texts, pa.large_string())).to_pylist()
        assert rows == [theirs.encode(text, add_special_tokens=False).ids for text in texts]
        assert rows == [again.encode(text, add_special_tokens=False).ids for text in texts]

    equal()
    equal_texts = [*TEXTS, " " * 100 + "x" + " " * 25, "", " "]
    assert ours.encode_batch(equal_texts) == [theirs.encode(text, add_special_tokens=False).ids for text in equal_texts]


def test_an_added_token_of_ordinary_text_is_a_control_token_and_named(tmp_path: Path) -> None:
    path = made(tmp_path / "original", cut=("｜DSML｜", "<dsml:", "return", "  "))
    files = import_json(path)
    theirs = tokenizers.Tokenizer.from_file(path)
    assert files.special.ids["｜DSML｜"] == theirs.token_to_id("｜DSML｜")
    assert files.training["training"]["imported"]["cut_out"] == ["｜DSML｜", "<dsml:", "return"]
    ours = Tokenizer(files.vocabulary, files.special, files.pattern, files.fingerprint)
    assert files.special.ids["｜DSML｜"] not in ours.encode("a ｜DSML｜ b")
    assert ours.encode("a <dsm  b") == theirs.encode("a <dsm  b").ids


def test_a_space_in_front_of_what_is_between_blanks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="add_prefix_space"):
        import_json(made(tmp_path / "original", cut=("  ",), prefix_space=True))


def test_bytes_that_are_no_utf8_are_replaced_where_text_is_normalised(tmp_path: Path) -> None:
    ours, theirs, _ = both(made(tmp_path / "original", normalizer=normalizers.NFC()), tmp_path / "folder")
    row = ours.encode(pa.array([b"caf\xff e\xcc\x81"], pa.large_binary()))[0].as_py()
    assert row == theirs.encode("caf\ufffd é").ids


def test_ranks_without_special_tokens_make_a_folder_that_is_read(tmp_path: Path) -> None:
    import base64

    ranks = tmp_path / "some.tiktoken"
    ranks.write_bytes(b"".join(b"%s %d\n" % (base64.b64encode(bytes([byte])), byte) for byte in range(256)))
    files = import_ranks(str(ranks), "qwen2")
    folder = str(tmp_path / "folder")
    write_files(folder, files.vocabulary, files.special, files.layout, files.pattern, files.training["training"])
    assert Tokenizer.load(folder).encode("ab") == [97, 98] and not Tokenizer.load(folder).special.tokens
    assert json.loads((tmp_path / "folder" / "training.json").read_bytes())["special_tokens"]["roles"] == {}
