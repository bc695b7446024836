"""The plain counts that one pass over a document takes, before anything is divided: the columns of an int64 matrix.

Every statistic is one of these, or a sum of some divided by another (`dataproc.measures.statistics`). Counts of one
document depend on its text alone, so they are the same however documents are batched.

Units are defined where they are counted: words and stretches in `dataproc.text.units`, lines, text lines and paragraphs
in `lines`, sentences in `marks`, what repeats in `repetition`. Lengths are in characters, that is code points. Kernels
compiled by njit hold these column numbers as constants, so a change here compiles them again.
"""

from enum import IntEnum, auto


class Count(IntEnum):
    """Column numbers, from 0."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[int]) -> int:
        return count

    DOCUMENTS = auto()  # 1: what a number of the whole document is divided by
    BYTES = auto()
    CHARACTERS = auto()
    LETTERS = auto()
    CAPITALS = auto()  # letters whose lower case is another letter
    NUMBERS = auto()
    SPACES = auto()
    PUNCTUATIONS = auto()
    MARK_RUNS = auto()  # punctuation and symbols, a run of the same ASCII one counting once
    HASH_MARKS = auto()
    ELLIPSES = auto()  # "…" and "...", a run of n dots counting n // 3 times
    SPACED_ELLIPSES = auto()  # ". . ."
    CURLY_BRACKETS = auto()  # "{" only
    BRACKETS = auto()  # ( ) [ ] { } and mathematical angle brackets
    NEWLINES = auto()
    INLINE_CHARACTERS = auto()  # all but newlines
    NOT_ALPHANUMERIC = auto()  # neither letters nor numbers
    NOT_ALPHANUMERIC_CURATOR = auto()  # of these, all but newlines and ? ! , .
    URLS = auto()
    URL_CHARACTERS = auto()
    XML_HEADERS = auto()  # 1 if "<?xml version=" stands within the first 100 characters

    WORDS = auto()
    WORD_CHARACTERS = auto()
    LONGEST_WORD = auto()
    DISTINCT_WORDS = auto()
    ALPHABETIC_WORDS = auto()  # with at least one letter
    TOKENS = auto()  # words, and runs of the same mark
    SPACED_WORDS = auto()  # words with no letter of a script that is written without spaces
    SPACED_WORD_CHARACTERS = auto()
    TWICE_MEDIAN_WORD = auto()  # of the lengths of these
    UNSPACED_CHARACTERS = auto()  # letters and marks of such scripts
    ALONE_CHARACTERS = auto()  # Han and kana among them
    SPACED_WORDS_OR_UNSPACED_CHARACTERS = auto()  # the sum of both
    ESTIMATED_WORDS = auto()  # the same sum, with so many characters taken as one word
    STOP_WORDS = auto()  # -1 for a language without a list, as the next
    DISTINCT_STOP_WORDS = auto()
    LOREM_IPSUMS = auto()  # the word "lorem" followed by the word "ipsum", in any case

    STRETCHES = auto()
    STRETCH_CHARACTERS = auto()
    ALPHABETIC_STRETCHES = auto()  # with at least one letter
    LONGEST_STRETCH = auto()
    TWICE_MEDIAN_STRETCH = auto()
    SYMBOL_STRETCHES_DOLMA = auto()  # with a "#" or "…"
    SYMBOL_STRETCHES_CURATOR = auto()  # that are nothing but "#" or an ellipsis
    SENTENCES = auto()

    LINES = auto()
    LINE_CHARACTERS = auto()  # without line ends
    LONGEST_LINE = auto()
    LONG_LINES = auto()  # of 200 characters or more
    TEXT_LINES = auto()
    TEXT_LINE_CHARACTERS = auto()
    # Text lines that begin with - * • ●, with any of Curator's bullets, with any of our own.
    DASH_LINES = auto()
    STAR_LINES = auto()
    DOT_LINES = auto()
    CIRCLE_LINES = auto()
    CURATOR_BULLET_LINES = auto()
    BULLET_LINES = auto()
    ELLIPSIS_LINES = auto()  # text lines, as all that follow
    TERMINAL_LINES = auto()
    TERMINAL_LINES_FINEWEB = auto()  # with nothing behind the mark, not even white space
    SHORT_LINES = auto()
    SHORT_LINES_FINEWEB = auto()  # short with the white space at their ends
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
    # COPIED_n: characters of all occurrences of n-grams that occur at least twice, over each other or not.
    COPIED_5 = auto()
    COPIED_6 = auto()
    COPIED_7 = auto()
    COPIED_8 = auto()
    COPIED_9 = auto()
    COPIED_10 = auto()
    # NGRAM_CHARACTERS_n: characters of all n-grams.
    NGRAM_CHARACTERS_5 = auto()
    NGRAM_CHARACTERS_6 = auto()
    NGRAM_CHARACTERS_7 = auto()
    NGRAM_CHARACTERS_8 = auto()
    NGRAM_CHARACTERS_9 = auto()
    NGRAM_CHARACTERS_10 = auto()
    NGRAMS_10 = auto()  # how many 10-grams there are
    REPEATED_NGRAMS_10 = auto()  # how many of these occur at least twice, each copy counted
