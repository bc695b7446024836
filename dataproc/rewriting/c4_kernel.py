"""C4's rules for lines in one pass: measure a line, copy it without citations, look at what was copied, keep or drop
it.

A line is copied behind the lines that are kept before anything is known of its words, because the rules look at it
without citations ("java[1]script" names JavaScript); where it is dropped, the next one is written over it. What is
left is never longer than what came in, so the output has room from the start.

Phrases are found by their rarest letter (`anchors`), in ASCII's upper and lower case alike. So most bytes of a line
cost one look into a table of 256.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_in_place, kernel_step
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.rewriting.citation_marks import copy_bytes
from corpusmill.dataproc.rewriting.line_units import last_character, measure_line, trim
from corpusmill.dataproc.text.scan import CLOSERS
from corpusmill.dataproc.text.unicode_tables import PUNCTUATION, SPACE, TERMINAL

TERMINAL_MARKS = ".?!\"'"
"""What a line ends with, after C4 (and datatrove's list, which has the apostrophe)."""

CLOSING_QUOTES = "”’»«›‹」』〞＂＇"
"""What else a line may end with under `any-script`, beside the marks that end a sentence in any script."""

NO_MARK, C4_MARKS, ANY_MARK = 0, 1, 2
LOREM_IPSUM, JAVASCRIPT, POLICY = 0, 1, 2
SENTENCES, KEPT_LINES, LOREMS, CURLY_BRACKETS, WORDS, REMOVED_WORDS = range(6)
"""Columns of `counts`."""

_RAREST_FIRST = b"qjxzkvbpywfgmculdhrsnioate "
_LOWER = np.array([code | 0x20 if 0x41 <= code <= 0x5A else code for code in range(256)], np.uint8)
_MARKS = np.array([ord(mark) for mark in TERMINAL_MARKS], np.int64)
_QUOTES = np.array([ord(mark) for mark in TERMINAL_MARKS[-2:] + CLOSING_QUOTES], np.int64)
_CLOSERS = np.array([ord(mark) for mark in CLOSERS], np.int64)
_NEWLINE, _DOT, _CURLY_BRACKET = 10, 46, 123

_PLAIN, _BLANK, _OTHER, _WIDE = 0, 1, 2, 3


class Phrases(NamedTuple):
    """Phrases to look for: P of them, over one array of bytes.

    `roles` int64 (P,); `bounds` int64 (P + 1,); `data` uint8, in lower case; `anchors` int64 (P,), the place of the
    rarest letter in each; `kinds` uint8 (256,), what a byte is to a scan for them.
    """

    roles: np.ndarray
    bounds: np.ndarray
    data: np.ndarray
    anchors: np.ndarray
    kinds: np.ndarray


class Limits(NamedTuple):
    """What lines are kept; 1 and 0 for yes and no.

    Attributes:
        fewest_words: of a line.
        longest_word: characters that a word may have; 0 for no limit.
        terminal: how a line must end: NO_MARK, C4_MARKS or ANY_MARK.
        citations: whether they are removed.
        blank_lines: whether one is kept where there are some.
    """

    fewest_words: int
    longest_word: int
    terminal: int
    citations: int
    blank_lines: int


def phrase_table(phrases: Sequence[tuple[int, str]]) -> Phrases:
    """The table of (role, phrase in lower case), none of which is empty."""
    encoded = [phrase.encode() for _, phrase in phrases]
    bounds = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(phrase) for phrase in encoded], out=bounds[1:])
    rarity = [_RAREST_FIRST.find(byte) for byte in range(256)]  # -1 for what is no letter: rarer still
    anchors = np.array(
        [min(range(len(phrase)), key=lambda place: rarity[phrase[place]]) for phrase in encoded], np.int64
    )
    kinds = np.full(256, _PLAIN, np.uint8)
    kinds[[code for code in range(128) if chr(code).isspace()]] = _BLANK
    kinds[128:] = _WIDE
    kinds[[*TERMINAL_MARKS[:3].encode(), _CURLY_BRACKET]] = _OTHER
    for phrase, place in zip(encoded, anchors, strict=True):
        if phrase[place] < 128:
            kinds[list(phrase[place : place + 1].lower() + phrase[place : place + 1].upper())] = _OTHER
    table = Phrases(
        np.array([role for role, _ in phrases], np.int64),
        bounds,
        np.frombuffer(b"".join(encoded) or b" ", np.uint8),
        anchors,
        kinds,
    )
    for array in table:
        array.flags.writeable = False
    return table


@kernel_step
def _is_one_of(code, codes):
    for other in codes:  # noqa: SIM110 - numba compiles no generator expression
        if code == other:
            return True
    return False


@kernel_step
def _phrase_at(data, start, stop, position, phrases, phrase):
    """Whether the phrase stands with its anchor at `position`, inside data[start:stop]."""
    first = phrases.bounds[phrase]
    size = phrases.bounds[phrase + 1] - first
    begin = position - phrases.anchors[phrase]
    if begin < start or begin + size > stop:
        return False
    for place in range(size):  # noqa: SIM110
        if _LOWER[data[begin + place]] != phrases.data[first + place]:
            return False
    return True


@kernel_step
def _ends_well(data, start, stop, classes, terminal):
    """Whether the line data[start:stop] ends as lines that are kept do."""
    if terminal == NO_MARK:
        return True
    if stop == start:
        return False
    _, code = last_character(data, start, stop)
    if stop - start >= 3 and data[stop - 1] == _DOT and data[stop - 2] == _DOT and data[stop - 3] == _DOT:
        return False
    if terminal == C4_MARKS:
        return _is_one_of(code, _MARKS)
    return classes[code] & TERMINAL != 0 or _is_one_of(code, _QUOTES)


@kernel_step
def _scan_line(data, start, stop, classes, phrases):
    """(lorem ipsums, javascripts, policy phrases, curly brackets, sentences) of a line, all int64.

    A sentence ends as `dataproc.text.scan` says; what stands after the last end is one more.
    """
    lorems = javascripts = policies = brackets = sentences = np.int64(0)
    is_open = waiting = wide = False  # text since the last end; marks wait for what follows; one of them is not ASCII
    position = start
    while position < stop:
        byte = data[np.uint64(position)]
        kind = phrases.kinds[np.uint64(byte)]
        if kind <= _BLANK and not waiting:
            is_open = is_open or kind == _PLAIN
            position += 1
            continue
        code, length = np.int64(byte), np.int64(1)
        if kind == _WIDE:
            code, length = decode(data, position, stop)
        if kind >= _OTHER:
            brackets += np.int64(code == _CURLY_BRACKET)
            for phrase in range(phrases.roles.shape[0]):
                if phrases.data[phrases.bounds[phrase] + phrases.anchors[phrase]] != _LOWER[byte]:
                    continue
                if _phrase_at(data, start, stop, position, phrases, phrase):
                    lorems += np.int64(phrases.roles[phrase] == LOREM_IPSUM)
                    javascripts += np.int64(phrases.roles[phrase] == JAVASCRIPT)
                    policies += np.int64(phrases.roles[phrase] == POLICY)
        flags = classes[code]
        if waiting and flags & TERMINAL == 0 and not (flags & PUNCTUATION and _is_one_of(code, _CLOSERS)):
            if wide or flags & SPACE:
                sentences += 1
                is_open = False
            waiting = wide = False
        is_open = is_open or flags & SPACE == 0
        if flags & TERMINAL:
            waiting = True
            wide = wide or code >= 128
        position += length
    return lorems, javascripts, policies, brackets, sentences + np.int64(is_open)


@kernel_in_place
def rewrite_lines(offsets, data, spared, classes, phrases, limits, bounds, out, written, counts):
    """Writes the kept lines of all texts to `out`.

    Args:
        offsets, data: the texts, as from `documents.text_buffers`.
        spared: uint8 (N,), 1 for texts that are copied as they are, with all numbers 0.
        classes: of `unicode_tables.load_tables()`.
        phrases: a `Phrases`.
        limits: a `Limits`.
        bounds: int64 (N + 1,) of zeros, filled with where each text lies in `out`.
        out: uint8 with room for all bytes that come in, and one more.
        written: the same array, read-only: so that what reads texts and what is written is compiled once.
        counts: int64 (N, 6) of zeros, filled.
    """
    position = np.int64(0)
    for document in range(offsets.shape[0] - 1):
        begin = position
        place, stop = offsets[document], offsets[document + 1]
        if spared[document]:
            position, _ = copy_bytes(data, place, stop, out, position, True)
            bounds[document + 1] = position
            continue
        lines = all_words = removed_words = lorem_count = bracket_count = sentence_count = np.int64(0)
        newlines = np.int64(0)  # before the next line that is kept
        while place < stop:
            _, following, text_start, text_stop, words, longest = measure_line(data, place, stop, classes)
            place = following
            if limits.blank_lines and text_start == text_stop:
                newlines = np.int64(2 if lines else 0)
                continue
            all_words += words
            removed_words += words
            if words < limits.fewest_words or (limits.longest_word > 0 and longest > limits.longest_word):
                continue
            line = position + newlines
            end, _ = copy_bytes(data, text_start, text_stop, out, line, limits.citations == 0)
            if not _ends_well(written, line, end, classes, limits.terminal):
                continue
            lorems, javascripts, policies, brackets, sentences = _scan_line(written, line, end, classes, phrases)
            lorem_count += lorems
            if javascripts:
                continue
            bracket_count += brackets
            if policies:
                continue
            for newline in range(position, line):
                out[newline] = _NEWLINE
            position = end
            newlines = np.int64(1)
            lines += 1
            removed_words -= words
            sentence_count += sentences
        first, last = trim(written, begin, position, classes)
        if first > begin:
            last, _ = copy_bytes(written, first, last, out, begin, True)
        position = last
        row = np.uint64(document)
        counts[row, SENTENCES] = sentence_count
        counts[row, KEPT_LINES] = lines
        counts[row, LOREMS] = lorem_count
        counts[row, CURLY_BRACKETS] = bracket_count
        counts[row, WORDS] = all_words
        counts[row, REMOVED_WORDS] = removed_words
        bounds[document + 1] = position
