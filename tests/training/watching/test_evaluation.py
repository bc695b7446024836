from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds, segment_column, write_shard
from corpusmill.training.loader.batch import empty_batch
from corpusmill.training.loader.shard_loader import ShardLoader
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.attention import document_mask
from corpusmill.training.model.config import preset
from corpusmill.training.model.loss import IGNORED, cross_entropy, losses
from corpusmill.training.model.transformer import Transformer, initialise
from corpusmill.training.parallel import choose
from corpusmill.training.parallel.ranks import join_ranks
from corpusmill.training.settings import TrainSettings
from corpusmill.training.watching.evaluation import (
    Evaluation,
    evaluate,
    measured_rows,
    token_nats,
    unigram_counts,
    unigram_loss,
)
from corpusmill.training.watching.spikes import sequence_losses
from tests.training.shardmaker import patterned_rows
from tests.training.two_processes import run_ranks

LENGTH, SEQUENCES = 32, 9
SOURCES = ("web", "code", "books")
TOKEN_BYTES = np.arange(256) % 5


def shards_of_sources(folder: Path, storage: str = "plain") -> ShardSet:
    """Nine sequences of two segments each; sources take turns, so a sequence is of two."""
    rows = patterned_rows(SEQUENCES, LENGTH, 1)
    tokens = np.full((SEQUENCES, LENGTH), 2, np.int32)
    for number, row in enumerate(rows):
        flat = [token for part in row for token in part]
        tokens[number, : len(flat)] = flat
    parts = [part for row in rows for part in row]
    segments = segment_column(
        np.arange(SEQUENCES + 1) * 2,
        pa.array([f"document-{number}" for number in range(len(parts))]),
        pa.array([SOURCES[number % 3] for number in range(len(parts))]),
        np.zeros(len(parts), np.int64),
        np.array([len(part) for part in parts], np.int32),
        np.zeros(len(parts), bool),
    )
    header = ShardHeader("test", LENGTH, SpecialIds(eos=1, pad=2, bos=0), 256, 256, seed=0, storage=storage)
    write_shard(str(folder / "shard-00000.arrow"), header, tokens, segments)
    return ShardSet(folder)


def tiny(std: float = 0.2) -> Transformer:
    """So wide a spread of weights that predictions differ a lot."""
    model = Transformer(preset("tiny", {"init_std": std, "vocab_size": 256}))
    initialise(model, 3)
    return model


def by_hand(model: Transformer, shards: ShardSet, rows: list[int], masked: bool) -> dict[str, list[float]]:
    """[nats, tokens, bytes] of each source, one sequence and one token after the other."""
    actual = {source: [0.0, 0.0, 0.0] for source in SOURCES}
    for row in rows:
        batch = shards.read(np.array([row]))
        used = int(batch.valid.sum())
        names = np.repeat(shards.segment_sources(np.array([row]))[0], batch.segment_lengths[0])
        mask = document_mask(batch.segments) if masked else None
        with torch.no_grad():
            hidden = model(batch.tokens, batch.valid, mask, mtp=False).main
            logs = torch.log_softmax(model.head(hidden).double(), -1)[0]
        for place in range(1, used):
            token = int(batch.tokens[0, place])
            sums = actual[names[place]]
            sums[0] -= float(logs[place - 1, token])
            sums[1] += 1
            sums[2] += TOKEN_BYTES[token]
    return actual


def measure_a_rank(folder: str, parallel: str) -> list:
    """What a rank of two measures, which has more or fewer sequences than the other; called in a process of its own."""
    torch.set_num_threads(1)
    with join_ranks("cpu") as ranks:
        shards, settings = ShardSet(folder), TrainSettings(folder, folder, parallel=parallel)
        model = choose(settings, tiny(), ranks).model
        actual = evaluate(model, shards, 5, 2, token_bytes=TOKEN_BYTES, ranks=ranks)
        mine = [[shards.read(np.array([4, 1])), shards.read(np.array([7]))], []][ranks.rank]
        return [actual.loss, actual.tokens, actual.by_source, sequence_losses(model, mine, False, ranks)]


@pytest.mark.parametrize("masked", [False, True])
def test_bits_per_byte_by_source_equal_those_counted_token_by_token(tmp_path: Path, masked: bool):
    shards, model = shards_of_sources(tmp_path), tiny()
    expected = by_hand(model, shards, list(range(SEQUENCES)), masked)
    actual = evaluate(model, shards, 100, 4, masked, TOKEN_BYTES)
    assert actual.tokens_by_source == {source: expected[source][1] for source in SOURCES}
    for source, (nats, _, spelled) in expected.items():
        assert actual.by_source[source] == pytest.approx(nats / log(2) / spelled, rel=1e-5)
    nats, tokens, spelled = np.sum(list(expected.values()), 0)
    assert (actual.loss, actual.tokens) == (pytest.approx(nats / tokens, rel=1e-5), tokens)
    assert actual.bits_per_byte == pytest.approx(nats / log(2) / spelled, rel=1e-5)
    assert max(actual.by_source.values()) > min(actual.by_source.values()) * 1.01, "the sources differ here"


def test_the_batch_does_not_matter_and_again_is_the_same_to_the_bit(tmp_path: Path):
    shards, model = shards_of_sources(tmp_path), tiny()
    actual = evaluate(model, shards, 7, 3, token_bytes=TOKEN_BYTES)
    assert evaluate(model, shards, 7, 3, token_bytes=TOKEN_BYTES) == actual
    for micro_batch in (1, 2, 7, 50):
        other = evaluate(model, shards, 7, micro_batch, token_bytes=TOKEN_BYTES)
        assert other.tokens_by_source == actual.tokens_by_source
        assert other.loss == pytest.approx(actual.loss, rel=1e-6)
        assert other.by_source == pytest.approx(actual.by_source, rel=1e-6)


def test_measured_rows_lie_evenly_over_all(tmp_path: Path):
    shards, model = shards_of_sources(tmp_path), tiny()
    assert measured_rows(shards, 3).tolist() == [0, 4, 8]
    assert measured_rows(shards, 1).tolist() == [0]
    assert measured_rows(shards, 4).tolist() == [0, 2, 5, 8]
    assert measured_rows(shards, 9).tolist() == measured_rows(shards, 1000).tolist() == list(range(9))
    expected = by_hand(model, shards, [0, 4, 8], False)
    assert evaluate(model, shards, 3, 2).tokens_by_source == {source: totals[1] for source, totals in expected.items()}


def test_the_unigram_model_is_measured_on_the_same_tokens(tmp_path: Path):
    shards = shards_of_sources(tmp_path)
    counts = unigram_counts(ShardLoader(shards, 1), 1000, 256)
    nats, tokens = 0.0, 0
    for row in (0, 4, 8):
        batch = shards.read(np.array([row]))
        for token in batch.tokens[0, 1 : int(batch.valid.sum())].tolist():
            nats -= log((counts[token] + 1) / (counts.sum() + 256))
            tokens += 1
    assert unigram_loss(counts, shards, 3) == pytest.approx(nats / tokens)
    assert evaluate(tiny(), shards, 3, 2).tokens == tokens


def test_without_byte_lengths_there_are_no_bits_but_tokens(tmp_path: Path):
    shards = shards_of_sources(tmp_path)
    actual = evaluate(tiny(), shards, 2, 2)
    assert (actual.bits_per_byte, actual.by_source) == (None, {})
    assert sum(actual.tokens_by_source.values()) == actual.tokens
    none = evaluate(tiny(), shards, 2, 2, token_bytes=np.zeros(256, np.int64))
    assert none == Evaluation(actual.loss, actual.tokens, None, {}, actual.tokens_by_source), (
        "special tokens spell nothing"
    )


@pytest.mark.parametrize("training", [False, True])
def test_measuring_leaves_the_model_as_it_was(tmp_path: Path, training: bool):
    shards, model = shards_of_sources(tmp_path), tiny()
    model.train(training)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    evaluate(model, shards, 4, 2)
    assert model.training is training
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers()), "no router counted"
    assert all(parameter.grad is None for parameter in model.parameters())


def test_nats_of_tokens_sum_to_the_loss_that_training_has():
    torch.manual_seed(0)
    hidden, head = torch.randn(5, 60, 16), torch.randn(90, 16)
    targets = torch.randint(0, 90, (5, 60))
    targets[:, 50:] = IGNORED
    nats = token_nats(hidden, head, targets)
    assert (nats.shape, nats.dtype) == (targets.shape, torch.float32)
    assert not nats[:, 50:].any() and (nats[:, :50] > 0).all()
    torch.testing.assert_close(nats.double().sum().float(), cross_entropy(hidden, head, targets))
    torch.testing.assert_close(token_nats(hidden.bfloat16(), head.bfloat16(), targets), nats, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("storage", ["plain", "packed", "zstd"])
def test_shards_tell_whose_their_segments_are(tmp_path: Path, storage: str):
    shards = shards_of_sources(tmp_path, storage)
    rows = np.array([8, 0, 4])
    assert shards.segment_documents(rows) == [[f"document-{2 * row}", f"document-{2 * row + 1}"] for row in rows]
    assert shards.segment_sources(rows) == [["code", "books"], ["web", "code"], ["books", "web"]]


def test_an_empty_batch_has_no_loss_and_no_gradient():
    model, batch = tiny(), empty_batch(8)
    model.train()
    assert (batch.tokens.shape, bool(batch.valid.any()), batch.segments.tolist()) == ((1, 8), False, [[-1] * 8])
    actual = losses(model, batch.tokens, batch.valid, batch.document_mask)
    total = actual.total(1, 1, 0.3, 1e-4)
    total.backward()
    assert total.item() == 0
    assert not any(parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)
    assert not any(module.load.any() for module in model.modules() if hasattr(module, "load"))


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["zero1", "fsdp2"])
def test_two_ranks_measure_what_one_does(tmp_path: Path, parallel: str):
    shards, model = shards_of_sources(tmp_path), tiny()
    alone = evaluate(model, shards, 5, 2, token_bytes=TOKEN_BYTES)
    worst = sequence_losses(model, [shards.read(np.array([4, 1])), shards.read(np.array([7]))], False)
    one, other = run_ranks(2, "tests.training.watching.test_evaluation:measure_a_rank", str(tmp_path), parallel)
    assert one == other, "bit for bit the same on all ranks"
    assert one[1] == alone.tokens
    assert one[0] == pytest.approx(alone.loss, rel=1e-6)
    assert one[2] == pytest.approx(alone.by_source, rel=1e-6)
    assert [row for row, _ in one[3]] == [row for row, _ in worst]
    assert [nats for _, nats in one[3]] == pytest.approx([nats for _, nats in worst], rel=1e-6)
