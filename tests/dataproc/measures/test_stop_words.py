"""Stop words: lists that kernels can find, tags of languages that lead to them."""

import pyarrow as pa
import pytest

from corpusmill.dataproc.measures.statistics import measure
from corpusmill.dataproc.measures.stop_words import LANGUAGES, STOP_WORDS, list_of, lists_of
from corpusmill.dataproc.text.stop_tables import lists_numbered, load_stop_tables, stop_key
from tests.dataproc.measures.statistics_oracle import lower_case, split_words

ASKED_FOR = ["en", "zh", "es", "fr", "de", "pt", "it", "nl", "ru", "ja", "ko", "ar", "hi", "vi", "tr", "pl", "id"]


def test_the_languages_that_matter_most_have_a_list():
    assert set(ASKED_FOR) <= LANGUAGES
    assert all(7 <= len(words) <= 32 for words in STOP_WORDS.values())


def test_english_has_the_eight_words_of_gopher():
    assert STOP_WORDS["en"] == ("the", "be", "to", "of", "and", "that", "have", "with")


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_word_of_a_list_is_found_as_it_stands_and_in_capitals(language):
    """Each is one word in lower case, and kernels find it alone in a text."""
    words = STOP_WORDS[language]
    assert len(set(words)) == len(words)
    for word in words:
        assert split_words(word) == [word]
        assert lower_case(word) == word
    capitals = [word.title() for word in words if lower_case(word.title()) == word]
    texts = [*words, *capitals, " ".join(words)]
    rows = measure(pa.array(texts), pa.array([language] * len(texts))).to_pylist()
    assert [row["stop_word_count"] for row in rows] == [1] * (len(texts) - 1) + [len(words)]
    assert rows[-1]["distinct_stop_word_count"] == len(words)


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"), ("EN-us", "en"), ("eng_Latn", "en"), ("zh_Hant", "zh"), ("zho_Hans", "zh"), ("cmn", "zh"),
        ("pt-BR", "pt"), ("no", "nb"), ("arb_Arab", "ar"), ("iw", "he"), ("", "en"), (None, "en"), ("tha", None),
        ("python", None), ("english", None),
    ],
)  # fmt: skip
def test_tags_lead_to_lists(tag, language):
    assert list_of(tag) == language
    assert lists_of(pa.array([tag, "de"], pa.string())).to_pylist() == [language, "de"]


def test_languages_of_any_string_type_are_numbered():
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        numbers = lists_numbered(pa.array(["en", None, "tha", "de"], pa.string()).cast(kind))
        assert numbers[0] == numbers[1] == 0
        assert numbers[2] == len(LANGUAGES) != numbers[3]


def test_no_two_words_of_a_language_share_a_slot():
    tables = load_stop_tables()
    assert (tables.keys != 0).sum() == sum(map(len, STOP_WORDS.values()))
    assert not tables.keys[-1].any()
    assert not tables.multipliers[-1]


def test_a_word_that_kernels_would_not_look_for_is_refused():
    for word in ("notwithstanding", "ж" * 21):
        with pytest.raises(ValueError, match="too long"):
            stop_key(word)
