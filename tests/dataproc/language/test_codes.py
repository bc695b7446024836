"""Codes of languages: what models call them, and what we do."""

import pytest

from corpusmill.dataproc.language.codes import language_code, without_script


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("en", "en"),
        ("eng", "en"),
        ("eng_Latn", "en"),
        ("ENG-latn", "en"),
        ("cmn_Hani", "zh"),
        ("zho_Hans", "zh"),
        ("zho_Hant", "zh_Hant"),
        ("zh-TW", "zh"),
        ("zh_Hant_TW", "zh_Hant"),
        ("yue_Hant", "yue"),
        ("yue_Hani", "yue"),
        ("jpn_Jpan", "ja"),
        ("kor_Hang", "ko"),
        ("srp_Cyrl", "sr"),
        ("srp_Latn", "sr_Latn"),
        ("hin_Deva", "hi"),
        ("hin_Latn", "hi_Latn"),
        ("arb_Arab", "ar"),
        ("arb_Latn", "ar_Latn"),
        ("arz_Arab", "arz"),
        ("pes_Arab", "fa"),
        ("zsm_Latn", "ms"),
        ("uzn_Cyrl", "uz_Cyrl"),
        ("nob_Latn", "no"),
        ("nb", "no"),
        ("nno_Latn", "nn"),
        ("fil_Latn", "tl"),
        ("als_Latn", "sq"),
        ("als", "als"),
        ("kik", "ki"),
        ("pt-BR", "pt"),
        ("fr-CA-u-sd-caqc", "fr"),
        ("bho_Deva", "bho"),
        ("abq_Cyrl", "abq_Cyrl"),
        ("zxx", "zxx"),
        ("zxx_Zzzz", "zxx"),
        ("und", None),
        ("und_Zzzz", None),
        ("mul", None),
        ("english", "english"),
        ("quality-high", "quality-high"),
        ("", ""),
    ],
)
def test_labels_of_all_kinds_become_one_code(label, code):
    assert language_code(label) == code


def test_a_code_is_its_own_code():
    for label in ("en", "zh_Hant", "sr_Latn", "yue", "abq_Cyrl", "zxx", "no", "sq"):
        assert language_code(label) == label


def test_every_short_code_stands_once():
    from corpusmill.dataproc.language.codes import _SHORT, _TWO_LETTERS

    entries = [entry.split(":") for entry in _TWO_LETTERS.split()]
    assert len({code for code, _ in entries}) == len(entries)
    others = [other for _, listed in entries for other in listed.split(",")]
    assert len(set(others)) == len(others) == len(_SHORT)
    assert not set(others) & {code for code, _ in entries}


def test_scripts_can_be_left_out():
    assert [without_script(code) for code in ("zh_Hant", "zh", "abq_Cyrl")] == ["zh", "zh", "abq"]
