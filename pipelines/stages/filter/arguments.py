"""What filter hands to its tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpusmill.pipelines.stages.parts import PartWork

if TYPE_CHECKING:  # rules reach the kernels of the statistics that they look at
    from corpusmill.dataproc.rules import Rule


@dataclass(frozen=True, kw_only=True)
class ProviderSettings:
    """A measure or rewriter by its name (`dataproc.measures.providers`), and its settings."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class FilterWork(PartWork):
    """What documents are judged by.

    Attributes:
        rules: all rules in force.
        measures: those beside the one pass of statistics.
        rewriters: those in force, in order.
        token_ngrams: whether datatrove's n-grams of tokens are measured, a pass of their own.
        document_columns: numbers that the documents bring.
        language_model: path, or "embedded"; None: languages are as the input has them.
        languages: those to keep; all if empty.
        minimum_language_score: minimum score for a language to count.
    """

    rules: "tuple[Rule, ...]"
    measures: tuple[ProviderSettings, ...]
    rewriters: tuple[ProviderSettings, ...]
    token_ngrams: bool
    document_columns: tuple[str, ...]
    language_model: str | None
    languages: tuple[str, ...]
    minimum_language_score: float
