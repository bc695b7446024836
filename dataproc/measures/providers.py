"""Who gives which column: every statistic that a rule may look at, by its provider, known before anything is loaded.

The one pass (`dataproc.measures.statistics`) is always made. Other providers are classes of the contracts `Measure` and
`Rewriter` (`dataproc.measures.columns`), imported by name when a plan or a worker asks for them, and built from plain
settings. Some can't be had for nothing: a list of URLs, a list of words, a model; a rule that needs one which is not
configured is an error that says what to give.

Other packages bring providers by the entry points `corpusmill.measures` and `corpusmill.rewriters`
(`dataproc.entry_points`). They are looked at only where something is asked for that none of ours gives. A function of
the user's own is a provider by the name "module:function" (`dataproc.measures.functions`).
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from corpusmill.dataproc.entry_points import MEASURES, REWRITERS, broken_entry_point, foreign_names, load_foreign
from corpusmill.dataproc.errors import UserError, suggest
from corpusmill.dataproc.measures.columns import Column, Measure, Rewriter
from corpusmill.dataproc.measures.functions import FunctionMeasure, FunctionRewriter, column_of, is_function
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
        warmup: module whose `compile_kernels()` calls its kernels; empty where it has none.
    """

    target: str
    rewrites: bool = False
    needs: str = ""
    warmup: str = ""


_CODE = "corpusmill.dataproc.measures.code_text.warmup"
_LISTS = "corpusmill.dataproc.lists.warmup"
_REWRITING = "corpusmill.dataproc.rewriting.warmup"


PROVIDERS: dict[str, Provider] = {
    "code": Provider("corpusmill.dataproc.measures.code_text.measure:CodeText", warmup=_CODE),
    "madlad": Provider("corpusmill.dataproc.measures.madlad:MadladSentences"),
    "url": Provider("corpusmill.dataproc.lists.urls:UrlMatches", needs="give lists of URLs (url_lists)", warmup=_LISTS),
    "words": Provider(
        "corpusmill.dataproc.lists.words:ListedWords", needs="give a list of words (word_list)", warmup=_LISTS
    ),
    "c4-lines": Provider("corpusmill.dataproc.rewriting.c4_lines:C4Lines", rewrites=True, warmup=_REWRITING),
    "refinedweb-lines": Provider(
        "corpusmill.dataproc.rewriting.refinedweb_lines:RefinedWebLines", rewrites=True, warmup=_REWRITING
    ),
    "citations": Provider("corpusmill.dataproc.rewriting.citations:Citations", rewrites=True, warmup=_REWRITING),
    "pii-mask": Provider("corpusmill.dataproc.rewriting.pii.rewriter:PersonalData", rewrites=True, warmup=_REWRITING),
}
"""Every provider of columns by name, except the one pass and the language, which have no classes of their own."""

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
    if is_function(name):
        return (column_of(name),)
    return tuple(class_of(name).COLUMNS)


def providers_of_columns(asked: Iterable[str] = ()) -> dict[str, str]:
    """{column: its provider}, in the order in which columns are best listed.

    Those of other packages come last, and only if one of the columns asked for is not ours.
    """
    ours = _columns_of_ours()
    return ours if all(column in ours for column in asked) else ours | _columns_of_others()


@functools.cache
def _columns_of_ours() -> dict[str, str]:
    return {column.name: name for name in (ONE_PASS, LANGUAGE, *PROVIDERS) for column in columns_of(name)}


@functools.cache
def _columns_of_others() -> dict[str, str]:
    columns: dict[str, str] = {}
    for group in (MEASURES, REWRITERS):
        for name in foreign_names(group, PROVIDERS):
            for column in _foreign_class(group, name).COLUMNS:
                if columns.setdefault(column.name, name) != name or column.name in _columns_of_ours():
                    other = _columns_of_ours().get(column.name) or columns[column.name]
                    raise broken_entry_point(group, name, f"its column '{column.name}' is that of '{other}'")
    return columns


def needs_of(provider: str) -> str:
    """What a user must give for a provider; empty for nothing."""
    if provider == LANGUAGE:
        return NEEDS_LANGUAGE
    return PROVIDERS[provider].needs if provider in PROVIDERS else ""


def warmups_of(providers: Iterable[str]) -> list[str]:
    """Warm-up modules of the kernels that providers call; another package's class names its own as `WARMUP`."""
    ours = {ONE_PASS: "corpusmill.dataproc.measures.warmup", LANGUAGE: _LISTS}
    ours |= {name: provider.warmup for name, provider in PROVIDERS.items()}
    named = [ours[name] if name in ours else getattr(class_of(name), "WARMUP", "") for name in providers]
    return [warmup for warmup in dict.fromkeys(named) if warmup]


def is_provider(name: str) -> bool:
    """Whether something gives columns by this name."""
    return name in (ONE_PASS, LANGUAGE, *PROVIDERS) or is_function(name) or bool(_foreign_group(name))


def rewriter_names(asked: Iterable[str] = ()) -> list[str]:
    """Names of all rewriters; those of other packages among them if one is asked for that is not ours."""
    ours = [name for name, provider in PROVIDERS.items() if provider.rewrites]
    return ours if all(name in ours for name in asked) else ours + foreign_names(REWRITERS, PROVIDERS)


def source_of(rewriter: str) -> str:
    """Where a rewriter's rule comes from."""
    return str(class_of(rewriter).source)


def build_measure(name: str, settings: Mapping[str, Any]) -> Measure:
    """The measure (or rewriter, which measures as well) of a name, from plain settings.

    Raises:
        UserError: an unknown name, or settings that it does not take.
    """
    if is_function(name):
        return FunctionMeasure(name, settings)
    return _build(name, settings)


def build_rewriter(name: str, settings: Mapping[str, Any]) -> Rewriter:
    """As `build_measure`; it must be a rewriter."""
    if is_function(name):
        return FunctionRewriter(name, settings)
    if name not in (known := rewriter_names([name])):
        raise UserError(f"unknown rewriter '{name}'", "rewrite", suggest(name, known))
    return _build(name, settings)


def _build(name: str, settings: Mapping[str, Any]) -> Any:
    made_of = class_of(name)
    try:
        return made_of(**settings)
    except TypeError as error:
        raise UserError(f"it does not accept these settings ({error})", name) from error


def class_of(name: str) -> Any:
    """The class of a provider. Raises UserError for an unknown name, and for another package's that is not one."""
    if name in PROVIDERS:
        module, _, class_name = PROVIDERS[name].target.partition(":")
        return getattr(import_module(module), class_name)
    if group := _foreign_group(name):
        return _foreign_class(group, name)
    raise UserError(f"unknown measure '{name}'", hint=suggest(name, list(PROVIDERS)))


def _foreign_group(name: str) -> str:
    """The entry points among which another package brings this name; "" where none does."""
    return next((group for group in (MEASURES, REWRITERS) if name in foreign_names(group, PROVIDERS)), "")


def _foreign_class(group: str, name: str) -> Any:
    made_of = load_foreign(group, name)
    columns = getattr(made_of, "COLUMNS", None)
    if not (columns and isinstance(columns, tuple) and all(isinstance(column, Column) for column in columns)):
        raise broken_entry_point(group, name, "it has no COLUMNS, a tuple of Column")
    wanted = ("measure",) if group == MEASURES else ("measure", "rewrite", "source")
    for attribute in wanted:
        if not hasattr(made_of, attribute):
            raise broken_entry_point(group, name, f"it has no {attribute}")
    if group == REWRITERS and getattr(made_of, "name", None) != name:
        raise broken_entry_point(group, name, f"its name is not '{name}'")
    return made_of
