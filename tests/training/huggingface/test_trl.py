"""TRL on what we export: its loss on our packed batch, and steps of its trainer on the folder as it is."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from corpusmill.tokenizer.chat import CHAT_TEMPLATE
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.formats.files import CONFIG, TOKENIZER, write_tokenizer
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.special import layout_named
from corpusmill.training.huggingface.folder import export_model, import_run
from corpusmill.training.loader.shard_set import ShardSet
from corpusmill.training.model.attention import document_mask
from corpusmill.training.model.loss import losses
from tests.training.foreign_models import foreign_config, trained_like
from tests.training.shardmaker import patterned_rows, write_shard

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

LENGTH = 24


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing is asked of the network, and nothing drawn on the terminal."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A model with an MTP module and its tokenizer, as `model export` leaves them."""
    folder = tmp_path_factory.mktemp("trl")
    layout = layout_named("compact")
    counts = count_pretokens(pa.array(["one and two make three, says the teacher"], pa.large_string()))
    made = write_tokenizer(
        str(folder / "tokenizer"), train_merges(counts, 270, list(layout.first)), "compact", "deepseek-v3", {}
    )
    config = foreign_config(mtp_depth=1, vocab_size=made.special.model_rows)
    more = {f"{role}_token_id": made.special.roles[role] for role in ("bos", "eos", "pad")}
    beside = [folder / "tokenizer" / name for name in (TOKENIZER, CONFIG, CHAT_TEMPLATE)]
    export_model(
        trained_like(config), config, folder / "out", more={**more, "max_position_embeddings": 64}, beside=beside
    )
    return folder / "out"


def trainer_of(exported: Path, output: Path, rows, **settings):
    arguments = trl.SFTConfig(
        output_dir=str(output), max_steps=2, per_device_train_batch_size=4, learning_rate=1e-3, use_cpu=True,
        bf16=False, report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True, gradient_checkpointing=False,
        dataset_num_proc=None, **settings,
    )  # fmt: skip
    data = datasets.Dataset.from_list(rows)
    return trl.SFTTrainer(model=str(exported), args=arguments, train_dataset=data)


def test_its_loss_on_our_packed_batch_is_ours(exported, tmp_path):
    write_shard(tmp_path / "shards/shard-00000.arrow", patterned_rows(4, LENGTH, 0), LENGTH, learned=True)
    batch = ShardSet(tmp_path / "shards").read(np.arange(4))
    trainer = trainer_of(exported, tmp_path / "out", batch.examples(), padding_free=True, max_length=None)
    inputs = next(iter(trainer.get_train_dataloader()))
    assert inputs["input_ids"].shape == (1, int(batch.valid.sum()))
    theirs = trainer.compute_loss(trainer.model.float(), inputs)
    theirs.backward()
    config = foreign_config(mtp_depth=1, vocab_size=trainer.model.config.vocab_size)
    model = trained_like(config)
    made = losses(model, batch.tokens, batch.valid, document_mask(batch.segments), batch.learned)
    mine = made.main / int(batch.learned[:, 1:].sum())
    mine.backward()
    assert theirs.item() == pytest.approx(mine.item(), rel=1e-6)
    assert torch.allclose(trainer.model.lm_head.weight.grad, model.head.weight.grad, atol=1e-6)


def test_two_steps_on_the_folder_as_it_is_and_back_with_its_mtp_modules(exported, tmp_path):
    rows = [
        {"messages": [{"role": "user", "content": f"{n} and two"}, {"role": "assistant", "content": f"make {n + 2}"}]}
        for n in range(8)
    ]
    trainer = trainer_of(exported, tmp_path / "work", rows, assistant_only_loss=True)
    inputs = next(iter(trainer.get_train_dataloader()))
    learned = inputs["input_ids"][inputs["labels"] != -100]
    text = trainer.processing_class.decode(learned)
    assert text.count("<｜end▁of▁sentence｜>") == 4 and "and two" not in text
    trainer.train()
    assert trainer.state.global_step == 2
    trainer.save_model(str(tmp_path / "tuned"))
    opened = import_run(tmp_path / "tuned", tmp_path / "run", mtp=exported)
    assert opened.config.mtp_depth == 1
    described = json.loads((tmp_path / "run/config.json").read_text())
    assert described["model"]["mtp_depth"] == 1
    before = trained_like(foreign_config(mtp_depth=1, vocab_size=opened.config.vocab_size)).state_dict()
    after = load_file(tmp_path / "run/model.safetensors")
    assert after.keys() == before.keys()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith("mtp.")} <= same
    assert "head.weight" not in same and "embed.weight" not in same
