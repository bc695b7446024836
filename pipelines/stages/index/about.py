"""What a de-duplication index says of itself: filling a segment of it, querying it, merging segments."""

from corpusmill.pipelines.description import Rates, StageDescription, document_rows
from corpusmill.pipelines.stages.dedup.about import duplicate_rows

INDEX = StageDescription(
    name="index",
    plan="corpusmill.pipelines.stages.index.plan:SegmentStage",
    command=("index", "add"),
    in_recipes=False,
    makes="segment",
    holds="a segment of an index",
    reads=("dataset",),
    rates=Rates(150.0, 0.0, 0.24, 550),
    rows=lambda counts, facts: document_rows(counts),
)

QUERY = StageDescription(
    name="query",
    plan="corpusmill.pipelines.stages.index.plan:QueryStage",
    command=("index", "query"),
    in_recipes=False,
    makes="matches",
    holds="matches",
    uses=("index",),
    rates=Rates(150.0, 0.0, 0.01, 600),
    rows=duplicate_rows,
)

MERGE = StageDescription(
    name="merge",
    plan="corpusmill.pipelines.stages.index.merge_plan:MergeStage",
    command=("index", "merge"),
    in_recipes=False,
    makes="segment",
    holds="a segment merged from others",
    reads=(),
    uses=("index",),
    rates=Rates(300.0, 0.0, 1.0, 550),
    rows=lambda counts, facts: document_rows(counts),
)
