"""The decision over a batch: which documents are kept, and a ledger of every rule that each rejected one broke.

Only statistics and labels are looked at, never text. All rules are applied to all documents, so that the share that a
rule removes does not depend on the order of rules, and the ledger explains a rejection in full.

Cost: a few array comparisons a rule. Memory: 9 bytes a document and rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.language.codes import language_code, without_script
from corpusmill.dataproc.measures.statistic_columns import TOKEN_NGRAMS
from corpusmill.dataproc.measures.stop_words import DEFAULT_LANGUAGE, list_of
from corpusmill.dataproc.rules.expression import check_expression, kind_of_type
from corpusmill.dataproc.rules.expression_values import evaluate
from corpusmill.dataproc.rules.rule import Rule

LEDGER_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
    ]
)
"""One row a broken rule: the document's row in the batch, the rule's name, the document's value, its threshold.

A value that is null or NaN is NaN here. An expression has the value 0 where it is false, NaN where it is unknown, and
the threshold 1.
"""

UNSPACED_COLUMN = "unspaced_fraction"
MOSTLY_UNSPACED = 0.5


@dataclass(frozen=True)
class Decision:
    """What is decided on N documents.

    Attributes:
        kept: bool of shape (N,).
        ledger: batch of `LEDGER_SCHEMA`, by row and then in the order of the rules.
        not_asked: {rule: documents of its kinds that it is not for, by their language or script}, where there are any.
    """

    kept: NDArray[np.bool_]
    ledger: pa.RecordBatch
    not_asked: Mapping[str, int]


def decide(
    statistics: "pa.RecordBatch | Mapping[str, Sequence[object]]",
    kinds: "pa.Array | Sequence[str]",
    rules: Sequence[Rule],
) -> Decision:
    """Decides on N documents. A document is kept if it breaks no rule that applies to it.

    Args:
        statistics: one row a document, with every column that a rule looks at, or columns as lists; `language`, for
            rules that are for some languages, counts as unknown where it is missing. A null or NaN breaks a rule: what
            was not measured does not pass.
        kinds: the documents' kinds, N strings, an Arrow array or any sequence.
        rules: any number of rules; with none, all documents are kept.

    Raises:
        UserError: a rule looks at a column that is not there.
        ValueError: there are not as many kinds as rows.
    """
    if isinstance(statistics, Mapping):
        statistics = pa.RecordBatch.from_pydict(dict(statistics))
    if not isinstance(kinds, pa.Array | pa.ChunkedArray):
        kinds = pa.array(kinds, pa.string())
    rows = statistics.num_rows
    if len(kinds) != rows:
        raise ValueError(f"{len(kinds)} kinds of {rows} documents")
    values = np.empty((len(rules), rows))
    thresholds = np.empty((len(rules), rows))
    broken = np.zeros((len(rules), rows), bool)
    not_asked: dict[str, int] = {}
    for number, rule in enumerate(rules):
        column = values[number] = values_of(rule, statistics)
        minimum, maximum = limits_of(rule)
        below, above = ~(column >= minimum), ~(column <= maximum)
        thresholds[number] = np.where(below & (minimum > -np.inf), minimum, maximum)
        applies = applies_to(rule, statistics, kinds)
        broken[number] = (below | above) & applies
        if passed_by := int(np.count_nonzero(_of_kinds(rule, kinds) & ~applies)):
            not_asked[rule.name] = passed_by
    row, rule_number = np.nonzero(broken.T)
    names = pa.array([rule.name for rule in rules], pa.string())
    ledger = pa.RecordBatch.from_arrays(
        [
            pa.array(row, pa.int64()),
            names.take(pa.array(rule_number, pa.int64())),
            pa.array(values[rule_number, row]),
            pa.array(thresholds[rule_number, row]),
        ],
        schema=LEDGER_SCHEMA,
    )
    return Decision(np.logical_not(broken.any(axis=0)), ledger, not_asked)


def limits_of(rule: Rule) -> tuple[float, float]:
    """(minimum, maximum) of a rule; infinite where it has none, and 1 at least for an expression."""
    if rule.expression:
        return 1.0, np.inf
    return (
        -np.inf if rule.minimum is None else rule.minimum,
        np.inf if rule.maximum is None else rule.maximum,
    )


def values_of(rule: Rule, statistics: pa.RecordBatch) -> np.ndarray:
    """What a rule looks at, float64 of shape (N,): its statistic, or 1, 0 or NaN for an expression; nulls as NaN."""
    if not rule.expression:
        return _numbers(statistics, rule.statistic, rule)
    kinds = {field.name: kind for field in statistics.schema if (kind := kind_of_type(field.type))}
    expression = check_expression(rule.expression, kinds)
    truth = evaluate(expression, statistics.select(list(expression.columns)))
    return truth.cast(pa.int8()).cast(pa.float64()).to_numpy(zero_copy_only=False)


def applies_to(rule: Rule, statistics: pa.RecordBatch, kinds: pa.Array) -> np.ndarray:
    """Which documents a rule is for, by their kinds, languages and scripts: bool of shape (N,)."""
    applies = _of_kinds(rule, kinds)
    if rule.languages:
        applies &= _in_languages(statistics, rule.languages)
    if rule.not_languages:
        applies &= ~_in_languages(statistics, rule.not_languages)
    if rule.spaced is not None:
        applies &= (_numbers(statistics, UNSPACED_COLUMN, rule) > MOSTLY_UNSPACED) != rule.spaced
    if rule.only_if:
        applies &= _numbers(statistics, rule.only_if, rule) > 0
    return applies


def _of_kinds(rule: Rule, kinds: pa.Array) -> np.ndarray:
    applies = np.ones(len(kinds), bool)
    if rule.kinds:
        applies &= _among(kinds, rule.kinds)
    if rule.not_kinds:
        applies &= ~_among(kinds, rule.not_kinds)
    return applies


def _among(kinds: pa.Array, names: tuple[str, ...]) -> np.ndarray:
    return pc.is_in(kinds, pa.array(names, kinds.type)).to_numpy(zero_copy_only=False)


def _in_languages(statistics: pa.RecordBatch, names: tuple[str, ...]) -> np.ndarray:
    """Whose language is one of `names`, as it is written or as what it stands for (`eng_Latn` is en, `cmn` is zh)."""
    unknown = DEFAULT_LANGUAGE in names
    index = statistics.schema.get_field_index("language")
    if index < 0:
        return np.full(statistics.num_rows, unknown)
    column = pc.dictionary_encode(statistics.column(index).cast(pa.string()))
    among = [any(name in names for name in _spellings(word)) for word in column.dictionary.to_pylist()]
    known = pa.array(among, pa.bool_()).take(column.indices)
    return pc.fill_null(known, unknown).to_numpy(zero_copy_only=False)


def _spellings(language: str) -> tuple[str | None, ...]:
    return language, without_script(language_code(language) or ""), list_of(language)


def _numbers(statistics: pa.RecordBatch, name: str, rule: Rule) -> np.ndarray:
    """A column as float64, nulls as NaN."""
    index = statistics.schema.get_field_index(name)
    if index < 0:
        hint = f"measure the documents again{', with token_ngrams' if name in TOKEN_NGRAMS else ''}"
        raise UserError(f"no column '{name}' in the statistics", f"rule {rule.name}", hint)
    return statistics.column(index).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
