"""What ingest says of itself."""

from collections.abc import Mapping
from typing import Any

from corpusmill.pipelines.description import Rates, Rows, StageDescription, document_rows, no_losses

MARKS = {"replaced": "with characters replaced", "truncated": "cut off"}
"""What documents with a mark of their reader are called."""


def _rows(counts: Mapping[str, int], facts: Mapping[str, Any]) -> Rows:
    normalised = [(f"  changed by {name}", f"{count:,}") for name, count in facts.get("normalised", {}).items()]
    whole = [("large files in one piece", f"{len(facts['indivisible']):,}")] if "indivisible" in facts else []
    marked = [(f"  {MARKS.get(name, name)}", f"{count:,}") for name, count in facts.get("marked", {}).items()]
    unread = facts.get("unread")
    lost = [("not read to the end", f"{unread['pieces']:,} files or pieces of them")] if unread else []
    links = [("links, folders and special files left out", f"{facts['left_out']:,}")] if "left_out" in facts else []
    if repeated := facts.get("duplicate_ids"):
        lost.append(("repeated ids", f"{repeated['ids']:,}, {repeated['renamed']:,} renamed"))
    repositories = _repository_rows(facts.get("repositories", {}))
    records = facts.get("passed_over", {})
    none = [("records other than pages", f"{sum(records.values()):,}")] if records else []
    kinds = [(f"  {kind}", f"{count:,}") for kind, count in records.items()]
    return [*document_rows(counts), *lost, *links, *marked, *normalised, *whole, *none, *kinds, *repositories]


def _repository_rows(repositories: Mapping[str, int]) -> Rows:
    """What became of the files of repositories: how many are in documents, and why the others are not."""
    if not repositories:
        return []
    first = ("repositories", "files", "dependencies")
    reasons = sorted(set(repositories) - {*first, "documents", "bytes", "normalised", "quarantined"})
    return [(name, f"{repositories[name]:,}") for name in first] + [
        (f"  files left out: {name.replace('_', ' ')}", f"{repositories[name]:,}")
        for name in reasons
        if repositories[name]
    ]


INGEST = StageDescription(
    name="ingest",
    plan="corpusmill.pipelines.stages.ingest.plan:IngestStage",
    command=("ingest",),
    line="Turn raw files into a dataset of documents.",
    help="Turn raw files (JSON lines, JSON, CSV, Parquet, Arrow, Hugging Face datasets, web archives, HTML, text, code "
    "repositories) into a dataset of documents.",
    example="corpusmill ingest 'crawl/*.jsonl.zst' notes/ --output documents --source crawl --kind web",
    positional=("inputs",),
    reads=(),
    side_folders=("repositories",),
    rates=Rates(99.0, 1.0, 0.27, 400),
    sampled=True,
    sampler="corpusmill.pipelines.stages.ingest.sampling:sample_ingest",
    rows=_rows,
    losses=no_losses,
    inspection="corpusmill.pipelines.stages.ingest.inspection:INSPECTION",
)
