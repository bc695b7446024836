"""What the model sees of a block: numbers that need no language.

Its own text (words, links, punctuation, capitals), what its names and the elements around it say, the four elements
that enclose it (their size, links, prose), the blocks that are built alike, its neighbours, and where it stands: in the
page, before or after the first heading, in or beside the elements that hold half and most of the page's prose. Prose
are blocks of ten words or more of which less than a third is links.

`second_features` adds what a first model says of all of these, so that a second one can smooth and cut.

Memory: `FEATURES` + `SECOND` numbers of 4 bytes a block. All sums over elements are differences of running sums, since
an element is a range of blocks: so the cost is linear in blocks, however they nest.
"""

# ruff: noqa: SIM905 - tables of words are read as words

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction import class_words as c
from corpusmill.dataproc.extraction import names as n
from corpusmill.dataproc.extraction.clusters import find_clusters
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

PROSE_WORDS = 10
LEVELS = 5
REACH = 3
"""Neighbours on each side."""
WINDOWS = (1, 2, 4, 8, 16)

_TAG_GROUPS = "p h1 h2 h3 h4 h5 h6 li td th pre div dd dt figcaption blockquote button section article span".split()
_GROUP = np.zeros(n.TAG_NUMBERS, np.float32)
for _number, _name in enumerate(_TAG_GROUPS):
    _GROUP[n.TAGS[_name]] = _number + 1

_SUM_WORDS, _SUM_BYTES, _SUM_LINKED, _SUM_PROSE, _SUM_MARKS = range(5)
SUMS = 5

_OWN = (
    "words characters link_share links bold_share word_length sentences_per_word commas_per_word digits capitals short"
    " signs last_kind first_kind line_breaks list_depth item depth tag_group quotes preformatted cell link_only bytes"
).split()
_LEVEL = "words links prose blocks words_per_block before after".split()
_CLUSTER = "words prose blocks links".split()
_PLACE = (
    "block_share word_share block page_blocks page_words page_links page_prose since_heading in_half in_most to_half"
    " to_most levels_to_half levels_to_most prose_before prose_after half_share most_share half_links most_links"
    " same_text title_like cluster_is_largest parent_prose_blocks"
).split()
_NEIGHBOUR = "words link_share tag_group ends same_path near_depth".split()
NAMES = (
    _OWN
    + [f"near:{name}" for name in c.CATEGORIES[:-3]]
    + [f"in:{place}" for place in range(c.MASK_BITS - 3)]
    + [f"level{level}:{name}" for level in range(LEVELS) for name in _LEVEL]
    + [f"{cluster}:{name}" for cluster in ("path", "classes") for name in _CLUSTER]
    + _PLACE
    + [f"{place:+}:{name}" for place in (*range(-REACH, 0), *range(1, REACH + 1)) for name in _NEIGHBOUR]
)
FEATURES = len(NAMES)
_NEAR_BITS = len(c.CATEGORIES) - 3
_IN_BITS = c.MASK_BITS - 3
_CLUSTERS = 2

SECOND_NAMES = (
    ["score"]
    + [f"score{place:+}" for place in (*range(-4, 0), *range(1, 5))]
    + [f"mean{side}{window}" for window in WINDOWS for side in ("-", "+")]
    + [f"level{level}:score" for level in range(LEVELS)]
    + ["path:score", "classes:score", "page:score", "half:score", "most:score", "before:score", "after:score"]
    + ["to_good_before", "to_good_after", "kept_words", "siblings_before", "siblings_after"]
)
SECOND = len(SECOND_NAMES)


@kernel_step
def _log(number):
    return np.float32(np.log2(number + 1.0))


@kernel_step
def _share(part, whole):
    return np.float32(part) / np.float32(whole) if whole > 0 else np.float32(0.0)


@kernel_step
def _is_prose(block):
    size = block[b.END] - block[b.BEGIN]
    return block[b.WORDS] >= PROSE_WORDS and 3 * block[b.LINK_BYTES] < size


@kernel_step
def _write_own(block, row):
    size = block[b.END] - block[b.BEGIN]
    words = block[b.WORDS]
    row[0] = _log(words)
    row[1] = _log(block[b.CHARACTERS])
    row[2] = _share(block[b.LINK_BYTES], size)
    row[3] = block[b.LINKS]
    row[4] = _share(block[b.BOLD_BYTES], size)
    row[5] = _share(block[b.CHARACTERS], words)
    row[6] = _share(block[b.SENTENCES], words)
    row[7] = _share(block[b.COMMAS], words)
    row[8] = _share(block[b.DIGITS], block[b.CHARACTERS])
    row[9] = _share(block[b.CAPITALS], block[b.CHARACTERS])
    row[10] = _share(block[b.SHORT], words)
    row[11] = _share(block[b.SIGNS], block[b.CHARACTERS])
    row[12] = block[b.LAST_KIND]
    row[13] = block[b.FIRST_KIND]
    row[14] = block[b.LINE_BREAKS]
    row[15] = block[b.LIST_DEPTH]
    row[16] = min(max(block[b.ITEM], -1), 20)
    row[17] = block[b.DEPTH]
    row[18] = _GROUP[block[b.TAG]]
    row[19] = block[b.QUOTES]
    row[20] = block[b.PRE_ELEMENT] >= 0
    row[21] = block[b.CELL_NUMBER] > 0
    row[22] = 10 * block[b.LINK_BYTES] >= 9 * size
    row[23] = _log(size)
    at = 24
    for bit in range(_NEAR_BITS):
        row[at] = (block[b.NEAR] >> bit) & 1
        at += 1
    for bit in range(_IN_BITS):
        row[at] = (block[b.MASK] >> bit) & 1
        at += 1
    return at


@kernel_step
def _write_levels(place, blocks, elements, sums, row, at):
    element = blocks[place, b.ELEMENT]
    count = len(blocks)
    for _ in range(LEVELS):
        first = elements[element, b.FIRST]
        last = elements[element, b.LAST]
        words = sums[last, _SUM_WORDS] - sums[first, _SUM_WORDS]
        row[at] = _share(words, sums[count, _SUM_WORDS])
        row[at + 1] = _share(
            sums[last, _SUM_LINKED] - sums[first, _SUM_LINKED], sums[last, _SUM_BYTES] - sums[first, _SUM_BYTES]
        )
        row[at + 2] = _share(sums[last, _SUM_PROSE] - sums[first, _SUM_PROSE], words)
        row[at + 3] = _log(last - first)
        row[at + 4] = _share(words, last - first)
        row[at + 5] = _log(place - first)
        row[at + 6] = _log(last - 1 - place)
        at += 7
        if elements[element, b.PARENT] >= 0:
            element = elements[element, b.PARENT]
    return at


@kernel_step
def _smallest_with(part, elements, sums, count):
    """The last, and so the deepest, element that holds this part of the page's prose."""
    whole = sums[count, _SUM_PROSE]
    found = np.int64(0)
    for element in range(len(elements)):
        prose = sums[elements[element, b.LAST], _SUM_PROSE] - sums[elements[element, b.FIRST], _SUM_PROSE]
        if prose >= part * whole:
            found = element
    return found


@kernel_step
def _levels_to(element, wanted, elements):
    """How far up the first element is that reaches around `wanted`; 12 at most."""
    for level in range(12):
        if elements[element, b.FIRST] <= elements[wanted, b.FIRST] and (
            elements[element, b.LAST] >= elements[wanted, b.LAST]
        ):
            return level
        if elements[element, b.PARENT] < 0:
            return level
        element = elements[element, b.PARENT]
    return 12


@kernel_step
def _distance(place, element, elements):
    """Blocks from here to an element, negative before it, 0 in it; by logarithm."""
    if place < elements[element, b.FIRST]:
        return -_log(elements[element, b.FIRST] - place)
    return _log(max(place - elements[element, b.LAST] + 1, 0))


@kernel_step
def _link_share(element, elements, sums):
    first = elements[element, b.FIRST]
    last = elements[element, b.LAST]
    return _share(sums[last, _SUM_LINKED] - sums[first, _SUM_LINKED], sums[last, _SUM_BYTES] - sums[first, _SUM_BYTES])


@kernel
def write_features(blocks, elements, bits, slots, numbers, cluster_sums, sums, nearest, matrix):
    """Fills `matrix` float32 (N, FEATURES).

    Scratch: slots int32 (2 ** bits,); numbers int32 (3, N): clusters by path, by classes, by text; cluster_sums int64
    (3, N, 4); sums int64 (N + 1, SUMS), which is left as the second features need it; nearest int64 (N, 2).
    """
    count = np.int64(len(blocks))
    if count == 0:
        return
    sums[0, :] = 0
    for place in range(count):
        block = blocks[place]
        prose = block[b.WORDS] if _is_prose(block) else np.int64(0)
        sums[place + 1, _SUM_WORDS] = sums[place, _SUM_WORDS] + block[b.WORDS]
        sums[place + 1, _SUM_BYTES] = sums[place, _SUM_BYTES] + block[b.END] - block[b.BEGIN]
        sums[place + 1, _SUM_LINKED] = sums[place, _SUM_LINKED] + block[b.LINK_BYTES]
        sums[place + 1, _SUM_PROSE] = sums[place, _SUM_PROSE] + prose
        sums[place + 1, _SUM_MARKS] = sums[place, _SUM_MARKS] + (prose > 0)
    cluster_sums[:] = 0
    find_clusters(blocks, b.PATH, bits, slots, numbers[0])
    find_clusters(blocks, b.CLASSES, bits, slots, numbers[1])
    find_clusters(blocks, b.HASH, bits, slots, numbers[2])
    for kind in range(3):
        for place in range(count):
            cluster = cluster_sums[kind, numbers[kind, place]]
            cluster[0] += blocks[place, b.WORDS]
            cluster[1] += sums[place + 1, _SUM_PROSE] - sums[place, _SUM_PROSE]
            cluster[2] += 1
            cluster[3] += blocks[place, b.LINK_BYTES]
    largest = np.int64(0)
    for place in range(count):
        if cluster_sums[1, place, 1] > cluster_sums[1, largest, 1]:
            largest = place
    heading = np.int64(-1)
    last = np.int64(-100)
    for place in range(count):
        if heading < 0 and _GROUP[blocks[place, b.TAG]] == 2:
            heading = place
        nearest[place, 0] = place - last
        if _is_prose(blocks[place]):
            last = place
    last = count + 100
    for place in range(count - 1, -1, -1):
        nearest[place, 1] = last - place
        if _is_prose(blocks[place]):
            last = place
    half = _smallest_with(0.5, elements, sums, count)
    most = _smallest_with(0.85, elements, sums, count)
    whole = sums[count, _SUM_PROSE]
    for place in range(count):
        block = blocks[place]
        row = matrix[place]
        at = _write_own(block, row)
        at = _write_levels(place, blocks, elements, sums, row, at)
        for kind in range(_CLUSTERS):
            cluster = cluster_sums[kind, numbers[kind, place]]
            row[at] = _share(cluster[0], sums[count, _SUM_WORDS])
            row[at + 1] = _share(cluster[1], whole)
            row[at + 2] = _log(cluster[2])
            row[at + 3] = _share(cluster[3], cluster[0] * 6)
            at += 4
        element = block[b.ELEMENT]
        row[at] = _share(place, count)
        row[at + 1] = _share(sums[place, _SUM_WORDS], sums[count, _SUM_WORDS])
        row[at + 2] = _log(place)
        row[at + 3] = _log(count)
        row[at + 4] = _log(sums[count, _SUM_WORDS])
        row[at + 5] = _share(sums[count, _SUM_LINKED], sums[count, _SUM_BYTES])
        row[at + 6] = _log(sums[count, _SUM_MARKS])
        row[at + 7] = min(max(place - heading, -30), 200) if heading >= 0 else -99
        row[at + 8] = elements[half, b.FIRST] <= place < elements[half, b.LAST]
        row[at + 9] = elements[most, b.FIRST] <= place < elements[most, b.LAST]
        row[at + 10] = _distance(place, half, elements)
        row[at + 11] = _distance(place, most, elements)
        row[at + 12] = _levels_to(element, half, elements)
        row[at + 13] = _levels_to(element, most, elements)
        row[at + 14] = min(nearest[place, 0], 50)
        row[at + 15] = min(nearest[place, 1], 50)
        row[at + 16] = _share(
            sums[elements[half, b.LAST], _SUM_PROSE] - sums[elements[half, b.FIRST], _SUM_PROSE], whole
        )
        row[at + 17] = _share(elements[most, b.LAST] - elements[most, b.FIRST], count)
        row[at + 18] = _link_share(half, elements, sums)
        row[at + 19] = _link_share(most, elements, sums)
        row[at + 20] = _log(cluster_sums[2, numbers[2, place], 2])
        row[at + 21] = heading >= 0 and blocks[heading, b.HASH] == block[b.HASH]
        row[at + 22] = numbers[1, place] == largest
        row[at + 23] = _log(sums[elements[element, b.LAST], _SUM_MARKS] - sums[elements[element, b.FIRST], _SUM_MARKS])
        at += 24
        for offset in range(-REACH, REACH + 1):
            if offset == 0:
                continue
            other = place + offset
            if 0 <= other < count:
                size = blocks[other, b.END] - blocks[other, b.BEGIN]
                row[at] = _log(blocks[other, b.WORDS])
                row[at + 1] = _share(blocks[other, b.LINK_BYTES], size)
                row[at + 2] = _GROUP[blocks[other, b.TAG]]
                row[at + 3] = blocks[other, b.LAST_KIND]
                row[at + 4] = blocks[other, b.CLASSES] == block[b.CLASSES]
                row[at + 5] = min(max(blocks[other, b.DEPTH] - block[b.DEPTH], -9), 9)
            else:
                for column in range(6):
                    row[at + column] = -10
            at += 6


@kernel_step
def _mean(running, sums, first, last):
    """The mean score of blocks, by their words."""
    words = sums[last, _SUM_WORDS] - sums[first, _SUM_WORDS] + (last - first)
    return np.float32((running[last] - running[first]) / words) if words > 0 else np.float32(-1.0)


@kernel
def write_second(scores, blocks, elements, numbers, cluster_sums, sums, nearest, running, by_cluster, matrix, first):
    """Fills the columns of `matrix` from `first` on by what the first model says: `scores` float32 (N,).

    The other arrays are as `write_features` left them; running float64 (N + 1,)
    and by_cluster float64 (2, N) are scratch.
    """
    count = np.int64(len(blocks))
    running[0] = 0.0
    by_cluster[:] = 0.0
    last = np.int64(-100)
    for place in range(count):
        weighed = scores[place] * (blocks[place, b.WORDS] + 1)
        running[place + 1] = running[place] + weighed
        for kind in range(2):
            by_cluster[kind, numbers[kind, place]] += weighed
        nearest[place, 0] = min(place - last, 60)
        if scores[place] > 0.5:
            last = place
    last = count + 100
    for place in range(count - 1, -1, -1):
        nearest[place, 1] = min(last - place, 60)
        if scores[place] > 0.5:
            last = place
    half = _smallest_with(0.5, elements, sums, count)
    most = _smallest_with(0.85, elements, sums, count)
    for place in range(count):
        row = matrix[place]
        at = first
        row[at] = scores[place]
        at += 1
        for offset in range(-4, 5):
            if offset != 0:
                row[at] = scores[place + offset] if 0 <= place + offset < count else -1.0
                at += 1
        for window in WINDOWS:
            row[at] = _mean(running, sums, max(place - window, 0), place)
            row[at + 1] = _mean(running, sums, place + 1, min(place + 1 + window, count))
            at += 2
        element = blocks[place, b.ELEMENT]
        inner = element
        for _ in range(LEVELS):
            row[at] = _mean(running, sums, elements[element, b.FIRST], elements[element, b.LAST])
            at += 1
            if elements[element, b.PARENT] >= 0:
                element = elements[element, b.PARENT]
        for kind in range(2):
            number = numbers[kind, place]
            row[at] = by_cluster[kind, number] / (cluster_sums[kind, number, 0] + cluster_sums[kind, number, 2])
            at += 1
        row[at] = _mean(running, sums, np.int64(0), count)
        row[at + 1] = _mean(running, sums, elements[half, b.FIRST], elements[half, b.LAST])
        row[at + 2] = _mean(running, sums, elements[most, b.FIRST], elements[most, b.LAST])
        row[at + 3] = _mean(running, sums, np.int64(0), np.int64(place))
        row[at + 4] = _mean(running, sums, np.int64(place + 1), count)
        row[at + 5] = nearest[place, 0]
        row[at + 6] = nearest[place, 1]
        row[at + 7] = _log(running[count])
        row[at + 8] = _mean(running, sums, elements[inner, b.FIRST], np.int64(place))
        row[at + 9] = _mean(running, sums, np.int64(place + 1), max(elements[inner, b.LAST], np.int64(place + 1)))
