"""Batches in models of transformers: each document as if it stood alone, by each of the ways to say where they end."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from corpusmill.dataproc.errors import UserError
from corpusmill.training.loader.batch import Batch
from corpusmill.training.loader.model_inputs import ModelInputs
from corpusmill.training.loader.shard_loader import ShardLoader
from tests.training.shardmaker import patterned_rows, write_shard

LENGTH = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sequences of two documents and padding."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "shard-00000.arrow", patterned_rows(12, LENGTH, 0, vocab_size=64), LENGTH, vocab_size=64)
    return folder


def documents(batch: Batch) -> list[torch.Tensor]:
    """The ids of each document, in order."""
    lengths = [row_lengths.tolist() for row_lengths in batch.segment_lengths]
    return [
        part
        for row, row_lengths in zip(batch.tokens, lengths, strict=True)
        for part in row[: sum(row_lengths)].split(row_lengths)
    ]


@pytest.fixture(scope="module")
def model() -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return transformers.LlamaForCausalLM(config).eval()


def per_document(batch: Batch, inputs: dict[str, Any], logits: torch.Tensor) -> list[torch.Tensor]:
    """What was computed at the places of each document."""
    if inputs["input_ids"].shape[0] == 1 and len(batch.rows) > 1:
        return list(logits[0].split([len(document) for document in documents(batch)]))
    lengths = [row_lengths.tolist() for row_lengths in batch.segment_lengths]
    return [
        part
        for row, row_lengths in zip(logits, lengths, strict=True)
        for part in row[: sum(row_lengths)].split(row_lengths)
    ]


WAYS = {
    "position ids": ModelInputs(),
    "document mask": ModelInputs(document_mask=True),
    "flat": ModelInputs(flat=True),
    "flat with a mask": ModelInputs(flat=True, document_mask=True),
    "flat with borders": ModelInputs(flat=True, cu_seqlens=True, seq_idx=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_document_has_the_logits_and_the_loss_that_it_has_alone(folder: Path, model: Any, way: str):
    batch = next(ShardLoader(folder, 4, seed=1))
    inputs = WAYS[way](batch)
    with torch.no_grad():
        out = model(**inputs)
        alone = [model(input_ids=document[None], labels=document[None]) for document in documents(batch)]
    assert len(alone) == 8
    for packed, own in zip(per_document(batch, inputs, out.logits), alone, strict=True):
        torch.testing.assert_close(packed, own.logits[0], rtol=1e-4, atol=1e-5)
    predicted = [len(document) - 1 for document in documents(batch)]
    losses = [own.loss * count for own, count in zip(alone, predicted, strict=True) if count]
    torch.testing.assert_close(out.loss, sum(losses) / sum(predicted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_what_stands_in_a_document_changes_no_other(folder: Path, model: Any, way: str):
    batch = next(ShardLoader(folder, 4, seed=1))
    tokens = batch.tokens.clone()
    tokens[:, 0] = (tokens[:, 0] + 1) % 64  # in the first document of each sequence
    other = Batch(tokens, batch.rows, lambda: batch.segment_lengths)
    with torch.no_grad():
        before, after = (
            per_document(row_lengths, WAYS[way](row_lengths), model(**WAYS[way](row_lengths)).logits)
            for row_lengths in (batch, other)
        )
    assert [torch.equal(*pair) for pair in zip(before, after, strict=True)] == [False, True] * 4


def test_without_any_of_them_documents_leak_into_each_other(folder: Path, model: Any):
    batch = next(ShardLoader(folder, 4, seed=1))
    inputs = ModelInputs(position_ids=False)(batch)
    assert inputs.keys() == {"input_ids", "labels", "use_cache"}
    with torch.no_grad():
        packed = per_document(batch, inputs, model(**inputs).logits)[1]
        alone = model(input_ids=documents(batch)[1][None]).logits[0]
    assert (packed - alone).abs().max() > 1e-2


def test_flat_inputs_are_those_of_the_padding_free_collator_of_transformers(folder: Path):
    transformers = pytest.importorskip("transformers")
    collator = transformers.DataCollatorWithFlattening(return_flash_attn_kwargs=True, return_seq_idx=True)
    batch = next(ShardLoader(folder, 5))
    expected = collator([{"input_ids": document.tolist()} for document in documents(batch)], return_tensors="pt")
    inputs = ModelInputs(flat=True, cu_seqlens=True, seq_idx=True)(batch)
    assert inputs.pop("use_cache") is False and inputs.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert inputs[name].dtype == value.dtype and torch.equal(inputs[name], value), name
        else:
            assert inputs[name] == value, name


def test_examples_make_the_same_in_trls_own_collator(folder: Path):
    sft = pytest.importorskip("trl.trainer.sft_trainer")  # which we do not install, for all that it brings
    batch = next(ShardLoader(folder, 5))
    expected = sft.DataCollatorForLanguageModeling(pad_token_id=2, padding_free=True)(batch.examples())
    inputs = ModelInputs(flat=True, cu_seqlens=True, seq_idx=True)(batch)
    assert inputs.pop("use_cache") is False and inputs.keys() == expected.keys()
    assert all(torch.equal(torch.as_tensor(inputs[name]), torch.as_tensor(expected[name])) for name in inputs)


def test_examples_are_the_sequences_without_padding(folder: Path):
    batch = next(ShardLoader(folder, 3))
    for example, tokens, lengths in zip(batch.examples(), batch.tokens, batch.segment_lengths, strict=True):
        assert example == {"input_ids": tokens[: lengths.sum()].tolist(), "seq_lengths": lengths.tolist()}


def test_rows_carry_the_same_as_the_batch(folder: Path):
    batch = next(ShardLoader(folder, 3))
    inputs = ModelInputs(document_mask=True, seq_idx=True)(batch)
    assert inputs["seq_idx"].dtype == torch.int32 and torch.equal(inputs["seq_idx"], batch.segments)
    assert torch.equal(inputs["attention_mask"], batch.document_mask)
    with pytest.raises(UserError, match="cu_seqlens describe one flat row"):
        ModelInputs(cu_seqlens=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_as_lightning_makes_it_trains_on_them(folder: Path, model: Any, workers: int):
    """Batches are made in workers, moved by their `to` or a tensor at a time, and given to `training_step`."""

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = type(model)(model.config)

        def training_step(self, batch: dict[str, Any], number: int) -> torch.Tensor:
            return self.model(**batch).loss

    def moved(batch: Any, device: str) -> Any:  # lightning.fabric.utilities.apply_func.move_data_to_device
        if isinstance(batch, dict):
            return {name: moved(value, device) for name, value in batch.items()}
        return batch.to(device) if callable(getattr(batch, "to", None)) else batch

    torch.manual_seed(1)
    module = Module()
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    loader = DataLoader(ShardLoader(folder, 4), batch_size=None, num_workers=workers, collate_fn=ModelInputs())
    losses = []
    for number, batch in enumerate(loader):
        if number == 12:
            break
        loss = module.training_step(moved(batch, "cpu"), number)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < sum(losses[:3])


def test_a_trainer_that_collects_lists_gives_lists_of_one_batch(folder: Path):
    """As the Trainers of transformers and TRL do, with per_device_train_batch_size=1."""
    collate = ModelInputs(flat=True)
    lists = DataLoader(ShardLoader(folder, 4), batch_size=1, collate_fn=collate)
    single = DataLoader(ShardLoader(folder, 4), batch_size=None, collate_fn=collate)
    for number, (one, other) in enumerate(zip(lists, single, strict=False)):
        assert one.keys() == other.keys()
        assert all(torch.equal(torch.as_tensor(one[name]), torch.as_tensor(other[name])) for name in one)
        if number == 3:
            break
