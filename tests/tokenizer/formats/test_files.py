"""A tokenizer folder is read by others, reads back equal, and is the same bytes each time."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.formats.files import FILE_NAMES, TokenizerFiles, read_tokenizer, write_files, write_tokenizer
from corpusmill.tokenizer.patterns import DEEPSEEK_V3, GPT2, Pattern
from corpusmill.tokenizer.special import LAYOUTS, SpecialLayout, SpecialToken, SpecialTokens
from corpusmill.tokenizer.vocabulary import Vocabulary

TEXT = "Übung: 12345 中文ア・。\n\n<｜User｜>hi  there's\r\n\tx\u0301 😀"


def same(left: TokenizerFiles, right: TokenizerFiles) -> bool:
    """Whether two folders say the same."""
    a, b = left.vocabulary, right.vocabulary
    alike = a.tokens.equals(b.tokens) and np.array_equal(a.merges, b.merges)
    rest = [(files.special, files.pattern, files.fingerprint, files.layout, files.training) for files in (left, right)]
    return alike and (a.specials, a.whole_first) == (b.specials, b.whole_first) and rest[0] == rest[1]


def test_round_trip(folder: str, trained: Vocabulary) -> None:
    files = read_tokenizer(folder)
    assert files.vocabulary.tokens.equals(trained.tokens)
    assert np.array_equal(files.vocabulary.merges, trained.merges)
    assert files.vocabulary.specials == 3
    assert files.pattern == DEEPSEEK_V3
    assert (files.special.vocab_size, files.special.model_rows) == (3815, 3840)
    assert files.layout == LAYOUTS["deepseek-v3"]
    assert files.training["training"] == {"seed": 1}
    assert files.fingerprint == xxhash.xxh3_128_hexdigest((Path(folder) / "tokenizer.json").read_bytes())


def test_same_vocabulary_same_bytes(folder: str, trained: Vocabulary, tmp_path: Path) -> None:
    write_tokenizer(str(tmp_path), trained, "deepseek-v3", "deepseek-v3", {"seed": 1})
    for path in sorted(Path(folder).iterdir()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILE_NAMES)


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
    ids = peer.encode(TEXT, add_special_tokens=False).ids
    assert special.ids["<｜User｜>"] in ids
    assert peer.decode(ids, skip_special_tokens=False) == TEXT


@pytest.mark.parametrize("layout", ["deepseek-v3", "gpt2", "llama3", "qwen2.5"])
def test_transformers_reads_the_same_tokenizer_without_a_network(
    trained: Vocabulary, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    chosen = LAYOUTS[layout]
    bare = Vocabulary(trained.tokens[3:], trained.merges - 3, 0) if not chosen.first else trained
    files = write_tokenizer(str(tmp_path), bare, layout, "deepseek-v3", {})
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    assert theirs.is_fast and len(theirs) == files.special.vocab_size
    assert {role: getattr(theirs, f"{role}_token_id") for role in ("bos", "eos", "pad")} == {
        role: files.special.roles[role] for role in ("bos", "eos", "pad")
    }
    assert {text: theirs.convert_tokens_to_ids(text) for text in files.special.ids} == files.special.ids
    ids = theirs(TEXT)["input_ids"]
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert ids == peer.encode(TEXT).ids
    assert theirs.decode(ids) == TEXT


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


def test_an_own_layout_reads_back_without_the_file_that_it_came_from(trained: Vocabulary, tmp_path: Path) -> None:
    first = tuple(spelling.decode() for spelling in trained.tokens[:3].to_pylist())
    layout = SpecialLayout("mine", first, ("<x>", "<y>"), {"eos": "<y>"}, frozenset({"<x>"}), False, 10)
    written = write_tokenizer(str(tmp_path), trained, layout, "deepseek-v3", {})
    read = read_tokenizer(str(tmp_path))
    assert same(read, written) and read.layout == layout
    assert (read.special.roles, read.special.model_rows) == ({"eos": 3001}, 3010)
    assert [token.text for token in read.special.tokens if not token.special] == ["<x>"]
    config = json.loads((tmp_path / "tokenizer_config.json").read_bytes())
    assert config["eos_token"] == "<y>" and "pad_token" not in config and "bos_token" not in config


def small(tokens: list[bytes | None], merges: list[tuple[int, int, int]], **rules: Any) -> Vocabulary:
    """The 256 bytes by value, then these."""
    every = [*(bytes([byte]) for byte in range(256)), *tokens]
    return Vocabulary(pa.array(every, pa.large_binary()), np.array(merges, np.int32).reshape(-1, 3), 0, **rules)


A, B, C = b"abc"
SMALL: dict[str, tuple[Vocabulary, list[int]]] = {
    "behind": (small([b"ab"], [(A, B, 256)]), [257, 258]),
    "among": (small([None, b"ab", None, b"abc"], [(A, B, 257), (257, C, 259)]), [256, 258]),
    "among and behind": (small([None, b"ab"], [(A, B, 257)]), [256, 258]),
    "with a gap behind": (small([b"ab"], [(A, B, 256)]), [257, 300]),
    "with a gap among": (small([None, None, b"ab"], [(A, B, 258)]), [256, 259]),
    "with a wide gap among": (small([*[None] * 999, b"ab"], [(A, B, 1255)]), [300, 2000]),
    "whole first": (small([b"ab", b"zzz"], [(A, B, 256)], whole_first=True), [258, 259]),
}


def write_small(folder: Path, vocabulary: Vocabulary, ids: list[int], pattern: str | Pattern) -> TokenizerFiles:
    tokens = (SpecialToken(ids[0], "<|end|>", True), SpecialToken(ids[1], "<|turn|>", False))
    special = SpecialTokens(tokens, {"eos": ids[0]}, max(len(vocabulary), *(number + 1 for number in ids)), 320)
    layout = SpecialLayout("small", last=("<|end|>", "<|turn|>"), roles={"eos": "<|end|>"})
    return write_files(str(folder), vocabulary, special, layout, pattern, {})


@pytest.mark.parametrize("form", SMALL)
@pytest.mark.parametrize("arrow", [True, False])
def test_special_tokens_stand_anywhere(form: str, arrow: bool, tmp_path: Path) -> None:
    vocabulary, ids = SMALL[form]
    written = write_small(tmp_path, vocabulary, ids, "gpt2")
    if not arrow:
        (tmp_path / "vocabulary.arrow").unlink()
    read = read_tokenizer(str(tmp_path))
    assert read.vocabulary.tokens.equals(vocabulary.tokens)
    assert np.array_equal(read.vocabulary.merges, vocabulary.merges)
    assert (read.vocabulary.whole_first, read.vocabulary.specials) == (vocabulary.whole_first, 0)
    assert (read.special, read.pattern) == (written.special, GPT2)
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert {text: peer.token_to_id(text) for text in written.special.ids} == written.special.ids
    spelled = {number: token for number, token in enumerate(vocabulary.tokens.to_pylist()) if token is not None}
    ids_of_text = peer.encode("ab abc zzz<|turn|><|end|>", add_special_tokens=False).ids
    assert set(written.special.ids.values()) < set(ids_of_text)
    assert b"".join(spelled.get(index, b"") for index in ids_of_text) == b"ab abc zzz"


def test_a_custom_pattern_comes_back(tmp_path: Path) -> None:
    pattern = Pattern("custom", (r"\d", r"\s+|\S+"))
    vocabulary, ids = SMALL["behind"]
    write_small(tmp_path, vocabulary, ids, pattern)
    assert read_tokenizer(str(tmp_path)).pattern == pattern


def test_no_tiktoken_files_where_its_ids_would_be_others(tmp_path: Path) -> None:
    for rules, there in (({"whole_first": True}, True), ({}, False), ({"whole_first": True}, True)):
        written = write_small(tmp_path, small([b"ab", b"zzz"], [(A, B, 256)], **rules), [258, 259], "gpt2")
        assert written.training["tiktoken"] is there
        assert [(tmp_path / name).exists() for name in ("tokenizer.tiktoken", "tiktoken.json")] == [there, there]


def test_the_copy_for_loading_is_used_only_when_it_is_the_right_one(folder: str, tmp_path: Path) -> None:
    files = read_tokenizer(folder)
    write_tokenizer(str(tmp_path), files.vocabulary, files.layout, files.pattern, {})
    copy = tmp_path / "vocabulary.arrow"
    right = copy.read_bytes()
    other = write_tokenizer(str(tmp_path / "other"), files.vocabulary.prefix(2999), files.layout, files.pattern, {})
    for content in ((tmp_path / "other/vocabulary.arrow").read_bytes(), right[:-100], b"", None, right):
        copy.unlink(missing_ok=True)
        if content is not None:
            copy.write_bytes(content)
        read = read_tokenizer(str(tmp_path))
        assert len(read.vocabulary) == 3000 == len(other.vocabulary) + 1
        assert read.vocabulary.tokens.equals(files.vocabulary.tokens)
        assert np.array_equal(read.vocabulary.merges, files.vocabulary.merges)


def test_a_folder_of_the_first_format_is_still_read(folder: str, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "training.json"):
        (tmp_path / name).write_bytes((Path(folder) / name).read_bytes())
    record = json.loads((tmp_path / "training.json").read_bytes())
    record["format"], record["special_tokens"]["layout"] = 1, "deepseek-v3"
    for name in ("vocabulary", "tiktoken"):
        del record[name]
    (tmp_path / "training.json").write_text(json.dumps(record))
    old, new = read_tokenizer(str(tmp_path)), read_tokenizer(folder)
    assert same(old, replace(new, training=old.training))


def test_a_special_token_may_not_be_spelled_like_an_ordinary_one(trained: Vocabulary, tmp_path: Path) -> None:
    bare = Vocabulary(trained.tokens[3:], trained.merges - 3, 0)
    with pytest.raises(UserError, match="'self': ordinary text can contain this special token"):
        write_tokenizer(str(tmp_path), bare, SpecialLayout("mine", last=("self",)), "deepseek-v3", {})
    assert not list(tmp_path.iterdir())


def test_mistakes(folder: str, trained: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such tokenizer folder"):
        read_tokenizer(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="first special tokens"):
        write_tokenizer(str(tmp_path), Vocabulary(trained.tokens, trained.merges, 0), "compact", "deepseek-v3", {})
    changed = tmp_path / "changed"
    write_tokenizer(str(changed), trained, "compact", "deepseek-v3", {})
    content = (changed / "tokenizer.json").read_bytes()
    (changed / "tokenizer.json").write_bytes(content.replace(b'"dropout":null', b'"dropout":0.5'))
    with pytest.raises(UserError, match=r"not the file that training\.json describes"):
        read_tokenizer(str(changed))
    (changed / "training.json").write_text("[]")
    with pytest.raises(UserError, match="not a tokenizer file made by corpusmill"):
        read_tokenizer(str(changed))
    (changed / "training.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="unknown format"):
        read_tokenizer(str(changed))


VALUES: list[Any] = [None, True, -1, 0, 7, 1 << 40, 0.5, "", "x", "\x00", [], [0], ["a", 1], {}, {"x": 1}]


def changed_somewhere(value: Any, draw: Callable[[int], int]) -> Any:
    """The value with one field, at any depth, taken out or made another."""
    if isinstance(value, (dict, list)) and value and draw(4):
        keys = list(value) if isinstance(value, dict) else list(range(min(len(value), 300)))
        key = keys[draw(len(keys) - 1)]
        copy: Any = dict(value) if isinstance(value, dict) else list(value)
        if draw(5):
            copy[key] = changed_somewhere(value[key], draw)
        else:
            del copy[key]
        return copy
    return VALUES[draw(len(VALUES) - 1)]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), form=st.sampled_from(sorted(SMALL)))
def test_a_damaged_folder_is_a_mistake_and_no_crash(
    data: st.DataObject, form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"damaged {form}"
    if not folder.exists():
        write_small(folder, *SMALL[form], "gpt2")
        (folder / "vocabulary.arrow").unlink()
        for name in ("tokenizer.json", "training.json"):
            (folder / name).rename(folder / f"{name}.whole")
    main, record = (json.loads((folder / f"{name}.whole").read_bytes()) for name in ("tokenizer.json", "training.json"))

    def draw(most: int) -> int:
        return data.draw(st.integers(0, most))

    if draw(1):
        record = changed_somewhere(record, draw)
    else:
        main = changed_somewhere(main, draw)
    content = json.dumps(main).encode()
    if isinstance(record, dict) and main is not None:
        record["fingerprint"] = xxhash.xxh3_128_hexdigest(content)
    (folder / "tokenizer.json").write_bytes(content)
    (folder / "training.json").write_text(json.dumps(record))
    try:
        read = read_tokenizer(str(folder))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert len(read.vocabulary.byte_ids()) == 256
        assert read.vocabulary.merges.max(initial=0) < len(read.vocabulary)
