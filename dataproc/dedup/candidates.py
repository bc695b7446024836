"""From rows (key, address) of one partition to candidate pairs, in work linear in the rows.

A bucket is the set of documents that share a band key. All its pairs would be quadratic, and boilerplate shared by a
million pages would be 5e11 pairs; so each member is paired only with the bucket's first (a star) and with its
predecessor (a chain). Who is first goes by a number that a document has of itself, a hash of its id: so pairs do not
depend on the order of files and rows. Star and chain differ in what they lose when a pair does not pass verification: a
star breaks down when its centre is a stranger, a chain at each stranger inside. Together a bucket of m members gives at
most 2m - 3 pairs, none is dropped for its size, and true duplicates meet in several bands.

Cost: 0.3 us a row: one vectorised sort of the keys, and most keys are alone in their bucket and leave before the second
sort. Memory: 26 bytes a row for the first sort, and about 100 a row that shares its key.
"""

from collections.abc import Callable

import numpy as np

from corpusmill.dataproc.dedup.bands import NO_KEY
from corpusmill.dataproc.kernels.compiling import kernel


def sorted_buckets(keys: np.ndarray, addresses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows whose key at least two rows have, sorted by (key, address). `NO_KEY` is nobody's bucket.

    Args:
        keys, addresses: uint64 of shape (M,), in any order.
    """
    order = np.argsort(keys)
    sorted_keys = keys[order]
    equal = sorted_keys[1:] == sorted_keys[:-1]
    shared = np.zeros(len(keys), bool)
    shared[1:] |= equal
    shared[:-1] |= equal
    shared &= sorted_keys != NO_KEY
    keys, addresses = sorted_keys[shared], addresses[order[shared]]
    order = np.lexsort((addresses, keys))
    return keys[order], addresses[order]


@kernel
def _star_and_chain(keys, addresses, left, right):
    """Writes the pairs of every bucket of sorted rows; returns how many. An address repeated in a bucket is no pair."""
    pairs = 0
    first = 0
    for row in range(1, keys.shape[0]):
        if keys[row] != keys[first]:
            first = row
        elif addresses[row] != addresses[row - 1]:
            left[pairs] = addresses[first]
            right[pairs] = addresses[row]
            pairs += 1
            if addresses[row - 1] != addresses[first]:
                left[pairs] = addresses[row - 1]
                right[pairs] = addresses[row]
                pairs += 1
    return pairs


def candidate_pairs(
    keys: np.ndarray, addresses: np.ndarray, numbers: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Candidate pairs of one partition's rows.

    Args:
        keys, addresses: uint64 of shape (M,), in any order; the order has no influence.
        numbers: gives, for rising addresses, the uint64 that buckets are ordered by; addresses themselves if None.

    Returns:
        (left, right) addresses with left < right, uint64 of shape (P,), sorted, each pair once; P < 2M.
    """
    keys, addresses = sorted_buckets(np.ascontiguousarray(keys, np.uint64), np.ascontiguousarray(addresses, np.uint64))
    if numbers is not None:
        members, place = np.unique(addresses, return_inverse=True)
        by_number = np.lexsort((members, numbers(members)))
        rank = np.empty(len(members), np.uint64)
        rank[by_number] = np.arange(len(members), dtype=np.uint64)
        order = np.lexsort((rank[place], keys))
        keys, addresses = keys[order], rank[place][order]
    left, right = np.empty(2 * len(keys), np.uint64), np.empty(2 * len(keys), np.uint64)
    pairs = _star_and_chain(keys, addresses, left, right)
    left, right = left[:pairs], right[:pairs]
    if numbers is not None:
        left, right = members[by_number][left.astype(np.int64)], members[by_number][right.astype(np.int64)]
        left, right = np.minimum(left, right), np.maximum(left, right)
    return unique_pairs(left, right)


def unique_pairs(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pair once, sorted; for the pairs of several partitions as for those of one."""
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    fresh = np.ones(len(left), bool)
    fresh[1:] = (left[1:] != left[:-1]) | (right[1:] != right[:-1])
    return left[fresh], right[fresh]
