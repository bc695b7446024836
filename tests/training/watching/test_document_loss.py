"""Documents measured one by one: windows as lm-evaluation-harness cuts them, sums as a plain loop makes them."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.training.generation.decoder import full_logits
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.loss import IGNORED
from corpusmill.training.watching.document_loss import continuation_nats, document_nats, segment_sums, windows
from corpusmill.training.watching.evaluation import evaluate
from tests.training.foreign_models import foreign_config, trained_like


def harness_windows(ids: list[int], prefix: int, length: int) -> list[tuple[list[int], list[int]]]:
    """(input, what of its targets counts) by the rule of lm_eval.utils.get_rolling_token_windows with context 1."""
    cut, done = [], min(length, len(ids))
    if ids:
        cut.append(([prefix, *ids[: done - 1]], ids[:done]))
    while done < len(ids):
        count = min(len(ids) - done, length)
        end = done + count
        cut.append((ids[max(0, end - length - 1) : end - 1], ids[end - count : end]))
        done = end
    return cut


@given(st.integers(0, 60), st.integers(1, 20))
def test_windows_are_those_of_the_harness(count: int, length: int) -> None:
    ids = list(range(100, 100 + count))
    made = [
        (inputs.tolist(), targets[targets != IGNORED].tolist())
        for inputs, targets in windows(np.array(ids, np.int64), 1, length)
    ]
    assert made == harness_windows(ids, 1, length)
    assert [token for _, targets in made for token in targets] == ids, "each token is predicted once"


def test_nats_equal_a_loop_over_windows_whatever_shares_a_pass() -> None:
    model = trained_like(foreign_config())
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 256, count) for count in (5, 70, 0, 16, 33, 1)]
    wanted = []
    for ids in documents:
        total = 0.0
        for inputs, targets in harness_windows(ids.tolist(), 1, 16):
            likely = full_logits(model, torch.tensor([inputs])).double().log_softmax(-1)[0, -len(targets) :]
            total -= float(likely.gather(1, torch.tensor(targets)[:, None]).sum())
        wanted.append(total)
    for tokens_a_pass in (1, 40, 8192):
        made = document_nats(model, documents, 1, 16, tokens_a_pass)
        assert np.allclose(made, wanted, rtol=1e-5)


def test_sums_of_segments_are_what_evaluation_sums(shard_folder) -> None:
    model = trained_like(foreign_config())
    shards = ShardSet(shard_folder)
    spelled = np.arange(256) % 5
    rows = np.arange(len(shards), dtype=np.int64)
    parts = list(segment_sums(model, shards, rows, 7, spelled, masked=False))
    whole = evaluate(model, shards, len(shards), 4, token_bytes=spelled)
    tokens, nats = sum(part.tokens.sum() for part in parts), sum(part.nats.sum() for part in parts)
    assert tokens == whole.tokens and np.isclose(nats / tokens, whole.loss, rtol=1e-6)
    assert np.isclose(nats / np.log(2) / sum(part.bytes.sum() for part in parts), whole.bits_per_byte, rtol=1e-6)
    assert sum(len(part.documents) for part in parts) == 80


def test_continuations_are_scored_after_what_fits_of_their_context() -> None:
    model = trained_like(foreign_config())
    rng = np.random.default_rng(1)
    pairs = [(rng.integers(0, 256, a).tolist(), rng.integers(0, 256, b).tolist()) for a, b in ((3, 2), (40, 5), (1, 9))]
    likeliest = full_logits(model, torch.tensor([pairs[0][0]]))[0, -1].argmax().item()
    pairs.append((pairs[0][0], [likeliest]))
    for tokens_a_pass in (1, 8192):
        nats, greedy = continuation_nats(model, pairs, 20, tokens_a_pass)
        for (context, following), made, same in zip(pairs, nats, greedy, strict=True):
            inputs = (context + following)[-21:][:-1]
            logits = full_logits(model, torch.tensor([inputs])).double()[0, -len(following) :]
            wanted = -logits.log_softmax(-1).gather(1, torch.tensor(following)[:, None]).sum()
            assert np.isclose(made, float(wanted), rtol=1e-5)
            assert same == (logits.argmax(-1).tolist() == following)
    assert greedy.tolist() == [False, False, False, True]
