import hashlib
import inspect
import json
import re
from typing import Any

import pytest
import tiktoken_ext.openai_public
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Digits, Split
from transformers.convert_slow_tokenizer import TikTokenConverter
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX as QWEN2_IN_TRANSFORMERS

from corpusmill.dataproc.errors import UserError
from corpusmill.tokenizer.patterns import (
    CL100K,
    DEEPSEEK_V3,
    GPT2,
    LLAMA3,
    O200K,
    PATTERNS,
    QWEN2,
    SPELLINGS,
    Pattern,
    pattern_named,
    pattern_of_json,
    pre_tokenizer_json,
)

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
DIGESTS = {
    "deepseek-v3": "bfb6cd412a9c963802031abb98b11ebe08dfcc4b1d41396a1e9a3be2d1f2b880",
    "gpt2": "eeb55ba74cc544ae7067587b680d16521d9891de9e94c7ba9412c0e0e93b1c36",
    "cl100k": "d98f9631be1e9607a9848c26c1f9eac1aa9fc21ac6ba82a2fc0741af9780a48f",
    "llama3": "d98f9631be1e9607a9848c26c1f9eac1aa9fc21ac6ba82a2fc0741af9780a48f",
    "qwen2": "1ff7f41064896984db5d1bb6ff64fa4bc29007d08c1b439e505b7392777a319e",
    "o200k": "2d1b8dc11e89af71459b36004f698ab3693f59fd84f63e8ec2b49564ab857420",
}


def split(regex: str, behavior: str = "Isolated", invert: bool = False, kind: str = "Regex") -> dict[str, Any]:
    return {"type": "Split", "pattern": {kind: regex}, "behavior": behavior, "invert": invert}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def cut_as_the_section_says(section: dict[str, Any], text: str) -> list[str]:
    """By `tokenizers`, with the section as it stands; bytes not yet spelled as characters."""
    content = json.loads(Tokenizer(BPE()).to_str())
    content["pre_tokenizer"] = section
    pieces = Tokenizer.from_str(json.dumps(content)).pre_tokenizer.pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in pieces]


def cut_by_splits(pattern: Pattern, text: str) -> list[str]:
    pieces = [text]
    for regex in pattern.splits:
        splitter = Split(Regex(regex), "isolated")
        pieces = [piece for part in pieces for piece, _ in splitter.pre_tokenize_str(part)]
    return pieces


def test_third_split_of_deepseek_holds_real_line_breaks() -> None:
    assert DEEPSEEK_V3.splits[2].count("\r\n") == 3
    assert "\\r" not in DEEPSEEK_V3.splits[2] and "\\n" not in DEEPSEEK_V3.splits[2]


@pytest.mark.parametrize("name", PATTERNS)
def test_splits_do_not_change_by_accident(name: str) -> None:
    assert hashlib.sha256("\0".join(PATTERNS[name].splits).encode()).hexdigest() == DIGESTS[name]


def test_strings_are_those_of_other_libraries() -> None:
    assert inspect.signature(TikTokenConverter).parameters["pattern"].default == LLAMA3.splits[0] == CL100K.splits[0]
    assert QWEN2.splits[0] == QWEN2_IN_TRANSFORMERS
    in_tiktoken = re.findall('r"""(.*)"""', inspect.getsource(tiktoken_ext.openai_public.o200k_base))
    assert "|".join(in_tiktoken) == O200K.splits[0]


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_section_round_trip(pattern: Pattern) -> None:
    assert pattern_of_json(pre_tokenizer_json(pattern), "here") is pattern


def test_sections_are_the_models_own() -> None:
    deepseek = pre_tokenizer_json(DEEPSEEK_V3)["pretokenizers"]
    assert [step["type"] for step in deepseek] == ["Split", "Split", "Split", "ByteLevel"]
    assert pre_tokenizer_json(GPT2) == {**BYTES, "use_regex": True}
    assert pre_tokenizer_json(LLAMA3) == sequence(split(LLAMA3.splits[0]), BYTES)
    assert pre_tokenizer_json(O200K) == sequence(split(O200K.splits[0]), BYTES)
    assert pre_tokenizer_json(QWEN2) == sequence(split(QWEN2.splits[0]), {**BYTES, "trim_offsets": False})
    assert pre_tokenizer_json(CL100K) == sequence(split(CL100K.splits[0], "Removed", True), BYTES)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30))
def test_sections_cut_as_the_splits_do(text: str) -> None:
    for pattern in (*PATTERNS.values(), Pattern("custom", ("[a-z]+", r"\s"))):
        assert cut_as_the_section_says(pre_tokenizer_json(pattern), "x" + text) == cut_by_splits(pattern, "x" + text)


FORMS = [
    ({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}, "gpt2"),
    (sequence({**BYTES, "use_regex": True}), "gpt2"),
    (sequence(split(GPT2.splits[0]), BYTES), "gpt2"),
    (sequence(split(GPT2.splits[0], "Removed", True), BYTES), "gpt2"),
    (sequence(split(tiktoken_ext.openai_public.r50k_pat_str), BYTES), "gpt2"),
    (sequence(split(QWEN2.splits[0]), BYTES), "qwen2"),
    (sequence(split(QWEN2.splits[0].replace(r"\r\n", "\r\n"), "Removed", True), BYTES), "qwen2"),
    (sequence(sequence(split(O200K.splits[0], "Removed", True)), BYTES), "o200k"),
    (sequence(split(CL100K.splits[0], "Isolated", True), {**BYTES, "trim_offsets": False}), "cl100k"),
    (sequence(*[split(regex.replace("\r\n", r"\r\n")) for regex in DEEPSEEK_V3.splits], BYTES), "deepseek-v3"),
]


@pytest.mark.parametrize(("section", "name"), FORMS)
def test_other_forms_of_a_preset_are_recognised(section: dict[str, Any], name: str) -> None:
    pattern = pattern_of_json(section, "here")
    assert pattern is PATTERNS[name]
    text = "I'll 'ſ SEE\r\n\n x12345  中文、a/\u0301b\t\n "
    assert cut_as_the_section_says(section, text) == cut_by_splits(pattern, text)


@pytest.mark.parametrize(
    ("known", "other"), [(known, other) for known, others in SPELLINGS.items() for other in others]
)
@settings(max_examples=400, deadline=None)
@given(text=st.text(st.one_of(st.sampled_from("aZ5 .\n\r\t中'sſlLvVeE/"), st.characters(exclude_categories=("Cs",)))))
def test_other_spellings_cut_alike(known: str, other: str, text: str) -> None:
    assert cut_by_splits(Pattern("", (known,)), text) == cut_by_splits(Pattern("", (other,)), text)


CUSTOM = [
    (sequence(split(r"\d+"), split("[a-z]+"), BYTES), (r"\d+", "[a-z]+")),
    (sequence(split(r"\d+"), {**BYTES, "use_regex": True}), (r"\d+", *GPT2.splits)),
    (sequence(split("a.b", kind="String"), BYTES), (r"a\.b",)),
    (sequence(split(r"\w+|\W", "Removed", True), BYTES), (r"\w+|\W",)),
    ({**BYTES}, ()),
    # In this engine `{1,3}+` is a repetition of repetitions, so this is not how tiktoken itself cuts.
    (sequence(split(r"\p{N}{1,3}+|\P{N}+"), BYTES), (r"\p{N}{1,3}+|\P{N}+",)),
]


@pytest.mark.parametrize(("section", "splits"), CUSTOM)
def test_other_splits_are_carried_as_they_are(section: dict[str, Any], splits: tuple[str, ...]) -> None:
    pattern = pattern_of_json(section, "here")
    assert pattern == Pattern("custom", splits)
    for text in ("a.b xa.b12345", "Ünd so 1. weiter\n"):
        assert cut_as_the_section_says(section, text) == cut_by_splits(pattern, text)
    assert pattern_of_json(pre_tokenizer_json(pattern), "here") == pattern


@pytest.mark.parametrize("individual", [True, False])
def test_digits_are_those_of_the_library(individual: bool) -> None:
    """Every code point between letters, and all of them in a row."""
    section = sequence({"type": "Digits", "individual_digits": individual}, BYTES)
    pattern = pattern_of_json(section, "here")
    points = [chr(point) for point in range(1, 0x110000) if not 0xD800 <= point < 0xE000]
    for text in ("a".join(points), "".join(points)):
        expected = [piece for piece, _ in Digits(individual_digits=individual).pre_tokenize_str(text)]
        assert cut_by_splits(pattern, text) == expected


REFUSED = [
    ({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}, "does not end in ByteLevel"),
    (sequence({"type": "Whitespace"}, BYTES), "step Whitespace"),
    (sequence(BYTES, BYTES), "step ByteLevel"),
    (sequence(split(r"\d+", "Isolated"), {**BYTES, "add_prefix_space": True}), "add_prefix_space"),
    (sequence(split(r"\w+", "Removed", True), BYTES), "drops text"),
    (sequence(split(r"\s+", "Removed"), BYTES), "drops text"),
    (sequence(split(r"\s+", "MergedWithNext"), BYTES), "MergedWithNext"),
    (sequence(split("("), BYTES), "not a regular expression"),
    (None, "not one that tokenizers reads"),
    ({"type": "ByteLevel"}, "not one that tokenizers reads"),
    (sequence(), "not one that tokenizers reads"),
]


@pytest.mark.parametrize(("section", "message"), REFUSED)
def test_sections_that_are_no_row_of_splits_are_refused(section: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        pattern_of_json(section, "some/tokenizer.json")
    assert caught.value.where == "some/tokenizer.json"


def test_names() -> None:
    custom = Pattern("custom", ("a",))
    assert pattern_named("o200k") is O200K
    assert pattern_named(custom) is custom
    with pytest.raises(UserError, match=r"deepseek-v3.*gpt2"):
        pattern_named("gpt-9")
