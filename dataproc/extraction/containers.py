"""Elements around a block in numbers: how much of the page they hold, and how far away they are.

An element is a range of blocks, so what it holds is a difference of running sums.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction import names as n
from corpusmill.dataproc.kernels.compiling import kernel_step

LEVELS = 5
SUM_WORDS, SUM_BYTES, SUM_LINKED, SUM_PROSE, SUM_MARKS = range(5)
"""Columns of the running sums; the last counts blocks of prose."""
SUMS = 5
_FAR = 12
_ARTICLE = n.TAGS["article"]


@kernel_step
def log(number):
    return np.float32(np.log2(number + 1.0))


@kernel_step
def share(part, whole):
    return np.float32(part) / np.float32(whole) if whole > 0 else np.float32(0.0)


@kernel_step
def write_levels(place, blocks, elements, sums, row, at):
    element = blocks[place, b.ELEMENT]
    count = len(blocks)
    for _ in range(LEVELS):
        first = elements[element, b.FIRST]
        last = elements[element, b.LAST]
        words = sums[last, SUM_WORDS] - sums[first, SUM_WORDS]
        row[at] = share(words, sums[count, SUM_WORDS])
        row[at + 1] = share(
            sums[last, SUM_LINKED] - sums[first, SUM_LINKED], sums[last, SUM_BYTES] - sums[first, SUM_BYTES]
        )
        row[at + 2] = share(sums[last, SUM_PROSE] - sums[first, SUM_PROSE], words)
        row[at + 3] = log(last - first)
        row[at + 4] = share(words, last - first)
        row[at + 5] = log(place - first)
        row[at + 6] = log(last - 1 - place)
        at += 7
        if elements[element, b.PARENT] >= 0:
            element = elements[element, b.PARENT]
    return at


@kernel_step
def smallest_with(part, elements, sums, count):
    """The last, and so the deepest, element that holds this part of the page's prose."""
    whole = sums[count, SUM_PROSE]
    found = np.int64(0)
    for element in range(len(elements)):
        prose = sums[elements[element, b.LAST], SUM_PROSE] - sums[elements[element, b.FIRST], SUM_PROSE]
        if prose >= part * whole:
            found = element
    return found


@kernel_step
def smallest_with_mass(part, running, elements):
    """The deepest element that holds this part of the words that the first model keeps."""
    whole = running[len(running) - 1]
    found = np.int64(0)
    for element in range(len(elements)):
        if running[elements[element, b.LAST]] - running[elements[element, b.FIRST]] >= part * whole:
            found = element
    return found


@kernel_step
def write_article(element, elements, sums, row, at):
    """The words and prose of the next `article` around, and how far up it is."""
    count = len(sums) - 1
    level = np.int64(0)
    while level < _FAR and elements[element, b.ELEMENT_TAG] != _ARTICLE and elements[element, b.PARENT] >= 0:
        element = elements[element, b.PARENT]
        level += 1
    first = elements[element, b.FIRST]
    last = elements[element, b.LAST]
    row[at] = share(sums[last, SUM_WORDS] - sums[first, SUM_WORDS], sums[count, SUM_WORDS])
    row[at + 1] = share(sums[last, SUM_PROSE] - sums[first, SUM_PROSE], sums[count, SUM_PROSE])
    row[at + 2] = level if elements[element, b.ELEMENT_TAG] == _ARTICLE else -1


@kernel_step
def levels_to(element, wanted, elements):
    """How far up the first element is that reaches around `wanted`; 12 at most."""
    for level in range(_FAR):
        if elements[element, b.FIRST] <= elements[wanted, b.FIRST] and (
            elements[element, b.LAST] >= elements[wanted, b.LAST]
        ):
            return level
        if elements[element, b.PARENT] < 0:
            return level
        element = elements[element, b.PARENT]
    return _FAR


@kernel_step
def distance(place, element, elements):
    """Blocks from here to an element, negative before it, 0 in it; by logarithm."""
    if place < elements[element, b.FIRST]:
        return -log(elements[element, b.FIRST] - place)
    return log(max(place - elements[element, b.LAST] + 1, 0))


@kernel_step
def link_share(element, elements, sums):
    first = elements[element, b.FIRST]
    last = elements[element, b.LAST]
    return share(sums[last, SUM_LINKED] - sums[first, SUM_LINKED], sums[last, SUM_BYTES] - sums[first, SUM_BYTES])
