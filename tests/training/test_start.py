import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.training.checkpoint.checkpoints import Checkpoints, json_bytes
from corpusmill.training.huggingface.folder import export_model, import_run
from corpusmill.training.model.config import ModelConfig, as_dictionary, preset
from corpusmill.training.model.transformer import Transformer, initialise
from corpusmill.training.weights_start import start_weights

CONFIG = preset("tiny", {"n_expert_groups": 1, "n_limited_groups": 1})  # such as Hugging Face has, too
HEADER = {"tokenizer": "aaaa", "sequence_length": 32}


def weights(config: ModelConfig = CONFIG) -> dict[str, Tensor]:
    model = Transformer(config)
    initialise(model, 5)
    for name, buffer in model.named_buffers():
        if name.endswith("bias"):
            buffer += torch.arange(len(buffer)) / 7
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def finished(folder: Path, config: ModelConfig = CONFIG, **changed: Tensor | None) -> Path:
    """A folder like that of a finished run; tensors may be changed, or left out (None)."""
    folder.mkdir(parents=True)
    tensors = {name: tensor for name, tensor in {**weights(config), **changed}.items() if tensor is not None}
    save_file(tensors, str(folder / "model.safetensors"))
    (folder / "config.json").write_bytes(json_bytes({"model": as_dictionary(config), "shards": HEADER}))
    return folder


def assert_equal(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


def test_a_finished_run_gives_weights_and_router_biases(tmp_path: Path):
    actual = start_weights(finished(tmp_path / "run"), CONFIG, "aaaa")
    assert_equal(actual, weights())
    assert any(name.endswith("gate.bias") and tensor.any() for name, tensor in actual.items())
    Transformer(CONFIG).load_state_dict(actual)


def test_what_was_taken_does_not_hang_on_the_file(tmp_path: Path):
    run = finished(tmp_path / "run")
    actual = dict(start_weights(run, CONFIG))
    path = run / "model.safetensors"
    path.write_bytes(bytes(path.stat().st_size))
    assert_equal(actual, weights())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_imported_model_gives_what_was_exported(tmp_path: Path, dtype: str):
    export_model(weights(), CONFIG, tmp_path / "exported", dtype)
    import_run(tmp_path / "exported", tmp_path / "imported", dtype)
    actual = start_weights(tmp_path / "imported", CONFIG, "bbbb")  # its tokenizer is not known
    kind = torch.float32 if dtype == "float32" else torch.bfloat16
    expected = {name: tensor if name.endswith("gate.bias") else tensor.to(kind) for name, tensor in weights().items()}
    assert_equal(actual, {name: tensor.float() for name, tensor in expected.items()})
    assert {tensor.dtype for tensor in actual.values()} == {torch.float32}


def test_a_checkpoint_gives_its_weights_and_not_its_moments(tmp_path: Path):
    checkpoints = Checkpoints(tmp_path / "run/checkpoints", 2)
    tensors = {f"model.{name}": tensor for name, tensor in weights().items()}
    moments = {f"exp_avg.{name}": torch.ones_like(tensor) for name, tensor in weights().items()}
    checkpoints.save(tensors | moments, {"step": 100, "run": {"model": as_dictionary(CONFIG), "shards": HEADER}})
    checkpoints.wait()
    path = tmp_path / "run/checkpoints/step-000100"
    assert_equal(start_weights(path, CONFIG, "aaaa"), weights())
    with pytest.raises(UserError, match=r"this run is not finished; train it to its end, or name a .*step-000100"):
        start_weights(tmp_path / "run", CONFIG)
    with pytest.raises(UserError, match="tokenizer aaaa, the shards of bbbb"):
        start_weights(path, CONFIG, "bbbb")


def test_yarn_may_be_switched_on_and_mtp_left_behind(tmp_path: Path):
    run = finished(tmp_path / "run")
    longer = replace(CONFIG, rope_factor=4.0, original_seq_len=32, mscale=0.7, init_std=0.1)
    assert_equal(start_weights(run, longer), weights())
    without = start_weights(run, replace(CONFIG, mtp_depth=0))
    assert CONFIG.mtp_depth == 1
    assert_equal(without, {name: tensor for name, tensor in weights().items() if not name.startswith("mtp.")})
    with pytest.raises(UserError, match="have 1 MTP modules, and 2 are needed; give the model mtp_depth 1"):
        start_weights(run, replace(CONFIG, mtp_depth=2))


def test_the_vocabulary_has_to_fit(tmp_path: Path):
    run, rows = finished(tmp_path / "run"), CONFIG.vocab_size
    with pytest.raises(UserError, match=f"have {rows} vocabulary rows, and {rows - 8} are .* vocab_size {rows}"):
        start_weights(run, replace(CONFIG, vocab_size=rows - 8))
    with pytest.raises(UserError, match=f"{rows + 8} are needed; pack with the tokenizer of the weights"):
        start_weights(run, replace(CONFIG, vocab_size=rows + 8))
    with pytest.raises(UserError, match="tokenizer aaaa, the shards of bbbb; pack the text with"):
        start_weights(run, CONFIG, "bbbb")


@pytest.mark.parametrize(
    ("field", "value"), [("dim", 64), ("n_layers", 9), ("rope_theta", 1e6), ("route_scale", 9.5), ("norm_eps", 1e-3)]
)
def test_other_dimensions_are_named_also_those_that_no_shape_tells(tmp_path: Path, field: str, value: float):
    with pytest.raises(UserError, match=f"have {field} .* and not {value}; choose the preset") as caught:
        start_weights(finished(tmp_path / "run"), replace(CONFIG, **{field: value}))
    assert "\n" not in str(caught.value)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path):
    name = "layers.1.ffn.gate.bias"
    shape = list(weights()[name].shape)
    for number, (changed, line) in enumerate(
        [
            ({name: None}, f"missing tensors: {name}"),
            ({"extra": torch.zeros(2)}, "unexpected tensors: extra"),
            ({"mtp.1.norm.weight": torch.zeros(2)}, "unexpected tensors: mtp.1.norm.weight"),
            ({name: torch.zeros(3)}, rf"'{name}' is float32 \[3\], and needed is float32 or bfloat16 \[{shape[0]}\]"),
            ({name: torch.zeros(shape, dtype=torch.int64)}, f"'{name}' is int64"),
            ({name: torch.zeros(shape).to(torch.float8_e4m3fn)}, f"'{name}' is F8_E4M3"),
        ]
    ):
        with pytest.raises(UserError, match=line):
            start_weights(finished(tmp_path / f"run-{number}", **changed), CONFIG)


def test_folders_of_other_kinds_are_refused_in_one_line(tmp_path: Path):
    with pytest.raises(UserError, match="no such folder; name a finished run or an imported model"):
        start_weights(tmp_path / "nowhere", CONFIG)
    with pytest.raises(UserError, match=r"no model.safetensors with a config.json .* 'corpusmill model import'"):
        start_weights(tmp_path, CONFIG)
    export_model(weights(), CONFIG, tmp_path / "exported")
    with pytest.raises(UserError, match="not the folder of a training run"):
        start_weights(tmp_path / "exported", CONFIG)
    run = finished(tmp_path / "run")
    (run / "model.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="damaged safetensors file"):
        start_weights(run, CONFIG)
    (run / "config.json").write_text(json.dumps({"model": {"dim": 3}}))
    with pytest.raises(UserError, match="not the folder of a training run"):
        start_weights(run, CONFIG)
