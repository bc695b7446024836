"""The work of lint at the end of packing: a few record batches, with the tokenizer that the worker holds already."""

from typing import Any

import numpy as np

from corpusmill.dataproc.lint.linter import Linter
from corpusmill.dataproc.lint.shard_sets import ShardFile, expected_of_shards, sampled_blocks
from corpusmill.pipelines.engine.worker import TaskContext
from corpusmill.pipelines.stages.pack.arguments import LintWork
from corpusmill.pipelines.stages.pack.linting import SAMPLED_BATCHES
from corpusmill.pipelines.stages.pack.work.encoding import load_encoder, shard_header
from corpusmill.tokenizer.round_trip import RoundTrip


def lint_sample(task: TaskContext[LintWork]) -> dict[str, Any]:
    """Findings over some batches of the set. Memory: one of them."""
    work = task.arguments
    encoder = load_encoder(work.shard.tokenizer)
    tokenizer = encoder.tokenizer
    expected = expected_of_shards(
        shard_header(work.shard),
        tokenizer.spellings,
        np.isin(np.arange(tokenizer.vocab_size), list(tokenizer.special.ids.values())),
        encoded=work.encoded,
        whole=False,
        round_trip=RoundTrip(tokenizer, encoder.joined),
    )
    linter = Linter(expected)
    shards = [ShardFile(task.path(path), path, rows) for path, rows in work.shards]
    for _, block in sampled_blocks(shards, work.shard.sequence_length, SAMPLED_BATCHES):
        linter.add(block)
    return {"lint": linter.report().to_values()}
