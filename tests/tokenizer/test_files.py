"""A tokenizer folder is read by others, reads back equal, and is the same bytes each time."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import xxhash

from dataproc.errors import UserError
from tokenizer.files import read_tokenizer, write_tokenizer
from tokenizer.patterns import DEEPSEEK_V3
from tokenizer.vocabulary import Vocabulary


def test_round_trip(folder: str, trained: Vocabulary) -> None:
    files = read_tokenizer(folder)
    assert files.vocabulary.tokens.equals(trained.tokens)
    assert np.array_equal(files.vocabulary.merges, trained.merges)
    assert files.vocabulary.specials == 3
    assert files.pattern == "deepseek-v3"
    assert (files.special.vocab_size, files.special.model_rows) == (3815, 3840)
    assert files.training["training"] == {"seed": 1}
    assert files.fingerprint == xxhash.xxh3_128_hexdigest((Path(folder) / "tokenizer.json").read_bytes())


def test_same_vocabulary_same_bytes(folder: str, trained: Vocabulary, tmp_path: Path) -> None:
    write_tokenizer(str(tmp_path), trained, "deepseek-v3", "deepseek-v3", {"seed": 1})
    for path in sorted(Path(folder).iterdir()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("tokenizer.json", "tokenizer.tiktoken", "tokenizer_config.json", "training.json")
    ]


def test_hugging_face_reads_the_same_tokenizer(folder: str) -> None:
    peer = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
    special = read_tokenizer(folder).special
    assert peer.get_vocab_size(with_added_tokens=True) == special.vocab_size
    for token in special.tokens:
        assert peer.token_to_id(token.text) == token.id
        assert peer.id_to_token(token.id) == token.text
    assert {number for number, token in peer.get_added_tokens_decoder().items() if token.special} == {
        token.id for token in special.tokens if token.special
    }
    text = "Übung: 12345 中文。\n\n<｜User｜>hi"
    ids = peer.encode(text, add_special_tokens=False).ids
    assert special.ids["<｜User｜>"] in ids
    assert peer.decode(ids, skip_special_tokens=False) == text


def test_the_official_patterns_stand_in_the_file(folder: str) -> None:
    section = json.loads((Path(folder) / "tokenizer.json").read_bytes())["pre_tokenizer"]["pretokenizers"]
    assert tuple(split["pattern"]["Regex"] for split in section[:3]) == DEEPSEEK_V3.splits
    assert "\\\\r" not in json.dumps(section)


def test_tiktoken_lines_are_ids_and_bytes(folder: str, trained: Vocabulary) -> None:
    lines = (Path(folder) / "tokenizer.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
    assert ranks == {token: number for number, token in enumerate(trained.tokens.to_pylist()) if number >= 3}


def test_config_names_what_transformers_asks_for(folder: str) -> None:
    config = json.loads((Path(folder) / "tokenizer_config.json").read_bytes())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["eos_token"] == "<｜end▁of▁sentence｜>"
    assert config["added_tokens_decoder"]["0"]["content"] == "<｜begin▁of▁sentence｜>"
    assert len(config["added_tokens_decoder"]) == 818


def test_mistakes(folder: str, trained: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        read_tokenizer(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="first special tokens"):
        write_tokenizer(str(tmp_path), Vocabulary(trained.tokens, trained.merges, 0), "compact", "deepseek-v3", {})
    changed = tmp_path / "changed"
    write_tokenizer(str(changed), trained, "compact", "deepseek-v3", {})
    content = (changed / "tokenizer.json").read_bytes()
    (changed / "tokenizer.json").write_bytes(content.replace(b'"dropout":null', b'"dropout":0.5'))
    with pytest.raises(UserError, match=r"not the file that training\.json speaks of"):
        read_tokenizer(str(changed))
    (changed / "training.json").write_text("[]")
    with pytest.raises(UserError, match="not a tokenizer file of ours"):
        read_tokenizer(str(changed))
    (changed / "training.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="unknown format"):
        read_tokenizer(str(changed))
