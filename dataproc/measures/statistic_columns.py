"""The statistics by name: of which counts of the one pass each is the sum, and by which it is divided.

`dataproc.measures.statistics`, which measures, says what a column means and whose definition that is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from corpusmill.dataproc.text.counts import Count
from corpusmill.dataproc.text.repetition import LARGEST_NGRAM, LARGEST_TOP, SMALLEST_COVERED


@dataclass(frozen=True)
class Statistic:
    """One column: the sum of the counts `parts`, divided by `times` the count `whole` where there is one.

    `unit` is what is counted, "share" for a number from 0 to 1, or "… per …". The type is int64, or float64 if divided.
    """

    name: str
    unit: str
    description: str
    parts: tuple[Count, ...]
    whole: Count | None = None
    times: int = 1


def _count(name: str, part: Count, unit: str, description: str) -> Statistic:
    return Statistic(name, unit, description, (part,))


def _share(name: str, parts: Count | tuple[Count, ...], whole: Count, description: str) -> Statistic:
    return Statistic(name, "share", description, parts if isinstance(parts, tuple) else (parts,), whole)


def _rate(name: str, parts: Count | tuple[Count, ...], whole: Count, unit: str, description: str) -> Statistic:
    return Statistic(name, unit, description, parts if isinstance(parts, tuple) else (parts,), whole)


def _half(name: str, part: Count, unit: str, description: str) -> Statistic:
    return Statistic(name, unit, description, (part,), _C.DOCUMENTS, times=2)


def _named(name: str) -> Count:
    return Count[name]


_C = Count

_SIZES = (
    _count("byte_count", _C.BYTES, "bytes", "UTF-8 bytes"),
    _count("character_count", _C.CHARACTERS, "characters", "code points"),
    _count("word_count", _C.WORDS, "words", "runs of letters, marks and numbers; single Han and kana characters"),
    _count(
        "estimated_word_count",
        _C.ESTIMATED_WORDS,
        "words",
        "words, with so many characters of scripts written without spaces taken as one",
    ),
    _count("distinct_word_count", _C.DISTINCT_WORDS, "words", "different words; case matters"),
    _count("token_count", _C.TOKENS, "tokens", "words, and runs of the same punctuation mark or symbol"),
    _count("stretch_count", _C.STRETCHES, "stretches", "runs without white space"),
    _count("line_count", _C.LINES, "lines", "all lines; a newline at the end begins no new one"),
    _count("text_line_count", _C.TEXT_LINES, "lines", "lines that hold more than white space"),
    _count("long_line_count", _C.LONG_LINES, "lines", "lines of at least 200 characters (mC4)"),
    _count("paragraph_count", _C.PARAGRAPHS, "paragraphs", "runs of text lines without a blank line between"),
    _count(
        "sentence_count", _C.SENTENCES, "sentences", "sentence ends: . ! ? and their like before white space; 。 always"
    ),
    _count("longest_word", _C.LONGEST_WORD, "characters", "length of the longest word"),
    _count("longest_stretch", _C.LONGEST_STRETCH, "characters", "length of the longest run without white space"),
    _count("longest_line", _C.LONGEST_LINE, "characters", "length of the longest line"),
)
_WORDS = (
    _rate(
        "mean_word_length",
        _C.SPACED_WORD_CHARACTERS,
        _C.SPACED_WORDS,
        "characters per word",
        "mean length of words; those of scripts written without spaces left out",
    ),
    _half("median_word_length", _C.TWICE_MEDIAN_WORD, "characters", "median length of the same words, at most 255"),
    _rate(
        "mean_stretch_length",
        _C.STRETCH_CHARACTERS,
        _C.STRETCHES,
        "characters per stretch",
        "mean length of runs without white space (NeMo Curator, DCLM)",
    ),
    _half("median_stretch_length", _C.TWICE_MEDIAN_STRETCH, "characters", "their median length, at most 255 (dolma)"),
    _share(
        "unspaced_fraction",
        _C.UNSPACED_CHARACTERS,
        _C.SPACED_WORDS_OR_UNSPACED_CHARACTERS,
        "letters of scripts written without spaces, out of these and the words of other scripts",
    ),
    _share("distinct_word_fraction", _C.DISTINCT_WORDS, _C.WORDS, "different words, out of all"),
    _rate("hash_word_ratio", _C.HASH_MARKS, _C.ESTIMATED_WORDS, "# per word", "hash marks"),
    _rate("hash_word_ratio_datatrove", _C.HASH_MARKS, _C.TOKENS, "# per token", "hash marks"),
    _rate("ellipsis_word_ratio", _C.ELLIPSES, _C.ESTIMATED_WORDS, "ellipses per word", "… and ... (three dots)"),
    _rate("ellipsis_word_ratio_datatrove", _C.ELLIPSES, _C.TOKENS, "ellipses per token", "… and ... (three dots)"),
    _rate("newline_word_ratio", _C.NEWLINES, _C.ESTIMATED_WORDS, "newlines per word", "newlines, of all lines"),
    _rate("newline_word_ratio_datatrove", _C.NEWLINES, _C.TOKENS, "newlines per token", "newlines, of all lines"),
    _rate(
        "symbol_stretch_ratio_dclm",
        (_C.HASH_MARKS, _C.ELLIPSES, _C.SPACED_ELLIPSES),
        _C.STRETCHES,
        "symbols per stretch",
        "# … ... and . . . together",
    ),
    _share("symbol_stretch_fraction_dolma", _C.SYMBOL_STRETCHES_DOLMA, _C.STRETCHES, "stretches that hold a # or …"),
    _share(
        "symbol_stretch_fraction_curator",
        _C.SYMBOL_STRETCHES_CURATOR,
        _C.STRETCHES,
        "stretches that are # … ... [...] (...) or […]",
    ),
    _share(
        "alphabetic_stretch_fraction",
        _C.ALPHABETIC_STRETCHES,
        _C.STRETCHES,
        "runs without white space that hold at least one letter",
    ),
    _share(
        "alphabetic_word_fraction_datatrove",
        _C.ALPHABETIC_WORDS,
        _C.TOKENS,
        "words that hold at least one letter, out of words and runs of the same mark",
    ),
    _count("stop_word_count", _C.STOP_WORDS, "words", "occurrences of the language's stop words; -1: it has no list"),
    _count(
        "distinct_stop_word_count",
        _C.DISTINCT_STOP_WORDS,
        "words",
        "how many of the language's stop words occur; -1: it has no list",
    ),
    _count("lorem_ipsum_count", _C.LOREM_IPSUMS, "occurrences", "the word 'lorem' followed by the word 'ipsum'"),
    _count("url_count", _C.URLS, "URLs", "http:// or https:// and what follows"),
    _count("curly_bracket_count", _C.CURLY_BRACKETS, "characters", "opening curly brackets"),
    _count("xml_header_count", _C.XML_HEADERS, "occurrences", "1 if '<?xml version=' is in the first 100 characters"),
)
_LINES = (
    _rate("mean_line_length", _C.LINE_CHARACTERS, _C.LINES, "characters per line", "mean length of all lines"),
    _share("bullet_line_fraction", _C.BULLET_LINES, _C.TEXT_LINES, "text lines that begin with a bullet, - or *"),
    _share(
        "bullet_line_fraction_datatrove",
        (_C.DASH_LINES, _C.DOT_LINES),
        _C.LINES,
        "all lines: that begin with - or •",
    ),
    _share("bullet_line_fraction_dolma", (_C.DASH_LINES, _C.STAR_LINES), _C.LINES, "all lines: that begin with - or *"),
    _share(
        "bullet_line_fraction_dclm",
        (_C.DASH_LINES, _C.STAR_LINES, _C.DOT_LINES, _C.CIRCLE_LINES),
        _C.TEXT_LINES,
        "text lines that begin with - * • or ●",
    ),
    _share(
        "bullet_line_fraction_curator",
        _C.CURATOR_BULLET_LINES,
        _C.TEXT_LINES,
        "text lines that begin with one of twelve bullets, - and * not among them",
    ),
    _share("ellipsis_line_fraction", _C.ELLIPSIS_LINES, _C.TEXT_LINES, "text lines that end with … or ..."),
    _share("ellipsis_line_fraction_datatrove", _C.ELLIPSIS_LINES, _C.LINES, "all lines: that end with … or ..."),
    _share(
        "terminal_line_fraction", _C.TERMINAL_LINES, _C.TEXT_LINES, "text lines whose last character ends a sentence"
    ),
    _share(
        "terminal_line_fraction_fineweb",
        _C.TERMINAL_LINES_FINEWEB,
        _C.TEXT_LINES,
        "the same, white space at the end counting as a character",
    ),
    _share("short_line_fraction", _C.SHORT_LINES, _C.TEXT_LINES, "text lines of at most 30 characters"),
    _share(
        "short_line_fraction_fineweb",
        _C.SHORT_LINES_FINEWEB,
        _C.TEXT_LINES,
        "the same, white space at both ends included",
    ),
)
_CHARACTERS = (
    _share("alphabetic_fraction", _C.LETTERS, _C.CHARACTERS, "characters that are letters"),
    _share("alphanumeric_fraction", (_C.LETTERS, _C.NUMBERS), _C.CHARACTERS, "characters that are letters or numbers"),
    _share("non_alphanumeric_fraction", _C.NOT_ALPHANUMERIC, _C.CHARACTERS, "characters that are neither"),
    _share(
        "non_alphanumeric_fraction_curator",
        _C.NOT_ALPHANUMERIC_CURATOR,
        _C.CHARACTERS,
        "the same without newlines and ? ! , . (letters of any script)",
    ),
    _share("uppercase_fraction", _C.CAPITALS, _C.CHARACTERS, "characters that are capitals"),
    _share("uppercase_letter_fraction", _C.CAPITALS, _C.LETTERS, "letters that are capitals"),
    _share("number_fraction", _C.NUMBERS, _C.CHARACTERS, "characters that are numbers"),
    _share("white_space_fraction", _C.SPACES, _C.CHARACTERS, "characters that are white space"),
    _share("punctuation_fraction", _C.PUNCTUATIONS, _C.CHARACTERS, "characters that are punctuation or symbols"),
    _share("bracket_fraction", _C.BRACKETS, _C.CHARACTERS, "( ) [ ] { } and mathematical angle brackets (Curator)"),
    _share("url_fraction", _C.URL_CHARACTERS, _C.CHARACTERS, "characters of URLs (http:// or https://)"),
    _share(
        "special_fraction_data_juicer",
        (_C.NUMBERS, _C.SPACES, _C.PUNCTUATIONS),
        _C.CHARACTERS,
        "numbers, white space, punctuation and symbols",
    ),
)


def _repetition() -> Iterator[Statistic]:
    every, later = "that occur more than once", "that occurred before"
    for unit, whole, characters in (
        ("line", _C.TEXT_LINES, _C.TEXT_LINE_CHARACTERS),
        ("paragraph", _C.PARAGRAPHS, _C.PARAGRAPH_CHARACTERS),
    ):
        kind, name = unit.upper(), f"duplicate_{unit}_fraction"
        yield _share(f"{name}_dclm", _named(f"REPEATED_{kind}S"), whole, f"{unit}s {every}")
        yield _share(f"{name}_datatrove", _named(f"LATER_{kind}S"), whole, f"{unit}s {later}")
        part, name = _named(f"LATER_{kind}_CHARACTERS"), f"duplicate_{unit}_character_fraction"
        yield _share(
            f"{name}_dclm", _named(f"REPEATED_{kind}_CHARACTERS"), characters, f"characters of {unit}s {every}"
        )
        yield _share(f"{name}_datatrove", part, _C.CHARACTERS, f"all copies but the first of {unit}s, out of the text")
        if unit == "line":
            yield _share(f"{name}_fineweb", part, _C.INLINE_CHARACTERS, "the same, out of the text without newlines")
    for n in range(2, LARGEST_TOP + 1):
        name, words = f"top_{n}gram_character_fraction", f"the most frequent {n} words in a row"
        tokens = f"the most frequent {n} words or marks in a row"
        yield _share(
            f"{name}_dclm", _named(f"TOP_{n}"), _C.WORD_CHARACTERS, f"{words}, if they occur twice; ties to the longest"
        )
        yield _share(
            f"{name}_datatrove", _named(f"JOINED_TOP_{n}"), _C.CHARACTERS, f"{tokens}, and spaces; ties to the first"
        )
    for n in range(SMALLEST_COVERED, LARGEST_NGRAM + 1):
        name = f"duplicate_{n}gram_character_fraction"
        yield _share(f"{name}_dclm", _named(f"COVERED_{n}"), _C.WORD_CHARACTERS, f"words in {n}-grams {every}")
        yield _share(
            f"{name}_datatrove",
            _named(f"GREEDY_{n}"),
            _C.CHARACTERS,
            f"{n}-grams of words and marks {later}, met from left to right",
        )
        yield _share(
            f"{name}_dolma",
            _named(f"COPIED_{n}"),
            _named(f"NGRAM_CHARACTERS_{n}"),
            f"{n}-grams {every}, out of all",
        )
    yield _share(
        "repeated_10gram_fraction_data_juicer", _C.REPEATED_NGRAMS_10, _C.NGRAMS_10, f"10-grams {every}, by number"
    )


STATISTICS: dict[str, Statistic] = {
    statistic.name: statistic for statistic in (*_SIZES, *_WORDS, *_LINES, *_CHARACTERS, *_repetition())
}
"""Every statistic by name, in the order of the columns."""

TOKEN_NGRAMS = tuple(
    statistic.name
    for statistic in STATISTICS.values()
    if any(part.name.startswith(("JOINED_TOP_", "GREEDY_")) for part in statistic.parts)
)
"""datatrove's n-grams, over tokens in the place of words: a pass of their own over the document."""

SCHEMA = pa.schema(
    [
        pa.field(statistic.name, pa.int64() if statistic.whole is None else pa.float64(), nullable=False)
        for statistic in STATISTICS.values()
    ]
)
