"""The workers' side of filter: one part of documents, measured and decided."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dataproc.datasets import PartWriter, open_part, read_batches
from dataproc.errors import UserError
from dataproc.language import LanguageIdentifier
from dataproc.rules import Rule, decide, rule_from_dict
from dataproc.statistics import measure
from pipelines.engine.worker import TaskContext
from pipelines.tasks.outputs import below, write_quarantine

LEDGER_SCHEMA = pa.schema(
    [("id", pa.string()), ("rule", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())]
)
LANGUAGE_RULE = "language"


@dataclass(frozen=True)
class Settings:
    """What the part is filtered by."""

    rules: tuple[Rule, ...]
    language_model: str | None
    languages: tuple[str, ...]
    minimum_language_score: float


@dataclass(frozen=True)
class Judged:
    """A batch after judgement; each field goes to its own folder."""

    kept: pa.RecordBatch
    rejected: pa.RecordBatch
    ledger: pa.RecordBatch
    statistics: pa.RecordBatch


@cache
def _identifier(path: str) -> LanguageIdentifier:
    return LanguageIdentifier(path)


def filter_part(task: TaskContext) -> dict[str, Any]:
    """Filters `arguments["path"]` into part, rejected, ledger and statistics of the task's name."""
    arguments = task.arguments
    settings = Settings(
        rules=tuple(rule_from_dict(rule) for rule in arguments["rules"]),
        language_model=arguments["language_model"],
        languages=tuple(arguments["languages"]),
        minimum_language_score=arguments["minimum_language_score"],
    )
    path = arguments["path"]
    if settings.languages and not settings.language_model:
        _require_languages(path)
    with open_part(path) as file:
        schema = file.schema_arrow.remove_metadata()
    counts, rejected_by = Counter[str](), Counter[str]()
    with ExitStack() as stack:
        writers = {name: stack.enter_context(writer) for name, writer in _writers(task, schema).items()}
        for batch in read_batches(path):
            counts["documents_in"] += batch.num_rows
            for judged in task.guard.each(batch, partial(judge, settings=settings), path):
                for name, writer in writers.items():
                    writer.write(getattr(judged, name))
                counts["kept"] += judged.kept.num_rows
                counts["rejected"] += judged.rejected.num_rows
                rejected_by.update(judged.ledger.column("rule").to_pylist())
    files = [entry for name in ("rejected", "ledger", "statistics") for entry in below(name, writers[name].parts)]
    return {
        "documents_in": counts["documents_in"],
        "kept": counts["kept"],
        "rejected": counts["rejected"],
        "quarantined": task.guard.quarantined,
        "rejected_by": dict(rejected_by),
        "parts": writers["kept"].parts,
        "files": files + write_quarantine(task),
    }


def _require_languages(path: str) -> None:
    """Raises UserError when languages are asked for and no document of a part has one: all would be rejected."""
    prose, named = 0, 0
    for batch in read_batches(path, ["kind", "language"]):
        is_prose = pc.not_equal(batch.column("kind"), "code")
        prose += pc.sum(is_prose).as_py() or 0
        named += pc.sum(pc.and_(is_prose, pc.is_valid(batch.column("language")))).as_py() or 0
    if prose and not named:
        raise UserError(
            "languages are asked for, and no document here has one", path, "give --language-model, or no --languages"
        )


def _writers(task: TaskContext, schema: pa.Schema) -> dict[str, PartWriter]:
    statistics = pa.schema([pa.field("id", pa.string()), *measure(pa.array([], pa.large_string())).schema])
    schemas = {
        "kept": schema,
        "rejected": schema.append(pa.field("broken_rules", pa.string())),
        "ledger": LEDGER_SCHEMA,
        "statistics": statistics,
    }
    folders = {name: task.folder if name == "kept" else task.path(name) for name in schemas}
    never = 1 << 62  # one file a part: what stands beside a part has the part's name
    return {name: PartWriter(folders[name], task.id, each, part_bytes=never) for name, each in schemas.items()}


def judge(batch: pa.RecordBatch, settings: Settings) -> Judged:
    """Measures and decides every document of a batch on its own."""
    ids = batch.column("id")
    statistics = measure(batch.column("text"))
    decision = decide(statistics, batch.column("kind"), settings.rules)
    kept = decision.kept.copy()
    rows = decision.ledger.column("row").to_numpy(zero_copy_only=False)
    ledgers = [
        pa.RecordBatch.from_arrays([ids.take(pa.array(rows)), *decision.ledger.columns[1:]], schema=LEDGER_SCHEMA)
    ]
    if settings.language_model or settings.languages:
        batch, ledger, foreign = _judge_language(batch, settings)
        kept &= ~foreign
        ledgers.append(ledger)
        rows = np.concatenate([rows, np.flatnonzero(foreign)])
    whole = pa.concat_batches(ledgers)
    mask = pa.array(kept)
    rejected = batch.filter(pc.invert(mask))
    rejected = rejected.append_column("broken_rules", _joined(rows, whole.column("rule"), ~kept))
    measured = pa.RecordBatch.from_arrays([ids, *statistics.columns], names=["id", *statistics.schema.names])
    return Judged(kept=batch.filter(mask), rejected=rejected, ledger=whole, statistics=measured)


def _joined(rows: np.ndarray, rules: pa.Array, rejected: np.ndarray) -> pa.Array:
    """The broken rules of each rejected row, joined by commas, in row order."""
    table = pa.table({"row": rows, "rule": rules}).sort_by([("row", "ascending"), ("rule", "ascending")])
    wanted = np.flatnonzero(rejected)
    sorted_rows = table["row"].to_numpy()
    offsets = np.append(np.searchsorted(sorted_rows, wanted), np.searchsorted(sorted_rows, len(rejected)))
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), table["rule"].combine_chunks())
    return pc.binary_join(lists, ",")


def _judge_language(batch: pa.RecordBatch, settings: Settings) -> tuple[pa.RecordBatch, pa.RecordBatch, np.ndarray]:
    """Fills empty languages by the model; gives the batch, ledger rows and the mask of documents in other languages."""
    language = batch.column("language")
    unknown = pc.is_null(language).to_numpy(zero_copy_only=False)
    scores = np.where(unknown, np.nan, 1.0)  # the input's own word is taken as certain
    if settings.language_model and unknown.any():
        codes, found = _identifier(settings.language_model).identify(batch.column("text").filter(pa.array(unknown)))
        scores[unknown] = found
        sure = pc.if_else(pa.array(found >= settings.minimum_language_score), codes, pa.scalar(None, pa.string()))
        language = pc.replace_with_mask(language, pa.array(unknown), sure)
        batch = batch.set_column(batch.schema.get_field_index("language"), batch.schema.field("language"), language)
    foreign = np.zeros(batch.num_rows, bool)
    if settings.languages:
        wanted = pc.is_in(language, value_set=pa.array(settings.languages, pa.string()))
        is_code = pc.equal(batch.column("kind"), "code")
        foreign = pc.invert(pc.or_(wanted, is_code)).to_numpy(zero_copy_only=False)
    count = int(foreign.sum())
    ledger = pa.RecordBatch.from_arrays(
        [
            batch.column("id").filter(pa.array(foreign)),
            pa.array([LANGUAGE_RULE] * count, pa.string()),
            pa.array(scores[foreign]),
            pa.array([settings.minimum_language_score] * count, pa.float64()),
        ],
        schema=LEDGER_SCHEMA,
    )
    return batch, ledger, foreign
