"""A batch of documents through the filter: its languages, its numbers, the decision, and the kept ones rewritten.

Everything is measured on the text as it came in, and all rules are applied to all documents; only then are the kept
ones rewritten, by the rewriters in force, in their order. A rejected document keeps its text, so that what stands in
`_rejected/` is what the rules saw. A document that rewriting leaves empty is rejected, too.

Memory: the batch, and one more text of it for each rewriter in force.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.documents import LEDGER_SCHEMA, REWRITES_SCHEMA
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.file_starts import with_texts
from corpusmill.dataproc.language import language_identifier
from corpusmill.dataproc.language.families import with_members
from corpusmill.dataproc.measures.columns import Measure, Rewriter
from corpusmill.dataproc.measures.providers import build_measure, build_rewriter
from corpusmill.dataproc.measures.statistics import measure
from corpusmill.dataproc.rules import Rule, decide
from corpusmill.dataproc.rules.decision import LEDGER_SCHEMA as ROW_LEDGER
from corpusmill.pipelines.stages.filter.arguments import FilterWork, ProviderSettings

LABELS = ("id", "source", "kind", "language")
"""Columns of the documents that stand before the numbers in `_statistics/`."""

LANGUAGE_RULE = "language"
EMPTY_RULE = "empty-after-rewriting"


@dataclass(frozen=True)
class Judge:
    """What documents are judged by.

    `measures` are those beside the one pass of statistics; `rewriters` are in force. `token_ngrams` are datatrove's, a
    pass of their own that is made where a rule looks at them; `document_columns` are numbers that the documents bring.
    `language_model` is a model's path or name, or None, and fills `language` where the input gave none, with a score of
    `minimum_language_score` at least.
    """

    rules: tuple[Rule, ...]
    measures: tuple[Measure, ...]
    rewriters: tuple[Rewriter, ...]
    token_ngrams: bool
    document_columns: tuple[str, ...]
    language_model: str | None
    languages: tuple[str, ...]
    minimum_language_score: float


@dataclass(frozen=True)
class Judged:
    """A batch after judgement; each table goes to its own folder. `not_asked`: as in `rules.decision.Decision`."""

    kept: pa.RecordBatch
    rejected: pa.RecordBatch
    ledger: pa.RecordBatch
    statistics: pa.RecordBatch
    rewrites: pa.RecordBatch
    not_asked: Mapping[str, int]


def judge_from(work: FilterWork) -> Judge:
    """The judge of a task's work; lists and models are loaded once a worker."""
    return Judge(
        rules=work.rules,
        measures=tuple(_measure(provider.name, _key(provider)) for provider in work.measures),
        rewriters=tuple(_rewriter(provider.name, _key(provider)) for provider in work.rewriters),
        token_ngrams=work.token_ngrams,
        document_columns=work.document_columns,
        language_model=work.language_model,
        languages=work.languages,
        minimum_language_score=work.minimum_language_score,
    )


def _key(provider: ProviderSettings) -> str:
    """A provider's settings as text, by which it is built once a worker."""
    return json.dumps(provider.settings, sort_keys=True)


@cache
def _measure(name: str, settings: str) -> Measure:
    return build_measure(name, json.loads(settings))


@cache
def _rewriter(name: str, settings: str) -> Rewriter:
    return build_rewriter(name, json.loads(settings))


_identifier = cache(language_identifier)


def judge(batch: pa.RecordBatch, by: Judge) -> Judged:
    """Measures, decides and rewrites every document of a batch on its own."""
    batch, score = _with_languages(batch, by)
    numbers, first_texts = _numbers(batch, score, by)
    kept, ledgers, not_asked = _decided(batch, numbers, by)
    texts, rewrites = _rewritten(batch, kept, first_texts, by)
    if by.rewriters:
        emptied = np.zeros(batch.num_rows, bool)
        blank = pc.equal(pc.utf8_trim_whitespace(texts), "").to_numpy(zero_copy_only=False)
        was_blank = pc.equal(pc.utf8_trim_whitespace(batch.column("text").filter(pa.array(kept))), "")
        emptied[np.flatnonzero(kept)] = blank & ~was_blank.to_numpy(zero_copy_only=False)
        texts = texts.filter(pa.array(~emptied[kept]))
        ledgers.append(_one_rule(np.flatnonzero(emptied), EMPTY_RULE, np.zeros(batch.num_rows), 1.0))
        gone = batch.column("id").filter(pa.array(emptied))
        rewrites = rewrites.filter(pc.invert(pc.is_in(rewrites.column("id"), value_set=gone)))
        kept &= ~emptied
    mask = pa.array(kept)
    staying = batch.filter(mask)
    if by.rewriters:
        staying = with_texts(staying, texts)
    whole = pa.concat_batches(ledgers)
    rejected = batch.filter(pc.invert(mask))
    names = _joined(whole.column("row").to_numpy(zero_copy_only=False), whole.column("rule"), ~kept)
    return Judged(
        kept=staying,
        rejected=rejected.append_column("broken_rules", names),
        ledger=pa.RecordBatch.from_arrays(
            [batch.column("id").take(whole.column("row")), *whole.columns[1:]], schema=LEDGER_SCHEMA
        ),
        statistics=_labelled(batch, numbers),
        rewrites=rewrites,
        not_asked=not_asked,
    )


def _labelled(batch: pa.RecordBatch, numbers: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [*(batch.column(name) for name in LABELS), *numbers.columns], names=[*LABELS, *numbers.schema.names]
    )


def _numbers(batch: pa.RecordBatch, score: np.ndarray, by: Judge) -> tuple[pa.RecordBatch, pa.Array | None]:
    """(all numbers of the documents, the texts as the first rewriter in force leaves them)."""
    measured = [measure(batch.column("text"), batch.column("language"), token_ngrams=by.token_ngrams)]
    measured += [provider.measure(batch) for provider in by.measures]
    texts = None
    for place, rewriter in enumerate(by.rewriters):
        if place == 0:  # its one pass gives both; the later ones are measured now and rewrite what is left of it
            rewritten = rewriter.rewrite(batch)
            texts = rewritten.texts
            measured.append(rewritten.numbers)
        else:
            measured.append(rewriter.measure(batch))
    columns: dict[str, pa.Array] = {"language_score": pa.array(score)} if by.language_model else {}
    for numbers in measured:
        columns = columns | dict(zip(numbers.schema.names, numbers.columns, strict=True))
    columns = columns | {name: _document_column(batch, name) for name in by.document_columns}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)), texts


def _document_column(batch: pa.RecordBatch, name: str) -> pa.Array:
    at = batch.schema.get_field_index(name)
    if at < 0:
        raise UserError(f"the documents have no column '{name}'", "document_columns", "add it in an earlier stage")
    column = batch.column(at)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise UserError(f"the documents' column '{name}' does not hold numbers, but {column.type}", "document_columns")
    return column


def _decided(
    batch: pa.RecordBatch, numbers: pa.RecordBatch, by: Judge
) -> tuple[np.ndarray, list[pa.RecordBatch], Mapping[str, int]]:
    """(mask of the kept, ledgers by row, documents not asked by rule) by the rules and the languages asked for."""
    decision = decide(_labelled(batch, numbers), batch.column("kind"), by.rules)
    kept, ledgers = decision.kept.copy(), [decision.ledger]
    if by.languages:
        language = batch.column("language")
        codes = with_members(by.languages)  # zh stands for yue and wuu, too
        wanted = pc.is_in(language, value_set=pa.array(codes, pa.string()))
        for code in codes:  # and for zh_Hant
            wanted = pc.or_(wanted, pc.starts_with(language, f"{code}_").fill_null(False))
        is_code = pc.equal(batch.column("kind"), "code")
        foreign = pc.invert(pc.or_(wanted, is_code)).to_numpy(zero_copy_only=False)
        index = numbers.schema.get_field_index("language_score")
        scores = numbers.column(index).to_numpy() if index >= 0 else np.ones(batch.num_rows)
        ledgers.append(_one_rule(np.flatnonzero(foreign), LANGUAGE_RULE, scores, by.minimum_language_score))
        kept &= ~foreign
    return kept, ledgers, decision.not_asked


def _one_rule(rows: np.ndarray, rule: str, values: np.ndarray, threshold: float) -> pa.RecordBatch:
    """Ledger entries, by row, of one rule that all `rows` broke."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array(rows, pa.int64()),
            pa.array([rule] * len(rows), pa.string()),
            pa.array(values[rows], pa.float64()),
            pa.array(np.full(len(rows), threshold)),
        ],
        schema=ROW_LEDGER,
    )


def _rewritten(
    batch: pa.RecordBatch, kept: np.ndarray, first_texts: pa.Array | None, by: Judge
) -> tuple[pa.Array, pa.RecordBatch]:
    """(texts of the kept documents after all rewriters, what each rewriter did to which of them)."""
    mask = pa.array(kept)
    staying, records = batch.filter(mask), []
    at = staying.schema.get_field_index("text")
    for place, rewriter in enumerate(by.rewriters):
        before = staying.column(at)
        if place == 0 and first_texts is not None:
            after = first_texts.filter(mask)
        else:
            after = rewriter.rewrite(staying).texts
        changed = pc.not_equal(before, after)
        records.append(
            pa.RecordBatch.from_arrays(
                [
                    staying.column("id").filter(changed),
                    pa.array([rewriter.name] * (pc.sum(changed).as_py() or 0), pa.string()),
                    pc.binary_length(before.filter(changed)).cast(pa.int64()),
                    pc.binary_length(after.filter(changed)).cast(pa.int64()),
                ],
                schema=REWRITES_SCHEMA,
            )
        )
        staying = staying.set_column(at, staying.schema.field(at), after)
    empty = pa.RecordBatch.from_pylist([], schema=REWRITES_SCHEMA)
    return staying.column(at), pa.concat_batches([empty, *records])


def _joined(rows: np.ndarray, rules: pa.Array, rejected: np.ndarray) -> pa.Array:
    """The broken rules of each rejected row, joined by commas, in row order."""
    table = pa.table({"row": rows, "rule": rules}).sort_by([("row", "ascending"), ("rule", "ascending")])
    wanted = np.flatnonzero(rejected)
    sorted_rows = table["row"].to_numpy()
    offsets = np.append(np.searchsorted(sorted_rows, wanted), np.searchsorted(sorted_rows, len(rejected)))
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), table["rule"].combine_chunks())
    return pc.binary_join(lists, ",")


def _with_languages(batch: pa.RecordBatch, by: Judge) -> tuple[pa.RecordBatch, np.ndarray]:
    """(the batch with empty languages filled by the model, how sure each language is).

    The input's own word is taken as certain. A language below the least score stays unknown, with its score; code is
    not asked.
    """
    language = batch.column("language")
    scores = np.ones(batch.num_rows)
    if not by.language_model:
        return batch, scores
    asked = pc.and_(pc.is_null(language), pc.not_equal(batch.column("kind"), "code"))
    unknown = asked.to_numpy(zero_copy_only=False)
    if unknown.any():
        codes, certainty = _identifier(by.language_model).identify(batch.column("text").filter(asked))
        scores[unknown] = certainty
        sure = pc.if_else(pa.array(certainty >= by.minimum_language_score), codes, pa.scalar(None, pa.string()))
        language = pc.replace_with_mask(language, asked, sure)
        at = batch.schema.get_field_index("language")
        batch = batch.set_column(at, batch.schema.field(at), language)
    return batch, scores
