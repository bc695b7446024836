"""A few texts that a finished run writes: beginnings of held-back documents, continued. For a person to look at.

Kept as ids and log-probabilities; whoever knows the vocabulary makes texts of them. A run has them if it is of one rank
and its model of at most `MOST_PARAMETERS`: then they cost a second at most, where a large model on many ranks would
have to be put together first. Draws are keyed by the run's seed, so the same run has the same samples.

Cost: the weights read once, and `NEW_TOKENS` passes over `TEXTS` rows.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpusmill.training.generation.generate import Text, Wanted, stream
from corpusmill.training.generation.sampling import Sampling
from corpusmill.training.generation.weights import open_trained
from corpusmill.training.loader.shard_cache import usual_cache
from corpusmill.training.loader.shard_loader import held_back
from corpusmill.training.loader.shard_set import ShardSet

MOST_PARAMETERS = 50_000_000
TEXTS = 4
PROMPT_TOKENS = 24
NEW_TOKENS = 48
TEMPERATURE = 0.8


@dataclass(frozen=True)
class Sample:
    """One text, in ids."""

    prompt: list[int]
    ids: list[int]
    log_probability: float


def write_samples(run: Path, shards: str, seed: int) -> list[Sample]:
    """Continues the beginnings of some documents of the shards, held-back ones where there are any.

    Args:
        run: folder of the finished run.
        shards: that it was trained on.
        seed: of the draws.
    """
    cache = usual_cache(shards)
    apart = held_back(shards, cache)
    documents = apart if apart is not None and len(apart) else ShardSet(shards, cache)
    rows = np.unique(np.arange(TEXTS) * len(documents) // TEXTS)
    tokens = documents.read(rows).tokens
    lengths = [int(of_sequence[0]) if len(of_sequence) else 1 for of_sequence in documents.segment_lengths(rows)]
    trained = open_trained(run)
    special = trained.shards.get("special") or {}
    stop = frozenset({special["eos"]}) if "eos" in special else frozenset()
    wanted = Wanted(NEW_TOKENS, Sampling(TEMPERATURE, 0.95, seed), stop, trained.shards.get("vocab_size"))
    texts = [
        Text(ids[: max(1, min(PROMPT_TOKENS, length // 2))], f"sample/{row}")
        for row, ids, length in zip(rows.tolist(), tokens.tolist(), lengths, strict=True)
    ]
    for _ in stream(trained.model, texts, wanted):
        pass
    return [Sample(list(text.prompt), text.ids, sum(text.log_probabilities)) for text in texts]
