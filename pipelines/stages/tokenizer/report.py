"""The tokenizer's section of the report: its size and what it was learned from."""

from typing import Any

from corpusmill.pipelines.report.sections import StageReport
from corpusmill.pipelines.report.stages import StageOutput
from corpusmill.pipelines.visible import one_line


def _values(stage: StageOutput, place: int) -> dict[str, Any]:
    counts, facts, settings = stage.counts, stage.facts, stage.manifest["settings"]
    rows = [
        ("ids", f"{facts['ids']:,}"),
        ("merges", f"{facts['merges']:,}"),
        ("rows of a model's embedding", f"{facts['model_rows']:,}"),
        ("pattern", one_line(str(settings["pattern"]))),
        ("special tokens", one_line(str(settings["special"]))),
        ("pretokens", f"{counts['pretokens']:,}"),
        ("unique pretokens", f"{counts['unique_pretokens']:,}"),
        ("bytes per token, on a sample", f"{facts['bytes_per_token']:.3f}"),
        ("fingerprint", one_line(str(facts["fingerprint"]))),
    ]
    return {"heading": "Tokenizer", "facts": rows}


REPORT = StageReport(values=_values, template="corpusmill.pipelines.stages.tokenizer:section.html")
