"""What the model sees of a block: numbers that need no language.

Its own text (words, links, punctuation, capitals), what its names and the elements around it say, the four elements
that enclose it (their size, links, prose), the blocks that are built alike, its neighbours, and where it stands: in the
page, before or after the first heading, in or beside the elements that hold half and most of the page's prose. Prose
are blocks of ten words or more of which less than a third is links.

Memory: `FEATURES` and `SECOND` (`second`) numbers of 4 bytes a block. All sums over elements are differences of
running sums, since an element is a range of blocks: so the cost is linear in blocks, however they nest.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction import class_words as c
from corpusmill.dataproc.extraction import names as n
from corpusmill.dataproc.extraction.clusters import find_clusters
from corpusmill.dataproc.extraction.containers import (
    LEVELS,
    SUM_BYTES,
    SUM_LINKED,
    SUM_MARKS,
    SUM_PROSE,
    SUM_WORDS,
    distance,
    levels_to,
    link_share,
    log,
    share,
    smallest_with,
    write_article,
    write_levels,
)
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

PROSE_WORDS = 10
REACH = 3
"""Neighbours on each side."""

_TAG_GROUPS = "p h1 h2 h3 h4 h5 h6 li td th pre div dd dt figcaption blockquote button section article span".split()
_GROUP = np.zeros(n.TAG_NUMBERS, np.float32)
for _number, _name in enumerate(_TAG_GROUPS):
    _GROUP[n.TAGS[_name]] = _number + 1

_OWN = (
    "words characters link_share links bold_share word_length sentences_per_word commas_per_word digits capitals short"
    " signs last_kind first_kind line_breaks list_depth item depth tag_group quotes preformatted cell link_only bytes"
).split()
_LEVEL = "words links prose blocks words_per_block before after".split()
_CLUSTER = "words prose blocks links".split()
_PLACE = (
    "block_share word_share block page_blocks page_words page_links page_prose since_heading in_half in_most to_half"
    " to_most levels_to_half levels_to_most prose_before prose_after half_share most_share half_links most_links"
    " same_text title_like cluster_is_largest parent_prose_blocks said_kind data_kind articles headings article_share"
    " article_prose article_level since_title heading_is_link since_any_heading linked_headings"
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
_ARTICLE = n.TAGS["article"]
_H1 = n.TAGS["h1"]


@kernel_step
def _is_prose(block):
    size = block[b.END] - block[b.BEGIN]
    return block[b.WORDS] >= PROSE_WORDS and 3 * block[b.LINK_BYTES] < size


@kernel_step
def _is_heading(block):
    return 2 <= _GROUP[block[b.TAG]] <= 7


@kernel_step
def _is_link(block):
    return 10 * block[b.LINK_BYTES] >= 9 * (block[b.END] - block[b.BEGIN])


@kernel_step
def _write_own(block, row):
    size = block[b.END] - block[b.BEGIN]
    words = block[b.WORDS]
    row[0] = log(words)
    row[1] = log(block[b.CHARACTERS])
    row[2] = share(block[b.LINK_BYTES], size)
    row[3] = block[b.LINKS]
    row[4] = share(block[b.BOLD_BYTES], size)
    row[5] = share(block[b.CHARACTERS], words)
    row[6] = share(block[b.SENTENCES], words)
    row[7] = share(block[b.COMMAS], words)
    row[8] = share(block[b.DIGITS], block[b.CHARACTERS])
    row[9] = share(block[b.CAPITALS], block[b.CHARACTERS])
    row[10] = share(block[b.SHORT], words)
    row[11] = share(block[b.SIGNS], block[b.CHARACTERS])
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
    row[23] = log(size)
    at = 24
    for bit in range(_NEAR_BITS):
        row[at] = (block[b.NEAR] >> bit) & 1
        at += 1
    for bit in range(_IN_BITS):
        row[at] = (block[b.MASK] >> bit) & 1
        at += 1
    return at


@kernel
def write_features(kinds, blocks, elements, bits, slots, numbers, cluster_sums, sums, nearest, matrix):
    """Fills `matrix` float32 (N, FEATURES).

    `kinds` float32 (3,): what kind of page it says it is, twice, and the block of its title or -1. Scratch: slots
    int32 (2 ** bits,); numbers int32 (3, N): clusters by path, by classes, by text; cluster_sums int64 (3, N, 4); sums
    int64 (N + 1, SUMS), which is left as the second features need it; nearest int64 (N, 2).
    """
    count = np.int64(len(blocks))
    if count == 0:
        return
    sums[0, :] = 0
    for place in range(count):
        block = blocks[place]
        prose = block[b.WORDS] if _is_prose(block) else np.int64(0)
        sums[place + 1, SUM_WORDS] = sums[place, SUM_WORDS] + block[b.WORDS]
        sums[place + 1, SUM_BYTES] = sums[place, SUM_BYTES] + block[b.END] - block[b.BEGIN]
        sums[place + 1, SUM_LINKED] = sums[place, SUM_LINKED] + block[b.LINK_BYTES]
        sums[place + 1, SUM_PROSE] = sums[place, SUM_PROSE] + prose
        sums[place + 1, SUM_MARKS] = sums[place, SUM_MARKS] + (prose > 0)
    cluster_sums[:] = 0
    find_clusters(blocks, b.PATH, bits, slots, numbers[0])
    find_clusters(blocks, b.CLASSES, bits, slots, numbers[1])
    find_clusters(blocks, b.HASH, bits, slots, numbers[2])
    for kind in range(3):
        for place in range(count):
            cluster = cluster_sums[kind, numbers[kind, place]]
            cluster[0] += blocks[place, b.WORDS]
            cluster[1] += sums[place + 1, SUM_PROSE] - sums[place, SUM_PROSE]
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
    articles = np.int64(0)
    headings = np.int64(0)
    for element in range(len(elements)):
        articles += elements[element, b.ELEMENT_TAG] == _ARTICLE
        headings += elements[element, b.ELEMENT_TAG] == _H1
    half = smallest_with(0.5, elements, sums, count)
    most = smallest_with(0.85, elements, sums, count)
    linked = np.int64(0)
    for place in range(count):
        linked += _is_heading(blocks[place]) and _is_link(blocks[place])
    any_heading = np.int64(-100)
    heading_link = False
    whole = sums[count, SUM_PROSE]
    for place in range(count):
        block = blocks[place]
        row = matrix[place]
        at = _write_own(block, row)
        at = write_levels(place, blocks, elements, sums, row, at)
        for kind in range(_CLUSTERS):
            cluster = cluster_sums[kind, numbers[kind, place]]
            row[at] = share(cluster[0], sums[count, SUM_WORDS])
            row[at + 1] = share(cluster[1], whole)
            row[at + 2] = log(cluster[2])
            row[at + 3] = share(cluster[3], cluster[0] * 6)
            at += 4
        element = block[b.ELEMENT]
        row[at] = share(place, count)
        row[at + 1] = share(sums[place, SUM_WORDS], sums[count, SUM_WORDS])
        row[at + 2] = log(place)
        row[at + 3] = log(count)
        row[at + 4] = log(sums[count, SUM_WORDS])
        row[at + 5] = share(sums[count, SUM_LINKED], sums[count, SUM_BYTES])
        row[at + 6] = log(sums[count, SUM_MARKS])
        row[at + 7] = min(max(place - heading, -30), 200) if heading >= 0 else -99
        row[at + 8] = elements[half, b.FIRST] <= place < elements[half, b.LAST]
        row[at + 9] = elements[most, b.FIRST] <= place < elements[most, b.LAST]
        row[at + 10] = distance(place, half, elements)
        row[at + 11] = distance(place, most, elements)
        row[at + 12] = levels_to(element, half, elements)
        row[at + 13] = levels_to(element, most, elements)
        row[at + 14] = min(nearest[place, 0], 50)
        row[at + 15] = min(nearest[place, 1], 50)
        row[at + 16] = share(sums[elements[half, b.LAST], SUM_PROSE] - sums[elements[half, b.FIRST], SUM_PROSE], whole)
        row[at + 17] = share(elements[most, b.LAST] - elements[most, b.FIRST], count)
        row[at + 18] = link_share(half, elements, sums)
        row[at + 19] = link_share(most, elements, sums)
        row[at + 20] = log(cluster_sums[2, numbers[2, place], 2])
        row[at + 21] = heading >= 0 and blocks[heading, b.HASH] == block[b.HASH]
        row[at + 22] = numbers[1, place] == largest
        row[at + 23] = log(sums[elements[element, b.LAST], SUM_MARKS] - sums[elements[element, b.FIRST], SUM_MARKS])
        row[at + 24] = kinds[0]
        row[at + 25] = kinds[1]
        row[at + 26] = log(articles)
        row[at + 27] = min(headings, 9)
        write_article(element, elements, sums, row, at + 28)
        row[at + 31] = min(max(place - kinds[2], -30), 200) if kinds[2] >= 0 else -99
        row[at + 32] = heading_link
        row[at + 33] = min(place - any_heading, 50)
        row[at + 34] = log(linked)
        if _is_heading(block):
            any_heading = np.int64(place)
            heading_link = _is_link(block)
        at += 35
        for offset in range(-REACH, REACH + 1):
            if offset == 0:
                continue
            other = place + offset
            if 0 <= other < count:
                size = blocks[other, b.END] - blocks[other, b.BEGIN]
                row[at] = log(blocks[other, b.WORDS])
                row[at + 1] = share(blocks[other, b.LINK_BYTES], size)
                row[at + 2] = _GROUP[blocks[other, b.TAG]]
                row[at + 3] = blocks[other, b.LAST_KIND]
                row[at + 4] = blocks[other, b.CLASSES] == block[b.CLASSES]
                row[at + 5] = min(max(blocks[other, b.DEPTH] - block[b.DEPTH], -9), 9)
            else:
                for column in range(6):
                    row[at + column] = -10
            at += 6
