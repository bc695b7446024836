"""Statistics against a slow oracle in plain Python, written from the definitions; it shares no code with kernels."""

import functools
import inspect
import itertools
import re
import textwrap
import unicodedata
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataproc.statistics import SCHEMA, STATISTICS, measure
from dataproc.text.scan import BULLETS, CLOSERS, STOP_WORDS
from dataproc.text.unicode_tables import ALONE, TERMINAL, UNSPACED, load_tables


def has(character: str, flag: int) -> bool:
    return bool(load_tables().classes[ord(character)] & flag)


def split_words(text: str) -> list[str]:
    words, alone = [], False
    inside = False
    for character in text:
        kind = unicodedata.category(character)[0]
        if kind not in "LMN":
            inside = False
        elif not inside or has(character, ALONE) or (alone and kind != "M"):
            words.append(character)
            inside, alone = True, has(character, ALONE)
        else:
            words[-1] += character
    return words


def split_lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
        return [line.removesuffix("\r") for line in lines]
    return [*(line.removesuffix("\r") for line in lines[:-1]), lines[-1]]


def split_paragraphs(text: str) -> list[str]:
    paragraphs: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            paragraphs[-1].append(line.strip())
        else:
            paragraphs.append([])
    return ["\n".join(paragraph) for paragraph in paragraphs if paragraph]


@functools.cache
def sentence_ends() -> re.Pattern[str]:
    terminal = "".join(re.escape(c) for c in map(chr, range(0x20000)) if has(c, TERMINAL))
    return re.compile(f"(?:[{terminal}][{re.escape(CLOSERS)}]*)+")


def count_sentences(text: str) -> int:
    ends = 0
    for match in sentence_ends().finditer(text):
        wide = any(has(c, TERMINAL) and ord(c) >= 128 for c in match.group())
        following = text[match.end() : match.end() + 1]
        ends += wide or not following or following.isspace()
    return ends


def copies(units: list[str]) -> dict[str, int]:
    counter = Counter(units)
    repeated = [unit for unit in units if counter[unit] > 1]
    later = [unit for position, unit in enumerate(units) if unit in units[:position]]
    return {
        "all": len(repeated),
        "all characters": sum(map(len, repeated)),
        "later": len(later),
        "later characters": sum(map(len, later)),
    }


def top(words: list[str], n: int) -> tuple[int, int]:
    """Characters of the top n-gram as DCLM counts them, and as datatrove does."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not grams:
        return 0, 0
    common = Counter(grams).most_common()
    most = common[0][1]
    longest = max(len("".join(gram)) for gram, count in common if count == most)
    return (most * longest if most > 1 else 0), most * len(" ".join(common[0][0]))


def covered(words: list[str], n: int) -> int:
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counter = Counter(grams)
    inside = {i + k for i, gram in enumerate(grams) if counter[gram] > 1 for k in range(n)}
    return sum(len(words[i]) for i in inside)


def greedy(words: list[str], n: int) -> int:
    met: set[tuple[str, ...]] = set()
    characters = index = 0
    while index < len(words) - n + 1:
        gram = tuple(words[index : index + n])
        if gram in met:
            characters += len("".join(gram))
            index += n
        else:
            met.add(gram)
            index += 1
    return characters


def oracle(text: str) -> dict[str, float]:
    def share(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    def characters_of(kinds: str) -> int:
        return sum(unicodedata.category(c)[0] in kinds for c in text)

    words, lines, paragraphs, stretches = split_words(text), split_lines(text), split_paragraphs(text), text.split()
    text_lines = [line.strip() for line in text.split("\n") if line.strip()]
    lower = [word.translate({code: code + 32 for code in range(65, 91)}) for word in words]
    spaced = [word for word in words if not any(has(c, UNSPACED) for c in word)]
    in_words = sum(map(len, words))
    unspaced = sum(has(c, UNSPACED) for word in words for c in word)
    dots = sum(len(run) // 3 for run in re.findall(r"\.+", text))
    line_copies, paragraph_copies = copies(text_lines), copies(paragraphs)
    expected = {
        "byte_count": len(text.encode()),
        "character_count": len(text),
        "word_count": len(words),
        "line_count": len(lines),
        "text_line_count": len(text_lines),
        "paragraph_count": len(paragraphs),
        "sentence_count": count_sentences(text),
        "longest_word": max(map(len, words), default=0),
        "longest_stretch": max(map(len, stretches), default=0),
        "longest_line": max(map(len, lines), default=0),
        "mean_word_length": share(sum(map(len, spaced)), len(spaced)),
        "unspaced_fraction": share(unspaced, unspaced + len(spaced)),
        "hash_word_ratio": share(text.count("#"), len(words)),
        "ellipsis_word_ratio": share(text.count("…") + dots, len(words)),
        "newline_word_ratio": share(text.count("\n"), len(words)),
        "alphabetic_stretch_fraction": share(
            sum(any(unicodedata.category(c)[0] == "L" for c in stretch) for stretch in stretches), len(stretches)
        ),
        "stop_word_count": sum(word in STOP_WORDS for word in lower),
        "distinct_stop_word_count": len(set(lower) & set(STOP_WORDS)),
        "lorem_ipsum_count": sum(pair == ("lorem", "ipsum") for pair in itertools.pairwise(lower)),
        "curly_bracket_count": text.count("{"),
        "xml_header_count": int("<?xml version=" in text[:100]),
        "mean_line_length": share(sum(map(len, lines)), len(lines)),
        "bullet_line_fraction": share(sum(line[0] in BULLETS for line in text_lines), len(text_lines)),
        "ellipsis_line_fraction": share(sum(line.endswith(("...", "…")) for line in text_lines), len(text_lines)),
        "terminal_line_fraction": share(sum(has(line[-1], TERMINAL) for line in text_lines), len(text_lines)),
        "short_line_fraction": share(sum(len(line) <= 30 for line in text_lines), len(text_lines)),
        "alphabetic_fraction": share(characters_of("L"), len(text)),
        "alphanumeric_fraction": share(characters_of("LN"), len(text)),
        "number_fraction": share(characters_of("N"), len(text)),
        "white_space_fraction": share(sum(c.isspace() for c in text), len(text)),
        "punctuation_fraction": share(characters_of("PS"), len(text)),
        "duplicate_line_character_fraction_fineweb": share(
            line_copies["later characters"], len(text.replace("\n", ""))
        ),
    }
    for unit, units, found in (("line", text_lines, line_copies), ("paragraph", paragraphs, paragraph_copies)):
        expected[f"duplicate_{unit}_fraction_dclm"] = share(found["all"], len(units))
        expected[f"duplicate_{unit}_fraction_datatrove"] = share(found["later"], len(units))
        name = f"duplicate_{unit}_character_fraction"
        expected[f"{name}_dclm"] = share(found["all characters"], sum(map(len, units)))
        expected[f"{name}_datatrove"] = share(found["later characters"], len(text))
    for n in (2, 3, 4):
        dclm, datatrove = top(words, n)
        expected[f"top_{n}gram_character_fraction_dclm"] = share(dclm, in_words)
        expected[f"top_{n}gram_character_fraction_datatrove"] = share(datatrove, len(text))
    for n in range(5, 11):
        expected[f"duplicate_{n}gram_character_fraction_dclm"] = share(covered(words, n), in_words)
        expected[f"duplicate_{n}gram_character_fraction_datatrove"] = share(greedy(words, n), len(text))
    return expected


def measure_all(texts: list[str]) -> list[dict[str, float]]:
    return measure(pa.array(texts, pa.large_string())).to_pylist()


def assert_as_oracle(texts: list[str]) -> None:
    for text, measured in zip(texts, measure_all(texts), strict=True):
        assert measured == oracle(text), text


WORDS = ["the ", "of", "Have ", "be", "lorem ", "Ipsum ", "word ", "a", "b ", "c ", "1", "٣", "e\u0301", "İ", "ß "]
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
]
SPACES = ["\n", "\n\n", " \n", "\r\n", "\u3000", "\x85", "\x0b", "\t", "\u200d", "\ue000", "_", "-"]
REPEATS = ["a b c d e f g h i j\n", "x y x y x y ", "A line that is longer than thirty characters.\n"]
PIECES = st.sampled_from([*WORDS, *UNSPACED_WORDS, *MARKS, *SPACES, *REPEATS])
TEXTS = st.one_of(st.lists(PIECES, max_size=60).map("".join), st.text(max_size=80))


@settings(max_examples=250, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_every_statistic_is_as_defined(texts):
    assert_as_oracle(texts)


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
        (" " * 86 + "<?xml version=", "xml_header_count", 1),
        (" " * 87 + "<?xml version=", "xml_header_count", 0),
    ],
)
def test_by_example(text, statistic, value):
    assert measure_all([text])[0][statistic] == value
    assert_as_oracle([text])


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
