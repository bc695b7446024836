"""What single marks of a document say, of which there are few: sentences, ellipses of dots, URLs, an XML header.

sentence   ends at a run of TERMINAL marks followed by white space or the end (closing quotes and brackets may come
           between) or, where a mark is not ASCII, by anything: no space follows 。
URL        "http://" or "https://", and all up to the next white space
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.kernels.compiling import kernel_step
from corpusmill.dataproc.kernels.utf8 import decode
from corpusmill.dataproc.text.bits import bytes_between, low_bits, lowest, next_one, ones_between
from corpusmill.dataproc.text.counts import Count
from corpusmill.dataproc.text.unicode_tables import PUNCTUATION, SPACE, TERMINAL

CLOSERS = "\"')]}”’»」』）】》〉"
"""What may stand between the last mark of a sentence and the white space after it."""

_CLOSERS = np.array([ord(mark) for mark in CLOSERS], np.int64)
_XML_HEADER = np.frombuffer(b"<?xml version=", np.uint8)
_XML_HEADER_WITHIN = 100
_HTTP = np.frombuffer(b"http", np.uint8)
_SPACE, _DOT, _SLASH, _COLON, _LETTER_S = 32, 46, 47, 58, 115


@kernel_step
def count_marks(data, start, stop, classes, bitmaps, row):
    """Counts in data[start:stop] what the module names."""
    row[Count.SENTENCES] = _count_sentences(data, start, stop, classes, bitmaps.terminals)
    row[Count.XML_HEADERS] = _has_xml_header(data, start, stop, bitmaps.marks)
    row[Count.SPACED_ELLIPSES] = 0
    if bitmaps.marks[_DOT] >= 3:
        _count_dots(data, start, stop, row)
    row[Count.URLS] = row[Count.URL_CHARACTERS] = 0
    if bitmaps.marks[_COLON] > 0 and bitmaps.marks[_SLASH] > 1:
        _count_urls(data, start, stop, bitmaps, row)


@kernel_step
def _is_closer(code):
    for closer in _CLOSERS:  # noqa: SIM110 - numba compiles no generator expression
        if code == closer:
            return True
    return False


@kernel_step
def _count_sentences(data, start, stop, classes, terminals):
    size = stop - start
    sentences = np.int64(0)
    place = next_one(terminals, np.int64(0), size)
    while place < size:
        wide, ends = False, True
        while place < size:
            code, length = decode(data, start + place, stop)
            flags = np.int64(classes[np.uint64(code)])
            if flags & TERMINAL:
                wide = wide or code >= 128
            elif flags & PUNCTUATION == 0 or not _is_closer(code):
                ends = wide or flags & SPACE != 0
                break
            place += length
        sentences += np.int64(ends)
        place = next_one(terminals, place, size)
    return sentences


@kernel_step
def _has_xml_header(data, start, stop, marks):
    """1 if the header stands within the first 100 characters, else 0."""
    if marks[_XML_HEADER[0]] == 0 or marks[_XML_HEADER[1]] == 0:
        return np.int64(0)
    position, left = start, np.int64(_XML_HEADER_WITHIN - _XML_HEADER.size)
    while left >= 0 and position + _XML_HEADER.size <= stop:
        offset = np.int64(0)
        while offset < _XML_HEADER.size and data[np.uint64(position + offset)] == _XML_HEADER[offset]:
            offset += 1
        if offset == _XML_HEADER.size:
            return np.int64(1)
        _, length = decode(data, position, stop)
        position += length
        left -= 1
    return np.int64(0)


@kernel_step
def _count_dots(data, start, stop, row):
    """Adds "...", a run of n dots counting n // 3 times, to ELLIPSES; counts ". . ." in SPACED_ELLIPSES."""
    run = spaced = np.int64(0)
    spaced_from = start
    position = start
    while position < stop:
        within = min(stop - position, np.int64(64))
        dots = bytes_between(data, position, np.uint8(_DOT), np.uint8(_DOT)) & low_bits(within)
        near = (dots >> np.uint64(1)) | (dots >> np.uint64(2))
        if run or dots & near or dots >> np.uint64(60):
            for place in range(within):
                if (dots >> np.uint64(place)) & np.uint64(1):
                    run += 1
                    spot = position + place
                    if spot >= spaced_from and spot + 5 <= stop and _is_spaced(data, spot):
                        spaced += 1
                        spaced_from = spot + 5
                else:
                    row[Count.ELLIPSES] += run // 3
                    run = np.int64(0)
        position += 64
    row[Count.ELLIPSES] += run // 3
    row[Count.SPACED_ELLIPSES] = spaced


@kernel_step
def _is_spaced(data, spot):
    """Whether ". . ." begins with the dot at `spot`."""
    if data[np.uint64(spot + 1)] != _SPACE or data[np.uint64(spot + 2)] != _DOT:
        return False
    return data[np.uint64(spot + 3)] == _SPACE and data[np.uint64(spot + 4)] == _DOT


@kernel_step
def _count_urls(data, start, stop, bitmaps, row):
    urls = characters = np.int64(0)
    free_from = start  # behind the last URL
    position = start
    while position < stop:
        colons = bytes_between(data, position, np.uint8(_COLON), np.uint8(_COLON))
        colons &= low_bits(min(stop - position, np.int64(64)))
        while colons != 0:
            spot = position + lowest(colons)
            colons &= colons - np.uint64(1)
            begin = _scheme_start(data, free_from, spot, stop)
            if begin >= 0:
                end = next_one(bitmaps.spaces, spot - start, stop - start)
                urls += 1
                characters += end - (begin - start) - ones_between(bitmaps.continuing, begin - start, end)
                free_from = start + end
        position += 64
    row[Count.URLS] = urls
    row[Count.URL_CHARACTERS] = characters


@kernel_step
def _scheme_start(data, first, colon, stop):
    """Where the "http" or "https" before "://" begins, not before `first`; -1 if it does not stand there."""
    if colon + 3 > stop or data[np.uint64(colon + 1)] != _SLASH or data[np.uint64(colon + 2)] != _SLASH:
        return np.int64(-1)
    begin = colon - 4
    if colon > first and data[np.uint64(colon - 1)] == _LETTER_S:
        begin -= 1
    if begin < first:
        return np.int64(-1)
    for offset in range(_HTTP.size):
        if data[np.uint64(begin + offset)] != _HTTP[offset]:
            return np.int64(-1)
    return begin
