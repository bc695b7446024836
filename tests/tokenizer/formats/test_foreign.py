"""A `tokenizer.json` from elsewhere gives the ids that Hugging Face's library gives, or is refused with the reason."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.formats.files import TokenizerFiles, write_files
from corpusmill.tokenizer.formats.foreign import import_json
from corpusmill.tokenizer.patterns import DEEPSEEK_V3, GPT2, LLAMA3

END = "<|endoftext|>"
FIM = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")


def trained(texts: list[str], steps: list[Any], specials: list[str], size: int = 1500, **model: Any) -> dict[str, Any]:
    """What the library's own trainer makes of the texts, as the values of its file."""
    made = tokenizers.Tokenizer(models.BPE(**model))
    made.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    content: dict[str, Any] = json.loads(made.to_str())
    return content


def added(number: int, text: str, *, special: bool = True) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": text, **flags, "special": special}


@pytest.fixture(scope="module")
def gpt2(source_texts: list[str]) -> dict[str, Any]:
    """GPT-2's form: ByteLevel cuts, one special token behind the merges."""
    content = trained(source_texts[:60], [pre_tokenizers.ByteLevel(add_prefix_space=False)], [])
    content["added_tokens"] = [added(1500, END)]
    return content


@pytest.fixture(scope="module")
def llama3(source_texts: list[str]) -> dict[str, Any]:
    """Llama 3's form: pieces that are tokens are not merged; some of them no merge makes; ids in any order."""
    steps = [
        pre_tokenizers.Split(tokenizers.Regex(LLAMA3.splits[0]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    content = trained(source_texts[:60], steps, ["<s>", *FIM], ignore_merges=True)
    vocab = content["model"]["vocab"]
    for word in ("Ġself", "Ġunittest", "Ġasynchronous", "zażółć", "ĠÃ©", "=======", "xyz"):
        vocab.setdefault(word, len(vocab))
    numbers = list(range(len(vocab)))
    random.Random(5).shuffle(numbers)
    content["model"]["vocab"] = {token: numbers[number] for token, number in vocab.items()}
    for entry in content["added_tokens"]:
        entry["id"] = numbers[entry["id"]]
    content["added_tokens"].sort(key=lambda entry: entry["id"])
    content["added_tokens"] += [added(len(vocab), "<|end_of_text|>"), added(len(vocab) + 1, "<tool>", special=False)]
    return content


@pytest.fixture(scope="module")
def deepseek(source_texts: list[str]) -> dict[str, Any]:
    """DeepSeek-V3's form: special tokens in front, which the model holds, and behind."""
    steps: list[Any] = [pre_tokenizers.Split(tokenizers.Regex(regex), "isolated") for regex in DEEPSEEK_V3.splits]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    content = trained(source_texts[:60], steps, ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"])
    content["added_tokens"].append(added(1500, "<｜fim▁hole｜>", special=False))
    return content


@pytest.fixture(scope="module")
def custom(source_texts: list[str]) -> dict[str, Any]:
    """A pattern that is none of the presets, applied on top of single digits."""
    steps = [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Split(tokenizers.Regex(r"\w+| +|[^\w ]"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    return trained(source_texts[:60], steps, ["<unk>"])


def written(content: Any, folder: Path) -> str:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content))
    return str(path)


def ours(files: TokenizerFiles) -> Tokenizer:
    return Tokenizer(files.vocabulary, files.special, files.pattern, files.fingerprint)


def library(path: str) -> tokenizers.Tokenizer:
    """The library's reader, asked to take the spellings of special tokens for text."""
    read = tokenizers.Tokenizer.from_file(path)
    read.encode_special_tokens = True
    return read


def assert_equal_ids(tokenizer: Tokenizer, reference: tokenizers.Tokenizer, texts: list[str]) -> None:
    rows = tokenizer.encode(pa.array(texts, pa.large_string())).to_pylist()
    for text, row, encoded in zip(texts, rows, reference.encode_batch(texts, add_special_tokens=False), strict=True):
        assert row == encoded.ids, text[:200]


def without_markers(text: str) -> str:
    """Text in which no added token is spelled: what the library does to those not flagged as special is its own."""
    return text.replace("<tool>", "").replace("<｜fim▁hole｜>", "")


FORMS = ("gpt2", "llama3", "deepseek", "custom")


@pytest.mark.parametrize("form", FORMS)
def test_ids_are_the_original_s_on_real_text_and_survive_the_folder(
    form: str, source_texts: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = written(request.getfixturevalue(form), tmp_path)
    files = import_json(path)
    reference = library(path)
    texts = [*source_texts[40:80], f"a{END}<s><fim_prefix>b", " " * 100 + "é" * 100]
    assert_equal_ids(ours(files), reference, texts)
    folder = str(tmp_path / "folder")
    write_files(folder, files.vocabulary, files.special, files.layout, files.pattern, files.training["training"])
    assert_equal_ids(Tokenizer.load(folder), reference, texts)
    again = library(folder + "/tokenizer.json")
    assert again.get_vocab() == reference.get_vocab()
    for text in texts:
        assert again.encode(text, add_special_tokens=False).ids == reference.encode(text, add_special_tokens=False).ids


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PIECES = st.sampled_from(
    ["self", " self", " ", "\n", "=======", "xyz", "éé", "12345", "中文", END, "<s>", "'s", "\r\n\t"]
)


@pytest.mark.parametrize("form", FORMS)
def test_ids_are_the_original_s_on_any_text(form: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = written(request.getfixturevalue(form), tmp_path)
    tokenizer, reference = ours(import_json(path)), library(path)

    @given(st.lists(st.lists(TEXT | PIECES, max_size=8).map("".join), min_size=1, max_size=20))
    @settings(max_examples=60, deadline=None, derandomize=True)
    def equal(texts: list[str]) -> None:
        assert_equal_ids(tokenizer, reference, [without_markers(text) for text in texts])

    equal()


@pytest.mark.parametrize("form", ["gpt2", "llama3"])
def test_transformers_loads_the_folder_with_the_same_ids(
    form: str, source_texts: list[str], tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    files = import_json(written(request.getfixturevalue(form), tmp_path))
    folder = str(tmp_path / "folder")
    write_files(folder, files.vocabulary, files.special, files.layout, files.pattern, {})
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = source_texts[:5]
    rows = ours(files).encode(pa.array(texts, pa.large_string())).to_pylist()
    assert rows == [peer.encode(text, add_special_tokens=False) for text in texts]
    for token in files.special.tokens:
        assert peer.convert_tokens_to_ids(token.text) == token.id
    assert peer.eos_token_id == files.special.eos


def test_a_piece_that_is_a_token_is_one_even_where_no_merge_makes_it(llama3: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = ours(import_json(written(llama3, tmp_path)))
    for word in (" asynchronous", "xyz"):
        assert len(tokenizer.encode(pa.array([word]))[0]) == 1, word
    assert len(tokenizer.encode(pa.array([" asynchronousxyz"]))[0]) > 2


def test_special_tokens_stand_where_they_stood(llama3: dict[str, Any], tmp_path: Path) -> None:
    special = import_json(written(llama3, tmp_path)).special
    unspelled = {"zażółć": (llama3["model"]["vocab"]["zażółć"], False)}  # in the model, of characters no byte has
    assert {token.text: (token.id, token.special) for token in special.tokens} == unspelled | {
        entry["content"]: (entry["id"], entry["special"]) for entry in llama3["added_tokens"]
    }
    ids = {entry["content"]: entry["id"] for entry in llama3["added_tokens"]}
    assert special.roles == {
        **{"bos": ids["<s>"], "eos": ids["<|end_of_text|>"]},
        **dict(zip(("fim_begin", "fim_hole", "fim_end"), (ids[text] for text in FIM), strict=True)),
    }
    assert special.vocab_size == max(ids.values()) + 1 and special.model_rows % 64 == 0


def test_roles_come_from_the_user_then_the_configuration_then_known_spellings(
    llama3: dict[str, Any], tmp_path: Path
) -> None:
    path = written(llama3, tmp_path)
    ids = {entry["content"]: entry["id"] for entry in llama3["added_tokens"]}
    config = {"eos_token": {"content": "<tool>"}, "bos_token": "<none>", "pad_token": 7}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    roles = import_json(str(tmp_path)).special.roles
    assert (roles["eos"], roles["bos"]) == (ids["<tool>"], ids["<s>"]) and "pad" not in roles
    assert import_json(path, {"eos": "<s>", "pad": "<s>"}).special.roles["eos"] == ids["<s>"]
    with pytest.raises(UserError, match="which is not a special token"):
        import_json(path, {"eos": "self"})
    with pytest.raises(UserError, match="unknown role 'end'"):
        import_json(path, {"end": "<s>"})


def test_the_rows_of_the_embedding_are_the_model_s_where_it_says(gpt2: dict[str, Any], tmp_path: Path) -> None:
    written(gpt2, tmp_path)
    assert import_json(str(tmp_path)).special.model_rows == 1536
    (tmp_path / "config.json").write_text('{"vocab_size": 1600}')
    assert import_json(str(tmp_path)).special.model_rows == 1600
    (tmp_path / "config.json").write_text('{"vocab_size": 10}')
    assert import_json(str(tmp_path)).special.model_rows == 1536


def test_merges_as_strings_and_as_pairs_are_the_same(gpt2: dict[str, Any], tmp_path: Path) -> None:
    pairs = import_json(written(gpt2, tmp_path)).vocabulary
    content = copy.deepcopy(gpt2)
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    strings = import_json(written(content, tmp_path)).vocabulary
    assert (pairs.merges == strings.merges).all() and len(pairs.merges) == 1500 - 256


def test_what_is_recorded_and_not_applied(gpt2: dict[str, Any], tmp_path: Path) -> None:
    post = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    imported = import_json(written(gpt2 | {"post_processor": post}, tmp_path)).training["training"]["imported"]
    assert imported["post_processor"] == post and imported["format"] == "tokenizer.json"


def changed(content: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    """A copy with one field changed."""
    content = copy.deepcopy(content)
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


DIGITS = {"type": "Digits", "individual_digits": True}
PREFIXED = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("model", "type"), "Unigram", "its model is 'Unigram'"),
        (("model", "byte_fallback"), True, "falls back to bytes"),
        (("model", "dropout"), 0.1, "dropout"),
        (("model", "end_of_word_suffix"), "</w>", "end_of_word_suffix"),
        (("model", "vocab", "!"), -1, "ids must be from 0"),
        (("model", "vocab", "!"), 1 << 40, "ids must be from 0"),
        (("model", "vocab", "!"), 7, "two tokens have the same id"),
        (("model", "vocab", "!"), True, "the id of '!' is True"),
        (("model", "vocab", ""), 1500, "a token is empty"),
        (("model", "merges", 3), "abc", "entry 3: 'abc' is not a merge"),
        (("model", "merges", 3), ["a", "zzz"], "not in the vocabulary"),
        (("normalizer",), {"type": "NFKC"}, r"normalizer: its normaliser \(NFKC\) changes text"),
        (("normalizer",), {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}, "NFC, Lower"),
        (("pre_tokenizer",), {"type": "Sequence", "pretokenizers": [DIGITS, PREFIXED]}, "add_prefix_space"),
        (("pre_tokenizer",), {"type": "Metaspace"}, "does not end in ByteLevel"),
        (("pre_tokenizer",), None, "pre_tokenizer is not one"),
        (("added_tokens", 0, "id"), 1501, "has the id 1501 here and 1500 in Hugging Face's library"),
        (("added_tokens", 0), added(100, "!"), "has the id 100 here"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_the_reason(
    path: tuple[Any, ...], value: Any, reason: str, gpt2: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=reason):
        import_json(written(changed(gpt2, *path, value=value), tmp_path))


def test_a_special_token_that_text_would_spell_is_refused(gpt2: dict[str, Any], tmp_path: Path) -> None:
    merge = gpt2["model"]["merges"][-1]
    spelled = "".join(merge)
    content = copy.deepcopy(gpt2)
    content["added_tokens"] = [added(content["model"]["vocab"][spelled], spelled)]
    with pytest.raises(UserError, match="ordinary text spells the special token"):
        import_json(written(content, tmp_path))


def test_added_tokens_have_the_ids_that_the_library_gives_them(gpt2: dict[str, Any], tmp_path: Path) -> None:
    content = copy.deepcopy(gpt2)
    content["model"]["vocab"]["<｜x｜>"] = 1500
    content["added_tokens"] = [added(1501, END), added(1500, "<｜x｜>"), added(1502, "<|last|>")]
    path = written(content, tmp_path)
    ids = import_json(path).special.ids
    assert ids == {text: library(path).token_to_id(text) for text in ids}
    content["model"]["vocab"]["!"] = 1501  # a gap at its old place, so that the library numbers from a taken id
    with pytest.raises(UserError, match=r"the id 1501 of .* is taken"):
        import_json(written(content, tmp_path))


def test_steps_within_steps_are_read_or_refused(gpt2: dict[str, Any], tmp_path: Path) -> None:
    for depth in (20, 500):
        step = json.dumps(gpt2["pre_tokenizer"])
        nested = '{"type": "Sequence", "pretokenizers": [' * depth + step + "]}" * depth
        (tmp_path / "tokenizer.json").write_text(
            json.dumps(gpt2 | {"pre_tokenizer": 0})[:-1] + f', "pre_tokenizer": {nested}}}'
        )
        if depth == 20:
            assert import_json(str(tmp_path)).pattern == GPT2
            continue
        with pytest.raises(UserError, match="nested too deeply"):
            import_json(str(tmp_path))


def test_a_byte_without_a_token_is_named(gpt2: dict[str, Any], tmp_path: Path) -> None:
    content = copy.deepcopy(gpt2)
    vocab = content["model"]["vocab"]
    vocab["ĠĠunused"] = vocab.pop("Ā")
    with pytest.raises(UserError, match="no token for the byte 0x00, so it is not a byte-level one"):
        import_json(written(content, tmp_path))


def test_without_its_normaliser_ids_are_those_of_normalised_text(gpt2: dict[str, Any], tmp_path: Path) -> None:
    path = written(gpt2 | {"normalizer": {"type": "NFC"}}, tmp_path)
    tokenizer, reference = ours(import_json(path, drop_normalizer=True)), library(path)
    assert_equal_ids(tokenizer, reference, ["naïve façade", "Straße"])
    assert tokenizer.encode(pa.array(["e\u0301"]))[0].as_py() != reference.encode("e\u0301").ids


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff{")
    (tmp_path / "list").write_text("[]")
    (tmp_path / "empty").write_text("{}")
    for name, reason in {
        "none": "no such file",
        "file": "not JSON",
        "list": "not a JSON object",
        "empty": "'model'",
    }.items():
        with pytest.raises(UserError, match=reason):
            import_json(str(tmp_path / name))
    with pytest.raises(UserError, match="a folder where a file is needed"):
        import_json(str(tmp_path))


@pytest.fixture(scope="module")
def tiny() -> dict[str, Any]:
    """A file small enough to be spoilt a thousand times."""
    steps = [
        pre_tokenizers.Split(tokenizers.Regex(GPT2.splits[0]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    content = trained(["a ab abc abcd bcd bc 12 éé"] * 9, steps, ["<s>"], size=270)
    content["added_tokens"].append(added(len(content["model"]["vocab"]), END))
    return content


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values, of a long table or list only the first few and the last."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    chosen = keys if len(keys) < 20 else [*keys[:4], *keys[-14:]]
    return [place for key in chosen for place in ((*path, key), *places(value[key], (*path, key)))]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 300)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        [
            "",
            "a",
            "ab",
            "<s>",
            "a b",
            " ",
            "BPE",
            "ByteLevel",
            "Split",
            "Regex",
            "Isolated",
            "Removed",
            "(",
            "\\p{L}+",
            "é",
            "\U0001f600",
        ]
    )
    | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "a", "id", "content", "pattern"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def test_a_spoilt_file_is_refused_or_read_as_the_library_reads_it(tiny: dict[str, Any], tmp_path: Path) -> None:
    everywhere = places(tiny)
    texts = ["a ab abcd éé 12 bcbc", "abcabc<s>\n\n x"]
    outcomes = {"refused": 0, "read": 0}

    @given(
        st.lists(st.tuples(st.sampled_from(everywhere), st.none() | JSON_VALUES, st.booleans()), min_size=1, max_size=2)
    )
    @settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def read(changes: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
        content = copy.deepcopy(tiny)
        for path, value, drop in changes:
            inner: Any = content
            try:
                for key in path[:-1]:
                    inner = inner[key]
                if drop:
                    del inner[path[-1]]
                else:
                    inner[path[-1]] = value
            except (KeyError, IndexError, TypeError):
                continue
        path = written(content, tmp_path)
        try:
            files = import_json(path)
        except UserError:
            outcomes["refused"] += 1
            return
        outcomes["read"] += 1
        try:
            reference = library(path)
        except BaseException as error:  # the library's own panics among them
            assert type(error).__name__ in ("Exception", "PanicException", "ValueError")
            return
        assert_equal_ids(ours(files), reference, texts)

    read()
    assert min(outcomes.values()) > 50, outcomes


def test_a_damaged_file_is_refused_in_one_line(tiny: dict[str, Any], tmp_path: Path) -> None:
    content = json.dumps(tiny, ensure_ascii=False).encode()
    path = tmp_path / "tokenizer.json"

    @given(st.integers(0, len(content) - 1), st.binary(max_size=3), st.integers(0, 4))
    @settings(max_examples=300, deadline=None, derandomize=True)
    def read(place: int, put: bytes, dropped: int) -> None:
        path.write_bytes(content[:place] + put + content[place + dropped :])
        try:
            import_json(str(path))
        except UserError as error:
            assert "\n" not in str(error)

    read()
