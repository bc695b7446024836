"""Compiles the kernels of sequence order and of the loader ahead of use; later calls find them in numba's cache.

Each is called on arrays of the dtypes of production. Cold this takes about 2 seconds.
"""

import numpy as np

from corpusmill.training.loader.gather import gather
from corpusmill.training.order.permutation import permute_each
from corpusmill.training.order.quotas import assign_turns


def compile_kernels() -> None:
    """Runs every kernel of this package once."""
    permute_each(np.zeros(1, np.int64), np.ones(1, np.int64), np.zeros(1, np.uint64))
    assign_turns(np.ones(2, np.int64), 2)
    tables = (np.array([0, 1]), np.full(1, -1, np.int32), np.ones(1, np.int64), np.zeros((1, 1), np.uint64))
    used = np.zeros(1, np.int64)
    gather(np.zeros(1, np.int64), 0, *tables, used, 1, 4, np.empty((1, 4), np.int64))
