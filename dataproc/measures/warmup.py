"""Compiles the text kernels once, so that worker processes find them in numba's disk cache.

Cold this takes about seven seconds of one core, warm half of one. Inputs are tiny, and exactly of the types that stages
use.
"""

import pyarrow as pa


def compile_kernels() -> None:
    """Calls every kernel of `dataproc.text` and `dataproc.measures.statistics` once."""
    from corpusmill.dataproc.measures.statistics import measure

    measure(pa.array(["the same\nthe same"], pa.large_string()))
