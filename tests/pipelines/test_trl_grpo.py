"""TRL's GRPO trainer takes an exported folder as it is. Needs trl, accelerate, datasets: nothing else does."""

import os
from pathlib import Path

import pytest

from tests.pipelines.test_cli import corpusmill
from tests.pipelines.test_model import run  # noqa: F401


@pytest.mark.slow
def test_two_steps_of_trls_grpo_trainer_on_an_export(run: Path, tmp_path: Path) -> None:  # noqa: F811
    trl, datasets = pytest.importorskip("trl"), pytest.importorskip("datasets")
    pytest.importorskip("accelerate")
    out = tmp_path / "out"
    done = corpusmill("model", "export", run, "--output", out, "--tokenizer", tmp_path / "tokenizer")
    assert done.returncode == 0, done.stderr
    from transformers import AutoModelForCausalLM, AutoTokenizer

    arguments = trl.GRPOConfig(
        output_dir=str(tmp_path / "theirs"),
        max_steps=2,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=6,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        beta=0.04,
        learning_rate=1e-3,
    )
    os.environ.setdefault("ACCELERATE_USE_CPU", "true")
    trainer = trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(out),
        processing_class=AutoTokenizer.from_pretrained(out),
        reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
        args=arguments,
        train_dataset=datasets.Dataset.from_list([{"prompt": "the river"}, {"prompt": "a letter"}] * 4),
    )
    trained = trainer.train()
    assert trained.global_step == 2 and trained.training_loss == trained.training_loss
