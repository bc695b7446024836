import hashlib

import pytest

from dataproc.errors import UserError
from tokenizer.patterns import DEEPSEEK_V3, pattern_named, pattern_of_json, pre_tokenizer_json


def test_third_split_holds_real_line_breaks() -> None:
    assert DEEPSEEK_V3.splits[2].count("\r\n") == 3
    assert "\\r" not in DEEPSEEK_V3.splits[2] and "\\n" not in DEEPSEEK_V3.splits[2]


def test_splits_do_not_change_by_accident() -> None:
    digest = hashlib.sha256("\0".join(DEEPSEEK_V3.splits).encode()).hexdigest()
    assert digest == "bfb6cd412a9c963802031abb98b11ebe08dfcc4b1d41396a1e9a3be2d1f2b880"


def test_section_round_trip() -> None:
    section = pre_tokenizer_json(DEEPSEEK_V3)
    assert [part["type"] for part in section["pretokenizers"]] == ["Split", "Split", "Split", "ByteLevel"]
    assert pattern_of_json(section, "here") is DEEPSEEK_V3


def test_unknown_names_are_told_the_known_ones() -> None:
    with pytest.raises(UserError, match="deepseek-v3"):
        pattern_named("gpt-9")
    with pytest.raises(UserError, match="deepseek-v3"):
        pattern_of_json({"type": "ByteLevel"}, "tokenizer.json")
