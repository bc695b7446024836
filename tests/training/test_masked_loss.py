"""Loss over what is learned: packed conversations as if each stood alone, in any micro-batch, as others count it."""

import json
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from corpusmill.training.huggingface.folder import export_model, export_run, import_model, import_run
from corpusmill.training.loader.batch import NO_LABEL, join_batches
from corpusmill.training.loader.model_inputs import ModelInputs
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.attention import document_mask
from corpusmill.training.model.loss import losses
from corpusmill.training.model.transformer import Transformer
from corpusmill.training.settings import settings_for
from corpusmill.training.trainer import train
from corpusmill.training.watching.evaluation import evaluate
from corpusmill.training.watching.metrics import read_metrics
from tests.training.foreign_models import foreign_config, trained_like
from tests.training.shardmaker import PAD, mask_of, patterned_rows, write_shard, write_shard_set
from tests.training.test_trainer import settings_of
from tests.training.two_processes import run_ranks

LENGTH = 24


def shard_set(folder, storage: str = "plain") -> ShardSet:
    write_shard(folder / "shard-00000.arrow", patterned_rows(12, LENGTH, 0), LENGTH, storage=storage, learned=True)
    return ShardSet(folder)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> ShardSet:
    """12 sequences of two documents each, of which second halves are learned."""
    return shard_set(tmp_path_factory.mktemp("shards"))


@pytest.mark.parametrize("storage", ["plain", "packed", "zstd"])
def test_a_batch_has_the_mask_of_its_rows(tmp_path, storage):
    shards = shard_set(tmp_path / "shards", storage)
    wanted = np.stack([mask_of(row, LENGTH) for row in patterned_rows(12, LENGTH, 0)])
    rows = np.array([9, 0, 7])
    batch = shards.read(rows)
    assert batch.masked and np.array_equal(batch.learned.numpy(), wanted[rows])
    assert torch.equal(batch.labels != NO_LABEL, batch.learned)
    again = pickle.loads(pickle.dumps(shards.read(rows)))  # noqa: S301  # as a DataLoader's worker hands it over
    joined = join_batches([batch, again])
    assert np.array_equal(joined.learned.numpy(), wanted[[*rows, *rows]])
    flat = ModelInputs(flat=True)(batch)
    assert flat["labels"][0].tolist() == batch.labels[batch.valid].tolist()
    masks = [example["assistant_masks"] for example in batch.examples()]
    assert [sum(mask) for mask in masks] == wanted[rows].sum(1).tolist()


def gradients(model: Transformer, passes, weight: float) -> dict[str, torch.Tensor]:
    """Of main and MTP loss over several (tokens, valid, mask, learned), summed."""
    model.zero_grad()
    for inputs in passes:
        made = losses(model, *inputs)
        (made.main + weight * made.mtp).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("mtp_weight", [0.0, 0.3])
def test_packed_conversations_have_the_gradients_of_each_by_itself(shards, mtp_weight):
    batch = shards.read(np.arange(12))
    model = trained_like(foreign_config(mtp_depth=1))
    packed = gradients(model, [(batch.tokens, batch.valid, document_mask(batch.segments), batch.learned)], mtp_weight)
    alone = []
    for number, lengths in enumerate(batch.segment_lengths):
        ends = np.cumsum(lengths)
        for begin, end in zip(ends - lengths, ends, strict=True):
            tokens = batch.tokens[number, begin:end][None]
            if end - begin > 2:
                alone.append(
                    (tokens, torch.ones_like(tokens, dtype=torch.bool), None, batch.learned[number, begin:end][None])
                )
    by_themselves = gradients(model, alone, mtp_weight)
    largest = max(float(gradient.abs().max()) for gradient in packed.values())
    for name, gradient in packed.items():
        assert torch.allclose(gradient, by_themselves[name], atol=1e-6 * largest, rtol=1e-6), name
    visible = gradients(model, [(batch.tokens, batch.valid, None, batch.learned)], mtp_weight)
    assert any(not torch.allclose(visible[name], packed[name], rtol=1e-3) for name in packed), "the mask matters"


def test_transformers_gives_the_same_loss_and_gradients(shards, tmp_path):
    transformers = pytest.importorskip("transformers")
    batch = shards.read(np.arange(12))
    config = foreign_config(mtp_depth=1)
    model = trained_like(config)
    export_model(model, config, tmp_path / "out")
    theirs = transformers.DeepseekV3ForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").train()
    out = theirs(**ModelInputs()(batch))
    out.loss.backward()
    mine = losses(model.train(), batch.tokens, batch.valid, document_mask(batch.segments), batch.learned)
    mean = mine.main / int(batch.learned[:, 1:].sum())
    mean.backward()
    assert mean.item() == pytest.approx(out.loss.item(), rel=1e-6)
    assert torch.allclose(model.head.weight.grad, theirs.lm_head.weight.grad, atol=1e-6)
    assert torch.allclose(model.embed.weight.grad, theirs.model.embed_tokens.weight.grad, atol=1e-6)


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_any_micro_batch_counts_the_same_tokens(tmp_path, micro_batch):
    folder = write_shard_set(tmp_path / "shards", learned=True)

    def trained(name, **more):
        settings = settings_of(folder, tmp_path / name, steps=3, document_mask=True, **more)
        train(settings, tmp_path / name / "_state")
        return [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]

    for one, other in zip(trained("whole", micro_batch=8), trained("cut", micro_batch=micro_batch), strict=True):
        for key in ("loss", "mtp_loss", "validation_loss"):
            if one.get(key) is not None:
                assert one[key] == pytest.approx(other[key], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [{"parallel": "zero1"}, {"pipeline_ranks": 2, "pipeline_schedule": "1f1b"}])
def test_two_ranks_count_the_same_tokens_as_one(tmp_path, layout):
    folder = write_shard_set(tmp_path / "shards", learned=True)
    how = {"steps": 4, "batch_sequences": 6, "micro_batch": 2, "document_mask": True, "model": {"n_layers": 4}}
    one = settings_of(folder, tmp_path / "one", **how)
    train(one, tmp_path / "one/_state")
    two = settings_of(folder, tmp_path / "two", **how, **layout)
    run_ranks(2, "tests.training.test_run:train_a_rank", asdict(two), timeout=120)
    for single, double in zip(
        *(read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two")), strict=True
    ):
        for key in ("loss", "mtp_loss", "gradient_norm"):
            assert single[key] == pytest.approx(double[key], rel=1e-4)
    measured = [read_metrics(tmp_path / name / "metrics.jsonl")[-1]["validation_loss"] for name in ("one", "two")]
    assert measured[0] == pytest.approx(measured[1], rel=1e-4)


def test_evaluation_and_baseline_are_of_what_is_learned(tmp_path):
    folder = write_shard_set(tmp_path / "shards", learned=True)
    shards = ShardSet(folder / "_validation")
    model = trained_like(replace(foreign_config(mtp_depth=0)))
    measured = evaluate(model, shards, 9, 4, masked=True)
    batch = shards.read(np.arange(9))
    mine = losses(model, batch.tokens, batch.valid, document_mask(batch.segments), batch.learned)
    assert measured.tokens == int(batch.learned.sum())
    assert measured.loss == pytest.approx(float(mine.main) / measured.tokens, rel=1e-6)


def test_fine_tuning_has_the_reports_rates_in_the_presets_measure():
    v3 = settings_for("v3-671b", "shards", "out", sft=True, model={})
    assert (v3.learning_rate, v3.final_learning_rate) == (pytest.approx(5e-6), pytest.approx(1e-6))
    small = settings_for("quickstart", "shards", "out", sft=True, clip=0.5)
    assert small.learning_rate == pytest.approx(6e-3 * 5 / 220) and small.document_mask and small.clip == 0.5
    assert settings_for("quickstart", "shards", "out", sft=True, learning_rate=1e-3).learning_rate == 1e-3
    assert not settings_for("quickstart", "shards", "out").document_mask


def test_mtp_modules_come_back_from_the_export_that_was_trained(tmp_path):
    config = foreign_config(mtp_depth=1)
    model = trained_like(config)
    export_model(model, config, tmp_path / "out")
    # what a trainer of transformers saves: the main model, changed, without MTP modules
    bare = replace(config, mtp_depth=0)
    tuned = {name: tensor + 1 for name, tensor in model.state_dict().items() if not name.startswith("mtp.")}
    export_model(tuned, bare, tmp_path / "tuned")
    values = json.loads((tmp_path / "tuned/config.json").read_text()) | {"num_nextn_predict_layers": 1}
    (tmp_path / "tuned/config.json").write_text(json.dumps(values))
    lost = import_run(tmp_path / "tuned", tmp_path / "lost")
    assert lost.left_behind == 1 and lost.config.mtp_depth == 0
    opened = import_run(tmp_path / "tuned", tmp_path / "back", mtp=tmp_path / "out")
    assert opened.config == config and not opened.left_behind
    export_run(tmp_path / "back", tmp_path / "again")
    actual, state = import_model(tmp_path / "again")
    assert actual == config
    for name, tensor in model.state_dict().items():
        assert torch.equal(state[name], tensor if name.startswith("mtp.") else tuned[name]), name


def test_padding_is_never_learned(shards):
    batch = shards.read(np.arange(12))
    assert not (batch.learned & (batch.tokens == PAD) & ~batch.valid).any()
