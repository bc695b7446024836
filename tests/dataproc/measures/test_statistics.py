"""Statistics against a slow oracle in plain Python (`statistics_oracle`), by generated text and by example."""

import functools
import inspect
import random
import textwrap

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dataproc.measures.statistics import SCHEMA, STATISTICS, TOKEN_NGRAMS, measure
from tests.dataproc.measures.statistics_oracle import oracle


def measure_all(texts: list[str], languages: list[str | None] | None = None) -> list[dict[str, float]]:
    codes = None if languages is None else pa.array(languages, pa.string())
    return measure(pa.array(texts, pa.large_string()), codes).to_pylist()


def assert_as_oracle(texts: list[str], languages: list[str | None] | None = None) -> None:
    codes = languages or [None] * len(texts)
    for text, code, measured in zip(texts, codes, measure_all(texts, languages), strict=True):
        assert measured == oracle(text, code), (text, code)


WORDS = ["the ", "of", "Have ", "be", "lorem ", "Ipsum ", "word ", "a", "b ", "c ", "1", "٣", "e\u0301", "İ", "ß "]
FOREIGN_WORDS = [
    "не ",
    "И",
    "СЕБЕ",
    "nº ",
    "İle ",
    "ILE",
    "الذي ",
    "में ",
    "또는 ",
    "được ",
    "CỦA ",
    "மற்றும் ",
    "Kelvin\u212a",
]
UNSPACED_WORDS = ["漢", "字 ", "かな", "か\u3099", "ภาษาไทย ", "ກ"]
MARKS = [
    "..",
    "..\n",
    "...",
    "…",
    ". . .",
    ".",
    "?",
    "!\n",
    "。",
    "」",
    '"',
    ")",
    "#",
    "{",
    "<?xml version=",
    "- ",
    "* ",
    "• ",
    "😀",
    "--",
    "###",
    "[...]",
    "http://a.b/c",
    "https://ü/",
    "⟨",
    "●",
    "⦿ ",
]
SPACES = ["\n", "\n\n", " \n", "\r\n", "\u3000", "\x85", "\x0b", "\t", "\u200d", "\ue000", "_", "-"]
REPEATS = ["a b c d e f g h i j\n", "x y x y x y ", "A line that is longer than thirty characters.\n"]
PIECES = st.sampled_from([*WORDS, *FOREIGN_WORDS, *UNSPACED_WORDS, *MARKS, *SPACES, *REPEATS])
TEXTS = st.one_of(st.lists(PIECES, max_size=60).map("".join), st.text(max_size=80))


LANGUAGES = st.sampled_from([None, "en", "zh", "ja", "ru", "tr", "hi", "vi", "ta", "ko", "ar", "th", "xx"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TEXTS, LANGUAGES), min_size=1, max_size=4))
def test_every_statistic_is_as_defined(documents):
    texts, languages = zip(*documents, strict=True)
    assert_as_oracle(list(texts), list(languages))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_units_that_lie_across_blocks_of_64_bytes(seed):
    """Long runs of everything, at every offset from the blocks in which the kernels read."""
    draw = random.Random(seed)
    pieces = [
        "a",
        "é",
        "漢",
        "か",
        "\u3099",
        "ก",
        " ",
        "\n",
        "\u3000",
        ".",
        "。",
        "…",
        "#",
        "http://",
        "\r\n",
        "1",
        "A",
    ]
    weights = [draw.random() ** 3 for _ in pieces]
    assert_as_oracle(["".join(draw.choices(pieces, weights, k=draw.randrange(400))) for _ in range(3)])


def test_real_source_code():
    assert_as_oracle([inspect.getsource(module) for module in (functools, textwrap)])


@pytest.mark.parametrize(
    ("text", "statistic", "value"),
    [
        ("one..\ntwo...\nthree…\nfour... \n. . .", "ellipsis_line_fraction", 3 / 5),
        ("a...... b.... c…", "ellipsis_word_ratio", 4 / 3),
        ("- a\n* b\n• c\n-d\nx - y\n\n", "bullet_line_fraction", 4 / 5),
        ('He said "no." She left (quickly!) at 3.14. 你好。再见！', "sentence_count", 5),
        ("x" * 30 + "\n" + "x" * 31, "short_line_fraction", 0.5),
        ("The THE theory of", "stop_word_count", 3),
        ("The THE theory of", "distinct_stop_word_count", 2),
        ("Lorem, ipsum lorem dolor ipsum", "lorem_ipsum_count", 1),
        ("a\r\nbb\n", "longest_line", 2),
        ("a\n\nb\n \nc\nd", "paragraph_count", 3),
        ("ab abcd 漢字", "mean_word_length", 3.0),
        ("漢字 word", "unspaced_fraction", 2 / 3),
        ("a b a b a b", "top_2gram_character_fraction_dclm", 1.0),
        ("a b c", "top_2gram_character_fraction_dclm", 0.0),
        ("a b c", "top_2gram_character_fraction_datatrove", 3 / 5),
        ("漢字かな 17字です 以上 ", "estimated_word_count", 6),
        ("ภาษาไทยภาษาไทย", "estimated_word_count", 3),
        ("a bb ccc dddd", "median_word_length", 2.5),
        ("a-b --- c.", "token_count", 6),
        ("# a#b … .. ...", "symbol_stretch_fraction_curator", 3 / 5),
        ("# a#b … .. ...", "symbol_stretch_fraction_dolma", 3 / 5),
        (". . . ... a. . . . . b", "symbol_stretch_ratio_dclm", 3 / 10),
        ("see http://a.b, https://c", "url_count", 2),
        ("see http://a.b", "url_fraction", 10 / 14),
        ("Äb Cd", "uppercase_letter_fraction", 0.5),
        ("x" * 200 + "\n" + "y" * 199, "long_line_count", 1),
        ("yes. \nyes.", "terminal_line_fraction_fineweb", 0.5),
        ("- a\n\n* b\n• c", "bullet_line_fraction_datatrove", 0.5),
        ("- a\n\n* b\n• c", "bullet_line_fraction_curator", 1 / 3),
        (" " * 86 + "<?xml version=", "xml_header_count", 1),
        (" " * 87 + "<?xml version=", "xml_header_count", 0),
    ],
)
def test_by_example(text, statistic, value):
    assert measure_all([text])[0][statistic] == value
    assert_as_oracle([text])


@pytest.mark.parametrize(
    ("text", "language", "count"),
    [
        ("The end of the road", None, 2),
        ("The end of the road", "deu_Latn", 0),
        ("Der Weg und die Straße", "de-AT", 3),
        ("我的书在这里", "zh_Hant", 4),
        ("Он не знает, что и Как", "RU", 4),
        ("İle ve BİR", "tur", 3),
        ("यह है कि", "hin", 3),
        ("ไม่มี", "th", -1),
        ("and the be", "xyz", -1),
    ],
)
def test_stop_words_are_those_of_the_language(text, language, count):
    assert measure_all([text], [language])[0]["distinct_stop_word_count"] == count
    assert_as_oracle([text], [language])


def test_an_empty_document_is_zero_throughout():
    assert set(measure_all([""])[0].values()) == {0}


def test_no_documents():
    assert measure(pa.array([], pa.large_string())).num_rows == 0


def test_every_statistic_is_described():
    assert list(STATISTICS) == SCHEMA.names
    assert all(statistic.description and statistic.unit for statistic in STATISTICS.values())


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_rows_do_not_depend_on_the_batch(cut):
    texts = ["a b a b a b", "", "the end\n\nthe end", "漢字漢字", "x " * 500, "of to", "ภาษา", "..."] * 3
    whole = measure(pa.array(texts, pa.large_string()))
    array = pa.array(texts)
    parts = [measure(array[first : first + cut]) for first in range(0, len(texts), cut)]
    assert pa.Table.from_batches([whole]) == pa.Table.from_batches(parts).combine_chunks()


def test_the_two_meanings_of_a_duplicate():
    """Two identical lines: every copy counts for DCLM, only the second for datatrove."""
    measured = measure_all(["same\nsame"])[0]
    assert measured["duplicate_line_fraction_dclm"] == 1.0
    assert measured["duplicate_line_fraction_datatrove"] == 0.5
    assert measured["duplicate_line_character_fraction_dclm"] == 1.0
    assert measured["duplicate_line_character_fraction_datatrove"] == 4 / 9
    assert measured["duplicate_line_character_fraction_fineweb"] == 4 / 8


def test_a_document_of_many_repeated_words():
    """Every size of n-gram repeats, and the numbering's hash table is larger than for the other documents."""
    generator = np.random.default_rng(5)
    words = [f"w{number}" for number in generator.integers(0, 40, 3000)]
    assert_as_oracle([" ".join(words) + "\n" + " ".join(words[:700])])


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4))
@settings(max_examples=120, deadline=None)
def test_malformed_bytes_stay_inside_their_document(pieces):
    """Neighbours of malformed bytes are measured as if they stood alone."""
    for piece in pieces:
        batch = pa.array([b"the end", piece, b"\x80\xbfof to"], pa.large_binary())
        rows = measure(batch).to_pylist()
        assert rows[0] == measure_all(["the end"])[0]
        assert rows[1] == measure(pa.array([piece], pa.large_binary())).to_pylist()[0]
        assert rows[2]["stop_word_count"] == 2
        try:
            text = piece.decode()
        except UnicodeDecodeError:
            continue
        assert rows[1] == oracle(text)


TEXTS_WITH_REPEATS = ["one - two, three: four! five; six. " * 5, "", "no repeats here", "漢字 漢字 " * 20]


def test_without_datatroves_token_ngrams_all_other_numbers_are_the_same():
    texts = pa.array(TEXTS_WITH_REPEATS, pa.large_string())
    whole, rest = measure(texts), measure(texts, token_ngrams=False)
    assert set(whole.schema.names) - set(rest.schema.names) == set(TOKEN_NGRAMS)
    assert len(TOKEN_NGRAMS) == 9
    assert rest.equals(whole.select(rest.schema.names))
    assert any(value for value in whole.column("duplicate_5gram_character_fraction_datatrove").to_pylist())
