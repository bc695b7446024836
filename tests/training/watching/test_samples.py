"""What a finished run writes for a person to look at."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds
from corpusmill.training.model.config import as_dictionary
from corpusmill.training.watching.samples import NEW_TOKENS, PROMPT_TOKENS, write_samples
from tests.training.foreign_models import foreign_config, trained_like


def write_run(folder: Path) -> Path:
    """A finished run whose tokens are fewer than the model's rows."""
    config = foreign_config(vocab_size=264)
    folder.mkdir()
    save_file(trained_like(config).state_dict(), str(folder / "model.safetensors"))
    header = ShardHeader("test", 32, SpecialIds(eos=1, pad=2, bos=0), 256, 264, seed=0)
    (folder / "config.json").write_text(json.dumps({"model": as_dictionary(config), "shards": asdict(header)}))
    return folder


def test_samples_go_on_from_beginnings_of_held_back_documents(shard_folder: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    samples = write_samples(run, str(shard_folder), seed=5)
    assert 1 <= len(samples) <= 4
    for sample in samples:
        assert 1 <= len(sample.prompt) <= PROMPT_TOKENS and 1 <= len(sample.ids) <= NEW_TOKENS
        assert max(sample.ids) < 256 and sample.log_probability < 0
    assert write_samples(run, str(shard_folder), seed=5) == samples
    assert write_samples(run, str(shard_folder), seed=6) != samples
