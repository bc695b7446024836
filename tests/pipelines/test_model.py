"""`corpusmill model export|import`: a run goes out with its tokenizer, loads in `transformers`, and comes back."""

import dataclasses
import json
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from corpusmill.dataproc.sequences.shards import ShardHeader, SpecialIds
from corpusmill.tokenizer.counting.counts import count_pretokens
from corpusmill.tokenizer.formats.files import write_tokenizer
from corpusmill.tokenizer.learning.bpe import train_merges
from corpusmill.tokenizer.special import layout_named
from corpusmill.training.model.config import as_dictionary
from tests.pipelines.test_cli import corpusmill
from tests.training.foreign_models import foreign_config, trained_like

WORDS = "the river and the stone bridge with a letter in the morning garden"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run and, in `tokenizer` beside it, the tokenizer of its shards."""
    counts = count_pretokens(pa.array([WORDS], pa.large_string()))
    layout = layout_named("deepseek-v3")
    vocabulary = train_merges(counts, 280, list(layout.first))
    made = write_tokenizer(str(tmp_path / "tokenizer"), vocabulary, "deepseek-v3", "deepseek-v3", {"seed": 1})
    rows = made.special.model_rows
    config = foreign_config(vocab_size=rows)
    folder = tmp_path / "run"
    folder.mkdir()
    save_file(trained_like(config).state_dict(), str(folder / "model.safetensors"))
    special = SpecialIds(**{role: made.special.roles[role] for role in ("eos", "pad", "bos")})
    header = ShardHeader(made.fingerprint, 48, special, made.special.vocab_size, rows, seed=0)
    described = {"model": as_dictionary(config), "shards": dataclasses.asdict(header)}
    (folder / "config.json").write_text(json.dumps(described))
    return folder


def test_the_tokenizer_of_a_run_is_found_by_its_shards(run: Path, tmp_path: Path, monkeypatch) -> None:
    from corpusmill.pipelines.engine import state
    from corpusmill.pipelines.inspect.places import tokenizer_of_run

    assert tokenizer_of_run(str(run)) is None, "a folder that no stage made says nothing of its shards"
    empty = {"counts": {}, "parts": [], "files": [], "facts": {}, "seed": 0, "schema": state.SCHEMA_VERSION}
    empty["stage_version"] = 1
    described = {"pack": ("shards", {"tokenizer": "tokenizer", "datasets": []}), "train": ("run", {"shards": "shards"})}
    for stage, (name, settings) in described.items():
        (tmp_path / name).mkdir(exist_ok=True)
        inputs = {"shards": {"manifest": "changed since"}} if stage == "train" else {"tokenizer": {"training": "0"}}
        manifest = empty | {"stage": stage, "settings": settings, "inputs": inputs}
        (tmp_path / name / "_manifest.json").write_bytes(state.to_json(manifest))
    assert tokenizer_of_run(str(run)) == str(tmp_path / "tokenizer")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("run", "shards", "tokenizer"):
        (tmp_path / name).rename(moved / name)
    monkeypatch.chdir(tmp_path)
    assert tokenizer_of_run(str(moved / "run")) == str(moved / "tokenizer"), "a run may be moved as a whole"
    (moved / "tokenizer").rename(tmp_path / "gone")
    assert tokenizer_of_run(str(moved / "run")) is None


def test_a_run_goes_out_with_its_tokenizer_and_comes_back(run: Path, tmp_path: Path, monkeypatch) -> None:
    out, tokenizer = tmp_path / "out", tmp_path / "tokenizer"
    done = corpusmill("model", "export", run, "--output", out, "--tokenizer", tokenizer)
    assert done.returncode == 0, done.stderr
    assert f"{out}: " in done.stdout and "in MTP modules" in done.stdout

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    encode, model = AutoTokenizer.from_pretrained(out), AutoModelForCausalLM.from_pretrained(out)
    ids = encode(WORDS, return_tensors="pt")["input_ids"]
    assert encode.decode(ids[0], skip_special_tokens=True) == WORDS
    assert model.config.eos_token_id == encode.eos_token_id and model.config.max_position_embeddings == 48
    with torch.no_grad():
        assert model(ids).logits.shape == (1, ids.shape[1], model.config.vocab_size)

    done = corpusmill("model", "import", out, "--output", tmp_path / "back")
    assert done.returncode == 0, done.stderr
    before, after = load_file(run / "model.safetensors"), load_file(tmp_path / "back" / "model.safetensors")
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_mistakes_are_one_line(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shrunk = corpusmill("tokenizer", "shrink", tmp_path / "tokenizer", "--output", other, "--vocab-size", "270")
    assert shrunk.returncode == 0, shrunk.stderr
    for arguments, message in (
        (("export", run, "--output", tmp_path / "out", "--tokenizer", other), "trained with another tokenizer"),
        (
            ("export", run, "--output", tmp_path / "out", "--no-tokenizer", "--dtype", "int4"),
            "'int4' is not a number format",
        ),
        (("export", run, "--output", run, "--no-tokenizer"), "this already exists"),
        (("import", run, "--output", tmp_path / "out"), "the model type is None"),
    ):
        done = corpusmill("model", *arguments)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert done.stderr.startswith("corpusmill: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_moving_average_goes_out_with_the_trained_router_biases(run: Path, tmp_path: Path) -> None:
    from corpusmill.dataproc.errors import UserError
    from corpusmill.training.huggingface.folder import export_run, import_model

    with pytest.raises(UserError, match="no moving average"):
        export_run(run, tmp_path / "none", average=True)
    weights = load_file(run / "model.safetensors")
    averaged = {name: tensor + 1 for name, tensor in weights.items() if not name.endswith("gate.bias")}
    save_file(averaged, str(run / "average.safetensors"))
    export_run(run, tmp_path / "out", average=True)
    _, state = import_model(tmp_path / "out")
    wanted = weights | averaged
    assert state.keys() == wanted.keys() and all(torch.equal(state[name], wanted[name]) for name in wanted)
