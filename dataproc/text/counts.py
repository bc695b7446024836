"""The plain counts that one pass over a document takes, before anything is divided: the columns of an int64 matrix.

Every statistic is one of these, or a sum of some divided by another (`dataproc.statistics`). Counts of one document
depend on its text alone, so they are the same however documents are batched.

Units (word, stretch, line, text line, paragraph, sentence) are defined in `dataproc.text.scan`, what repeats in
`dataproc.text.repetition`. Lengths are in characters, that is code points. Kernels compiled by njit hold these column
numbers as constants, so a change here asks for a fresh kernel cache.
"""

from enum import IntEnum, auto


class Count(IntEnum):
    """Column numbers, from 0."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[int]) -> int:
        return count

    BYTES = auto()
    CHARACTERS = auto()
    LETTERS = auto()
    NUMBERS = auto()
    SPACES = auto()
    PUNCTUATIONS = auto()
    HASH_MARKS = auto()
    ELLIPSES = auto()  # "…" and "...", a run of n dots counting n // 3 times
    CURLY_BRACKETS = auto()  # "{" only
    NEWLINES = auto()
    INLINE_CHARACTERS = auto()  # all but newlines
    XML_HEADERS = auto()  # 1 if "<?xml version=" stands within the first 100 characters

    WORDS = auto()
    WORD_CHARACTERS = auto()
    LONGEST_WORD = auto()
    SPACED_WORDS = auto()  # words with no letter of a script that is written without spaces
    SPACED_WORD_CHARACTERS = auto()
    UNSPACED_CHARACTERS = auto()  # letters and marks of such scripts
    SPACED_WORDS_OR_UNSPACED_CHARACTERS = auto()  # the sum of both
    STOP_WORDS = auto()
    DISTINCT_STOP_WORDS = auto()
    LOREM_IPSUMS = auto()  # the word "lorem" followed by the word "ipsum", in any case

    STRETCHES = auto()
    ALPHABETIC_STRETCHES = auto()  # with at least one letter
    LONGEST_STRETCH = auto()
    SENTENCES = auto()

    LINES = auto()
    LINE_CHARACTERS = auto()  # without line ends
    LONGEST_LINE = auto()
    TEXT_LINES = auto()
    TEXT_LINE_CHARACTERS = auto()
    BULLET_LINES = auto()  # text lines, as the next three
    ELLIPSIS_LINES = auto()
    TERMINAL_LINES = auto()
    SHORT_LINES = auto()
    PARAGRAPHS = auto()
    PARAGRAPH_CHARACTERS = auto()  # of its text lines, and one for each newline between two

    # REPEATED: every copy of what occurs at least twice. LATER: every copy but the first.
    REPEATED_LINES = auto()
    REPEATED_LINE_CHARACTERS = auto()
    LATER_LINES = auto()
    LATER_LINE_CHARACTERS = auto()
    REPEATED_PARAGRAPHS = auto()
    REPEATED_PARAGRAPH_CHARACTERS = auto()
    LATER_PARAGRAPHS = auto()
    LATER_PARAGRAPH_CHARACTERS = auto()

    # TOP_n: characters of the words of all occurrences of the most frequent n-gram, 0 if none occurs twice.
    TOP_2 = auto()
    TOP_3 = auto()
    TOP_4 = auto()
    # JOINED_TOP_n: the same with one space between words, ties to the first seen, counted even if it occurs once.
    JOINED_TOP_2 = auto()
    JOINED_TOP_3 = auto()
    JOINED_TOP_4 = auto()
    # COVERED_n: characters of words that lie in some n-gram that occurs at least twice.
    COVERED_5 = auto()
    COVERED_6 = auto()
    COVERED_7 = auto()
    COVERED_8 = auto()
    COVERED_9 = auto()
    COVERED_10 = auto()
    # GREEDY_n: from left to right, characters of n-grams met before; after each, the walk goes on behind it.
    GREEDY_5 = auto()
    GREEDY_6 = auto()
    GREEDY_7 = auto()
    GREEDY_8 = auto()
    GREEDY_9 = auto()
    GREEDY_10 = auto()
