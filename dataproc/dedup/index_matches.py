"""Matches: pairs of a new document and one that an index holds, as columns, and which of a document's is the best."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Matches(NamedTuple):
    """Pairs of a new document and one of the index, sorted by (document, address).

    Attributes:
        documents: uint64 of shape (P,), as the caller numbers its documents.
        addresses: uint64 of shape (P,), in the index.
        similarity: float64 of shape (P,), estimated Jaccard similarity; 1 where the texts are equal.
        exact: bool of shape (P,), whether the texts are equal.
    """

    documents: np.ndarray
    addresses: np.ndarray
    similarity: np.ndarray
    exact: np.ndarray


def no_matches() -> Matches:
    """None at all."""
    return Matches(np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0), np.zeros(0, bool))


def joined_matches(parts: Sequence[Matches]) -> Matches:
    """One after the other, unsorted."""
    return Matches(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def sorted_matches(matches: Matches) -> Matches:
    """By (document, address)."""
    order = np.lexsort((matches.addresses, matches.documents))
    return Matches(*(column[order] for column in matches))


def unique_matches(matches: Matches) -> Matches:
    """Each pair once, sorted: a pair may have met in several blocks."""
    matches = sorted_matches(matches)
    fresh = np.ones(len(matches.documents), bool)
    fresh[1:] = (matches.documents[1:] != matches.documents[:-1]) | (matches.addresses[1:] != matches.addresses[:-1])
    return Matches(*(column[fresh] for column in matches))


def best_matches(parts: Sequence[Matches]) -> Matches:
    """One match a document: equal text before similar, the more similar before the less, then the smaller address."""
    joined = joined_matches([no_matches(), *parts])
    order = np.lexsort((joined.addresses, -joined.similarity, ~joined.exact, joined.documents))
    first = np.ones(len(order), bool)
    first[1:] = joined.documents[order][1:] != joined.documents[order][:-1]
    return Matches(*(column[order[first]] for column in joined))
