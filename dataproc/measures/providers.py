"""Who gives which column: every statistic that a rule may look at, by its provider, known before anything is loaded.

The one pass (`dataproc.measures.statistics`) is always made. Other providers are classes of the contracts `Measure` and
`Rewriter` (`dataproc.measures.columns`), imported by name when a plan or a worker asks for them, and built from plain
settings. Some can't be had for nothing: a list of URLs, a list of words, a model; a rule that needs one which is not
configured is an error that says what to give.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.dataproc.measures.columns import Column, Measure, Rewriter
from corpusmill.dataproc.measures.statistics import STATISTICS

LABELS = ("source", "kind", "language")
"""Columns of strings that expressions may look at."""

ONE_PASS = "statistics"
DOCUMENTS = "documents"
"""Provider of numbers that the documents bring themselves."""

LANGUAGE = "language"
LANGUAGE_COLUMNS = (
    Column("language_score", "share", "how sure the language is; 1 where the input named it, or for code"),
)


@dataclass(frozen=True)
class Provider:
    """One class that gives columns.

    Attributes:
        target: "module:Class"; the class has `COLUMNS`.
        rewrites: whether it is a `Rewriter`.
        needs: what a user must give before it can be had; empty for nothing.
    """

    target: str
    rewrites: bool = False
    needs: str = ""


PROVIDERS: dict[str, Provider] = {
    "code": Provider("corpusmill.dataproc.measures.code_text.measure:CodeText"),
    "madlad": Provider("corpusmill.dataproc.measures.madlad:MadladSentences"),
    "url": Provider("corpusmill.dataproc.lists.urls:UrlMatches", needs="give lists of URLs (url_lists)"),
    "words": Provider("corpusmill.dataproc.lists.words:ListedWords", needs="give a list of words (word_list)"),
    "c4-lines": Provider("corpusmill.dataproc.rewriting.c4_lines:C4Lines", rewrites=True),
    "refinedweb-lines": Provider("corpusmill.dataproc.rewriting.refinedweb_lines:RefinedWebLines", rewrites=True),
    "citations": Provider("corpusmill.dataproc.rewriting.citations:Citations", rewrites=True),
    "pii-mask": Provider("corpusmill.dataproc.rewriting.pii.rewriter:PersonalData", rewrites=True),
}
"""Every provider of columns by name, but for the one pass and the language, which are not classes of their own."""

NEEDS_LANGUAGE = "give a language model (language_model)"


def columns_of(name: str) -> tuple[Column, ...]:
    """The columns of a provider, without building it."""
    if name == ONE_PASS:
        return tuple(
            Column(statistic.name, statistic.unit, statistic.description, whole=statistic.whole is None)
            for statistic in STATISTICS.values()
        )
    if name == LANGUAGE:
        return LANGUAGE_COLUMNS
    return tuple(class_of(name).COLUMNS)


@functools.cache
def providers_of_columns() -> dict[str, str]:
    """{column: its provider}, in the order in which columns are best listed."""
    return {column.name: name for name in (ONE_PASS, LANGUAGE, *PROVIDERS) for column in columns_of(name)}


def needs_of(provider: str) -> str:
    """What a user must give for a provider; empty for nothing."""
    if provider == LANGUAGE:
        return NEEDS_LANGUAGE
    return PROVIDERS[provider].needs if provider in PROVIDERS else ""


def rewriter_names() -> list[str]:
    """Names of all rewriters."""
    return [name for name, provider in PROVIDERS.items() if provider.rewrites]


def source_of(rewriter: str) -> str:
    """Where a rewriter's rule comes from."""
    return str(class_of(rewriter).source)


def build_measure(name: str, settings: Mapping[str, Any]) -> Measure:
    """The measure (or rewriter, which measures as well) of a name, from plain settings.

    Raises:
        UserError: an unknown name, or settings that it does not take.
    """
    return _build(name, settings)


def build_rewriter(name: str, settings: Mapping[str, Any]) -> Rewriter:
    """As `build_measure`; it must be a rewriter."""
    if name not in rewriter_names():
        raise UserError(f"unknown rewriter '{name}'", "rewrite", suggest(name, rewriter_names()))
    return _build(name, settings)


def _build(name: str, settings: Mapping[str, Any]) -> Any:
    made_of = class_of(name)
    try:
        return made_of(**settings)
    except TypeError as error:
        raise UserError(f"it does not take these settings ({error})", name) from error


def class_of(name: str) -> Any:
    """The class of a provider. Raises UserError for an unknown name."""
    if name not in PROVIDERS:
        raise UserError(f"nothing measures by the name '{name}'", hint=suggest(name, list(PROVIDERS)))
    module, _, class_name = PROVIDERS[name].target.partition(":")
    return getattr(import_module(module), class_name)
