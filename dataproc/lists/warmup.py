"""Compiles the kernels of the measures beside the one pass: languages, URLs and listed words.

Cold this takes 7 seconds of one core, warm one. Inputs are tiny, and exactly of the types that stages use.
"""

import tempfile
from pathlib import Path

import pyarrow as pa


def compile_kernels() -> None:
    """Calls every kernel of `dataproc.language`, `dataproc.lists.phrases` and `dataproc.lists.urls` once."""
    from corpusmill.dataproc.language import language_identifier
    from corpusmill.dataproc.lists.urls import UrlMatches
    from corpusmill.dataproc.lists.urls.matches import KINDS
    from corpusmill.dataproc.lists.urls.suffixes import registered_domains

    language_identifier().identify(pa.array(["a text"]))
    urls = pa.array(["http://a.example/b"], pa.string())
    registered_domains(urls)
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            (Path(folder) / kind).write_text("a.example\n")
        lists = {kind: str(Path(folder) / kind) for kind in KINDS}
        UrlMatches(lists=lists).measure(pa.RecordBatch.from_arrays([urls], names=["url"]))
