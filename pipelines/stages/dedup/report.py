"""De-duplication's section of the report: clusters, and which sources lost documents to which."""

from typing import Any

from corpusmill.pipelines.report.removals import largest_clusters
from corpusmill.pipelines.report.sections import StageReport
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.visible import one_line

SOURCES_SHOWN = 20


def _values(stage: StageOutput, place: int) -> dict[str, Any]:
    facts = stage.facts
    rows = [
        ("candidate pairs", f"{facts['candidate_pairs']:,}"),
        ("verified pairs", f"{facts['verified_pairs']:,}"),
        ("compared pairs", f"{facts.get('compared_pairs', 0):,}"),
        ("clusters", f"{facts['clusters']:,}"),
        ("documents in the largest", f"{facts['largest_cluster']:,}"),
        ("bands × rows", f"{facts['bands']} × {facts['rows']}"),
    ]
    sizes = [
        (f"{int(size):,} to {2 * int(size) - 1:,}", count) for size, count in facts.get("cluster_sizes", {}).items()
    ]
    between = [
        (one_line(removed, 80), one_line(kept, 80), count)
        for removed, row in facts.get("duplicate_sources", {}).items()
        for kept, count in row.items()
    ]
    lost = [
        (one_line(source, 80), numbers["documents"], numbers["removed"])
        for source, numbers in facts.get("loss", {}).get("source", {}).items()
    ]
    return {
        "heading": "Duplicates",
        "facts": rows,
        "lost": sorted(lost, key=lambda row: (-row[2] / max(1, row[1]), row))[:SOURCES_SHOWN],
        "clusters": largest_clusters(stage),
        "read": stage.share_read("duplicates"),
        "sizes": sizes,
        "sources": sorted(between, key=lambda row: (-row[2], row))[:SOURCES_SHOWN],
    }


REPORT = StageReport(values=_values, template="corpusmill.pipelines.stages.dedup:section.html")
