"""The last phase of writing shards: lint of a few record batches, whose findings go into the manifest and the summary.

A sample shows what is wrong with all of a set (begin and end tokens, ids, text, padding); what only the whole can
show (repeats, drift) is `corpusmill inspect lint`'s. The sample's size is fixed, `SAMPLED_BATCHES` of a million tokens,
and so is its cost: 0.3 s.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from corpusmill.pipelines.engine.stage import StageRun
from corpusmill.pipelines.engine.task import Task
from corpusmill.pipelines.stages.pack.arguments import LintWork, ShardWork

SAMPLED_BATCHES = 4


def lint_facts(
    run: StageRun, work: ShardWork, parts: Sequence[Mapping[str, Any]], *, encoded: bool
) -> dict[str, dict[str, Any]]:
    """`{"lint": findings over a sample}` of a set of these parts; nothing of a set without any."""
    if not parts:
        return {}
    shards = tuple((str(part["path"]), int(part["rows"])) for part in parts)
    task = Task(
        id="lint",
        function="corpusmill.pipelines.stages.pack.work.linting:lint_sample",
        arguments=LintWork(shard=work, shards=shards, encoded=encoded),
    )
    return {"lint": run.map("lint", [task])[0]["lint"]}
