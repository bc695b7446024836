"""Measures tokenizers over whole datasets, a batch at a time, with progress.

Batches are read one after the other and measured by threads (the kernels release the interpreter lock); all that is
kept is sums, so the order in which they come back does not matter. Memory: a batch (a row group, about 16 MiB of text)
with its ids for each thread, 8 bytes for each id of each tokenizer, and the tokenizers themselves.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import pyarrow as pa

from corpusmill.dataproc import storage
from corpusmill.dataproc.datasets import read_batches
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.datasets import list_parts
from corpusmill.pipelines.engine.progress import Progress
from corpusmill.tokenizer.encoder import Tokenizer
from corpusmill.tokenizer.formats.files import TRAINING, TokenizerFiles
from corpusmill.tokenizer.formats.foreign import read_bounded
from corpusmill.tokenizer.formats.importing import import_tokenizer, is_json, tokenizer_file
from corpusmill.tokenizer.measurable import HuggingFaceTokenizer, Measurable, OurTokenizer
from corpusmill.tokenizer.patterns import Pattern
from corpusmill.tokenizer.report import READ, Measures, measure, report


def open_tokenizer(path: str, pattern: str | Pattern | None = None) -> Measurable:
    """A tokenizer folder of ours, or any folder or file that holds a `tokenizer.json` or tiktoken's ranks.

    Its name is the path as it is given. What can be imported is measured as ours are; any other `tokenizer.json` is run
    by Hugging Face's library. `pattern` says how a file of ranks cuts text. Raises UserError.
    """
    if storage.exists(storage.join(path, TRAINING)):
        return OurTokenizer(path, Tokenizer.load(path))
    file = tokenizer_file(path)
    if not is_json(read_bounded(file)):
        return OurTokenizer(path, _loaded(import_tokenizer(file, pattern)))
    try:
        return OurTokenizer(path, _loaded(import_tokenizer(file)))
    except UserError:  # no byte-level BPE, or not by our rules: the library's own business
        return HuggingFaceTokenizer(path, file)


def _loaded(files: TokenizerFiles) -> Tokenizer:
    return Tokenizer(files.vocabulary, files.special, files.pattern, files.fingerprint)


def measure_datasets(
    tokenizers: Sequence[Measurable], datasets: Sequence[str], progress: Progress, workers: int = 0
) -> dict[str, Any]:
    """The report (`tokenizer.report.report`) on all documents of the datasets, by threads; 0 means one per core.

    Raises UserError when there are no documents.
    """
    parts = list_parts(datasets, str)
    paths = [part.path for part in parts]
    measured = Measures.none(tokenizers)
    progress.start("tokenizer report", "measure", sum(part.arrow_bytes for part in parts), 0)
    try:
        for batch, more in _measured(tokenizers, paths, workers or os.cpu_count() or 1):
            measured.add(more)
            progress.advance(count=batch.nbytes, documents=batch.num_rows)
    finally:
        progress.stop()
    if not measured.totals[0]:
        raise UserError("there are no documents to measure on", where=", ".join(datasets))
    return report(tokenizers, measured)


def _measured(
    tokenizers: Sequence[Measurable], paths: Sequence[str], workers: int
) -> Iterator[tuple[pa.RecordBatch, Measures]]:
    """Each batch and what it adds, in the order in which they are done; one batch waits while the threads work."""
    going: dict[Future[Measures], pa.RecordBatch] = {}
    with ThreadPoolExecutor(workers) as pool:
        for path in paths:
            for batch in read_batches(path, list(READ)):
                while len(going) > workers:
                    yield from _finished(going)
                going[pool.submit(measure, tokenizers, batch)] = batch
        while going:
            yield from _finished(going)


def _finished(going: dict[Future[Measures], pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, Measures]]:
    for future in wait(going, return_when=FIRST_COMPLETED).done:
        yield going.pop(future), future.result()
