"""Compiles the kernels of the extractor once, so that worker processes find them in numba's disk cache.

Cold this takes about half a minute of one core, warm a fraction of a second.
"""


def compile_kernels() -> None:
    """Extracts a page of one paragraph."""
    from corpusmill.dataproc.extraction.extractor import extract

    extract("<html><body><article><p>One paragraph of <a href='#'>text</a> is enough.</p></article></body></html>")
