"""The page of output schemas, made from the Arrow schemas that stages write by."""

from collections.abc import Iterator
from importlib import import_module

import pyarrow as pa

from corpusmill.pipelines.registry import descriptions
from scripts.docs_site.tables import code, plain, table

HEAD = """\
# Output schemas

Every output is a folder with a `_manifest.json`; [architecture](../architecture.md#data-contracts) says what it holds.
Columns below are those of the code. A dataset's parts are Parquet files; side tables lie beside them in folders that
readers skip, as Parquet files named `_ledger/part-00000.parquet.side`.
"""

TABLES = {
    "documents": ("dataproc.documents:SCHEMA", "Parts of every dataset, first of all columns."),
    "_quarantine": ("dataproc.documents:QUARANTINE_SCHEMA", "Records that could not be processed."),
    "_ledger": ("dataproc.documents:LEDGER_SCHEMA", "A row for every rule that a document broke."),
    "_rewrites": ("dataproc.documents:REWRITES_SCHEMA", "Kept documents whose text a rule changed."),
    "_duplicates": ("pipelines.stages.dedup.work.applying:DUPLICATES_SCHEMA", "Duplicates and their survivors."),
    "_spans": ("pipelines.stages.spans.work.actions:SPANS_SCHEMA", "Repeated stretches of text."),
    "_hits": ("dataproc.contamination.decontaminate:HITS_SCHEMA", "Stretches that occur in an evaluation set."),
    "_items": ("pipelines.stages.decontaminate.work:ITEMS_SCHEMA", "Items of evaluation sets, and their hits."),
    "_dropped": ("pipelines.stages.mixture.work:DROPPED", "Documents of which a mixture has no copy."),
    "_repositories": ("dataproc.readers.repository:SUMMARY_SCHEMA", "Repositories, with files read and left out."),
    "matches": ("pipelines.stages.index.work:MATCHES_SCHEMA", "What `index query` finds."),
    "counts": ("tokenizer.counting.counts:SCHEMA", "Pretokens and their counts, by partition of their hash."),
    "vocabulary.arrow": ("tokenizer.formats.vocabulary_file:SCHEMA", "A tokenizer's vocabulary."),
    "_statistics": (
        "dataproc.measures.statistic_columns:SCHEMA",
        "A document's numbers; [rules](../rules.md) explains them.",
    ),
}
"""Tables: their schema, and what a row is."""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([HEAD, *_folders(), "## Tables\n", *(part for name in TABLES for part in _table(name))])


def _folders() -> Iterator[str]:
    yield "## What each stage writes\n"
    rows = []
    for description in descriptions():
        sides = ", ".join(code(f"_{name}/") for name in description.side_folders)
        rows.append((code(description.name), description.makes, plain(description.holds), sides))
    yield table(("stage", "makes", "which holds", "beside its parts"), rows)


def _table(name: str) -> Iterator[str]:
    target, about = TABLES[name]
    module, _, attribute = target.partition(":")
    schema: pa.Schema = getattr(import_module(f"corpusmill.{module}"), attribute)
    yield f"### {name}\n\n{about}\n"
    yield table(
        ("column", "type", "may be null"),
        [(code(field.name), code(field.type), "yes" if field.nullable else "no") for field in schema],
    )
