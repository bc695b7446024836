"""What the second model also sees: what the first one says of a block, of its neighbours and of what encloses it.

Scores are weighed by words. The elements that hold half and most of what the first model keeps, the blocks built alike,
and the longest run of kept blocks say where the content is, so that the second model can fill gaps and cut islands.
"""

# mypy: disable-error-code="assignment"
# (numba unifies int and np.int64, which mypy holds apart)

import numpy as np

from corpusmill.dataproc.extraction import blocks as b
from corpusmill.dataproc.extraction.containers import (
    LEVELS,
    SUM_WORDS,
    distance,
    levels_to,
    log,
    smallest_with,
    smallest_with_mass,
)
from corpusmill.dataproc.kernels.compiling import kernel, kernel_step

WINDOWS = (1, 2, 4, 8, 16)
_GAP = 3
"""So many blocks between two that the first model keeps do not end a run of them."""

SECOND_NAMES = (
    ["score"]
    + [f"score{place:+}" for place in (*range(-4, 0), *range(1, 5))]
    + [f"mean{side}{window}" for window in WINDOWS for side in ("-", "+")]
    + [f"level{level}:score" for level in range(LEVELS)]
    + ["path:score", "classes:score", "page:score", "half:score", "most:score", "before:score", "after:score"]
    + ["path:mass", "classes:mass", "classes:largest", "in_half", "in_most", "to_half", "to_most", "levels_to_half"]
    + ["levels_to_most", "run:mass", "run:best", "run:to_best"]
    + ["to_good_before", "to_good_after", "kept_words", "siblings_before", "siblings_after"]
)
SECOND = len(SECOND_NAMES)


@kernel_step
def _find_runs(scores, running, runs):
    """Fills `runs` by the words that are kept in the run of a block, 0 outside of any; gives where the largest is."""
    count = np.int64(len(scores))
    best_first = np.int64(0)
    best_last = np.int64(0)
    place = np.int64(0)
    while place < count:
        runs[place] = 0.0
        if scores[place] <= 0.5:
            place += 1
            continue
        first = place
        last = place + 1
        while place < count and place - last < _GAP:
            if scores[place] > 0.5:
                last = place + 1
            place += 1
        mass = running[last] - running[first]
        for inside in range(first, place):
            runs[inside] = mass if inside < last else 0.0
        if mass > running[best_last] - running[best_first]:
            best_first = first
            best_last = last
    return best_first, best_last


@kernel_step
def _mean(running, sums, first, last):
    """The mean score of blocks, by their words."""
    words = sums[last, SUM_WORDS] - sums[first, SUM_WORDS] + (last - first)
    return np.float32((running[last] - running[first]) / words) if words > 0 else np.float32(-1.0)


@kernel
def write_second(
    scores, blocks, elements, numbers, cluster_sums, sums, nearest, running, by_cluster, runs, matrix, first
):
    """Fills the columns of `matrix` from `first` on by what the first model says: `scores` float32 (N,).

    The other arrays are as `write_features` left them; running float64 (N + 1,)
    and by_cluster float64 (2, N) and runs float64 (N,) are scratch.
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
    half = smallest_with(0.5, elements, sums, count)
    most = smallest_with(0.85, elements, sums, count)
    half_mass = smallest_with_mass(0.5, running, elements)
    most_mass = smallest_with_mass(0.85, running, elements)
    best_first, best_last = _find_runs(scores, running, runs)
    largest = np.int64(0)
    for place in range(count):
        if by_cluster[1, place] > by_cluster[1, largest]:
            largest = np.int64(place)
    whole = running[count] + 1e-9
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
        at += 5
        row[at] = by_cluster[0, numbers[0, place]] / whole
        row[at + 1] = by_cluster[1, numbers[1, place]] / whole
        row[at + 2] = numbers[1, place] == largest
        row[at + 3] = elements[half_mass, b.FIRST] <= place < elements[half_mass, b.LAST]
        row[at + 4] = elements[most_mass, b.FIRST] <= place < elements[most_mass, b.LAST]
        row[at + 5] = distance(place, half_mass, elements)
        row[at + 6] = distance(place, most_mass, elements)
        row[at + 7] = levels_to(inner, half_mass, elements)
        row[at + 8] = levels_to(inner, most_mass, elements)
        row[at + 9] = runs[place] / whole
        row[at + 10] = best_first <= place < best_last
        row[at + 11] = -log(best_first - place) if place < best_first else log(max(place - best_last + 1, 0))
        at += 7
        row[at + 5] = nearest[place, 0]
        row[at + 6] = nearest[place, 1]
        row[at + 7] = log(running[count])
        row[at + 8] = _mean(running, sums, elements[inner, b.FIRST], np.int64(place))
        row[at + 9] = _mean(running, sums, np.int64(place + 1), max(elements[inner, b.LAST], np.int64(place + 1)))
