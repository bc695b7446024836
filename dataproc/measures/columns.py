"""What a rule may look at: numbers of documents, each by a name, from anything that measures.

The one pass over the text (`dataproc.measures.statistics`) is one measure among several: lists of URLs, lists of words,
the score of a language model, what a rewriting rule would take out. Each declares its columns before it runs, so a rule
that names a column nobody gives is an error before any work starts, and each gives one number a document, so all of
them lie in `_statistics/` and can be swept later.

Rewriting is kept apart from deciding. A `Rewriter` gives the text as it would be and numbers on what it took out;
rules decide by the numbers, and only documents that are kept are rewritten.
"""

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One number a document: its name, what is counted ("words", "share", "… per …"), and what it says.

    The type is int64 for a `whole` number, else float64; neither is ever null.
    """

    name: str
    unit: str
    description: str
    whole: bool = False

    @property
    def type(self) -> pa.DataType:
        return pa.int64() if self.whole else pa.float64()


@dataclass(frozen=True)
class Rewritten:
    """N documents rewritten: `texts` (large_string, no nulls) and `numbers`, a row a document, a column a `Column`."""

    texts: pa.Array
    numbers: pa.RecordBatch


class Measure(Protocol):
    """Measures documents: `columns` says what, in order; a row of the result depends on its own document alone."""

    @property
    def columns(self) -> tuple[Column, ...]: ...

    def measure(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One row a document of `batch` (columns of `dataproc.documents.SCHEMA`, perhaps more), in order."""
        ...


class Rewriter(Measure, Protocol):
    """Rewrites documents; `measure` gives the numbers of `rewrite` and leaves the text alone."""

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str:
        """Where the rule comes from: paper and section, or the tool's class."""
        ...

    def rewrite(self, batch: pa.RecordBatch) -> Rewritten:
        """The texts of `batch` rewritten; a text in which nothing is found comes back byte for byte."""
        ...
