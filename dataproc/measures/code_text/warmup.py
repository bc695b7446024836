"""Compiles the kernels of `dataproc.measures.code_text` once, so that worker processes find them in numba's disk cache.

Cold this takes about three seconds of one core, warm a fraction of one.
"""

import pyarrow as pa


def compile_kernels() -> None:
    """Measures one line of code."""
    from corpusmill.dataproc.measures.code_text.measure import CodeText

    batch = {"text": pa.array(["<p>One line.</p>"], pa.large_string()), "language": pa.array(["html"])}
    CodeText().measure(pa.record_batch(batch))
