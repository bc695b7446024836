"""A page as the model sees it: parsed, and its blocks as rows of numbers."""

from typing import NamedTuple

import numpy as np

from corpusmill.dataproc.extraction.clusters import table_bits
from corpusmill.dataproc.extraction.features import FEATURES, SECOND, SUMS, write_features, write_second
from corpusmill.dataproc.extraction.parsing import Parsed, parse

SEEN_WORDS = 5
"""A page in which no block of so many words is seen shows what it hides, as its scripts would."""


class Seen(NamedTuple):
    """A page and its numbers: `matrix` float32 (blocks, FEATURES + SECOND); the other arrays are scratch."""

    page: Parsed
    matrix: np.ndarray
    numbers: np.ndarray
    cluster_sums: np.ndarray
    sums: np.ndarray
    nearest: np.ndarray


def look_at(html: bytes) -> Seen:
    """A page in UTF-8, with its first features."""
    from corpusmill.dataproc.extraction.blocks import WORDS

    page = parse(html)
    if not (page.blocks[:, WORDS] >= SEEN_WORDS).any():
        page = parse(html, showing=True)
    count = len(page.blocks)
    bits = table_bits(count)
    seen = Seen(
        page,
        np.empty((count, FEATURES + SECOND), np.float32),
        np.empty((3, count), np.int32),
        np.empty((3, count, 4), np.int64),
        np.empty((count + 1, SUMS), np.int64),
        np.empty((count, 2), np.int64),
    )
    slots = np.empty(1 << bits, np.int32)
    write_features(
        page.blocks, page.elements, bits, slots, seen.numbers, seen.cluster_sums, seen.sums, seen.nearest, seen.matrix
    )
    return seen


def add_second(seen: Seen, scores: np.ndarray) -> None:
    """Fills the second features from the first model's scores, float32."""
    count = len(seen.page.blocks)
    running, by_cluster = np.empty(count + 1, np.float64), np.empty((2, count), np.float64)
    write_second(
        scores,
        seen.page.blocks,
        seen.page.elements,
        seen.numbers,
        seen.cluster_sums,
        seen.sums,
        seen.nearest,
        running,
        by_cluster,
        seen.matrix,
        FEATURES,
    )
