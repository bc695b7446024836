"""Compiles the kernels of the rewriters once, so that worker processes find them in numba's disk cache.

Cold this takes about three seconds of one core, warm a fraction of one.
"""

import pyarrow as pa


def compile_kernels() -> None:
    """Rewrites one line by each rewriter."""
    from corpusmill.dataproc.measures.providers import build_rewriter, rewriter_names

    batch = pa.record_batch({"text": pa.array(["One line of text."], pa.large_string()), "kind": ["prose"]})
    for name in rewriter_names():
        build_rewriter(name, {}).rewrite(batch)
