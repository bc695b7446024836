"""Hugging Face folders: there and back bit for bit, in one file or several, and what is refused."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from corpusmill.dataproc.errors import UserError
from corpusmill.training.checkpoint.checkpoints import json_bytes
from corpusmill.training.huggingface.config import FIELDS, from_huggingface, to_huggingface
from corpusmill.training.huggingface.folder import export_model, export_run, import_model, import_run, open_model
from corpusmill.training.huggingface.tensors import correspondence
from corpusmill.training.model.config import PRESETS, as_dictionary, preset
from corpusmill.training.settings import TrainSettings
from corpusmill.training.trainer import train
from tests.training.foreign_models import VARIANTS, foreign_config, trained_like


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    same_types = all(one[name].dtype == other[name].dtype for name in one.keys() & other.keys())
    return one.keys() == other.keys() and same_types and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_there_and_back_is_the_same_bit_for_bit(variant, depth, tmp_path):
    config = foreign_config(variant, mtp_depth=depth)
    model = trained_like(config)
    export_model(model, config, tmp_path / "out")
    actual, state = import_model(tmp_path / "out")
    assert actual == config
    assert _equal(state, model.state_dict())


def test_dimensions_of_every_preset_but_the_one_of_tests_come_back():
    for name in PRESETS.keys() - {"tiny"}:
        config = preset(name)
        assert from_huggingface(to_huggingface(config, "bfloat16", {}), "here") == config


def test_the_fields_are_those_of_deepseeks_release():
    """From config.json of deepseek-ai/DeepSeek-V3, but for FP8 and `initializer_range` (0.02 there)."""
    yarn = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1}
    yarn |= {"mscale": 1.0, "mscale_all_dim": 1.0}
    released = {
        "architectures": ["DeepseekV3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "first_k_dense_replace": 3,
        "hidden_act": "silu",
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "kv_lora_rank": 512,
        "model_type": "deepseek_v3",
        "moe_intermediate_size": 2048,
        "moe_layer_freq": 1,
        "n_group": 8,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "num_attention_heads": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 61,
        "num_key_value_heads": 128,
        "num_nextn_predict_layers": 1,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000,
        "routed_scaling_factor": 2.5,
        "scoring_func": "sigmoid",
        "tie_word_embeddings": False,
        "topk_group": 4,
        "topk_method": "noaux_tc",
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "v_head_dim": 128,
        "vocab_size": 129280,
    }
    config = replace(preset("v3-671b"), rope_factor=40.0)
    written = to_huggingface(config, "bfloat16", {"max_position_embeddings": 4096})
    assert {name: written.get(name) for name in released} == released
    assert written["rope_scaling"].items() >= yarn.items() and written["max_position_embeddings"] == 163840
    assert from_huggingface({**released, "rope_scaling": yarn, "initializer_range": 0.006}, "here") == config


def test_names_are_those_of_deepseeks_release():
    pieces = {piece.theirs: piece.shape for piece in correspondence(preset("v3-671b"))}
    known = {
        "model.embed_tokens.weight": (129280, 7168),
        "model.layers.0.mlp.gate_proj.weight": (18432, 7168),
        "model.layers.3.self_attn.kv_a_proj_with_mqa.weight": (576, 7168),
        "model.layers.3.self_attn.q_b_proj.weight": (24576, 1536),
        "model.layers.60.mlp.experts.255.down_proj.weight": (7168, 2048),
        "model.layers.60.mlp.gate.e_score_correction_bias": (256,),
        "model.layers.61.eh_proj.weight": (7168, 14336),
        "model.layers.61.enorm.weight": (7168,),
        "model.layers.61.hnorm.weight": (7168,),
        "model.layers.61.embed_tokens.weight": (129280, 7168),
        "model.layers.61.shared_head.norm.weight": (7168,),
        "model.layers.61.shared_head.head.weight": (129280, 7168),
        "model.layers.61.mlp.shared_experts.up_proj.weight": (2048, 7168),
        "lm_head.weight": (129280, 7168),
    }
    assert {name: pieces.get(name) for name in known} == known
    # 61 layers of 9 tensors of attention and norms, 3 dense and 58 with 256 experts; layer 61 with 6 more; 3 around.
    assert len(pieces) == 61 * 9 + 3 * 3 + 58 * (3 * 256 + 5) + (9 + 3 * 256 + 5 + 6) + 3


def test_the_projection_of_mtp_takes_the_embedding_first(tmp_path):
    config = foreign_config()
    model = trained_like(config)
    export_model(model, config, tmp_path / "out")
    written = load_file(tmp_path / "out" / "model.safetensors")
    ours, theirs = model.mtp[0].projection.weight, written["model.layers.3.eh_proj.weight"]
    assert torch.equal(theirs[:, :32], ours[:, 32:]) and torch.equal(theirs[:, 32:], ours[:, :32])
    assert torch.equal(written["model.layers.3.enorm.weight"], model.mtp[0].embed_norm.weight)
    assert torch.equal(written["model.layers.3.embed_tokens.weight"], model.embed.weight)
    assert torch.equal(written["model.layers.3.shared_head.head.weight"], model.head.weight)


def test_several_files_and_their_index_are_as_one(tmp_path):
    config = foreign_config()
    model = trained_like(config)
    export_model(model, config, tmp_path / "one")
    export_model(model, config, tmp_path / "many", file_bytes=40_000)
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in (tmp_path / "many").glob("*.safetensors"))
    assert len(files) > 3 and files == sorted(set(index["weight_map"].values()))
    assert all((tmp_path / "many" / name).stat().st_size < 40_000 + 10_000 for name in files)  # headers apart
    whole = load_file(tmp_path / "one" / "model.safetensors")
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())
    for name in files:
        part = load_file(tmp_path / "many" / name)
        assert all(index["weight_map"][name_of_tensor] == name for name_of_tensor in part)
        assert all(torch.equal(tensor, whole[name_of_tensor]) for name_of_tensor, tensor in part.items())
    assert _equal(import_model(tmp_path / "many")[1], model.state_dict())


def test_bf16_rounds_once_and_keeps_router_biases(tmp_path):
    config = foreign_config()
    model = trained_like(config)
    export_model(model, config, tmp_path / "out", "bfloat16")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    _, wide = import_model(tmp_path / "out")
    _, narrow = import_model(tmp_path / "out", "bfloat16")
    for name, tensor in model.state_dict().items():
        if name.endswith("gate.bias"):
            assert torch.equal(wide[name], tensor) and torch.equal(narrow[name], tensor)
        else:
            assert torch.equal(wide[name], tensor.bfloat16().float()) and torch.equal(narrow[name], tensor.bfloat16())


def test_what_is_imported_outlives_its_files(tmp_path):
    config = foreign_config()
    model = trained_like(config)
    export_model(model, config, tmp_path / "out")
    _, state = import_model(tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    with path.open("r+b") as file:  # the same inode, which a mapping would see
        file.write(b"\0" * path.stat().st_size)
    assert _equal(state, model.state_dict())


def test_a_model_without_mtp_weights_is_one_without_mtp(tmp_path):
    config = foreign_config()
    export_model(trained_like(config), config, tmp_path / "out")
    _rewrite(tmp_path / "out", lambda tensors: [tensors.pop(name) for name in list(tensors) if ".layers.3." in name])
    actual, state = import_model(tmp_path / "out")
    assert actual == foreign_config(mtp_depth=0)
    assert not any(name.startswith("mtp") for name in state)


def test_copies_of_embedding_and_head_may_be_left_out_but_not_differ(tmp_path):
    config = foreign_config()
    model = trained_like(config)
    export_model(model, config, tmp_path / "out")
    name = "model.layers.3.embed_tokens.weight"
    _rewrite(tmp_path / "out", lambda tensors: tensors.pop(name))
    assert _equal(import_model(tmp_path / "out")[1], model.state_dict())
    _rewrite(tmp_path / "out", lambda tensors: tensors.update({name: model.embed.weight + 1}))
    with pytest.raises(UserError, match=r"'model.layers.3.embed_tokens.weight' is not the main model's"):
        import_model(tmp_path / "out")


def _rewrite(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(
        {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, str(folder / "model.safetensors")
    )


GATE = "model.layers.1.mlp.gate.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop(GATE), f"missing tensors: {GATE}"),
        (lambda tensors: tensors.update(more=torch.ones(1)), "unexpected tensors: more"),
        (lambda tensors: tensors.update({GATE: torch.ones(4, 32)}), r"has the shape \[4, 32\]; .* says \[8, 32\]"),
        (lambda tensors: tensors.pop("model.layers.3.hnorm.weight"), "missing tensors: model.layers.3.hnorm.weight"),
        (lambda tensors: tensors.update({GATE: tensors[GATE].to(torch.float8_e4m3fn)}), "is float8_e4m3fn"),
        (lambda tensors: tensors.update({GATE: tensors[GATE].int()}), "is int32"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change, message, tmp_path):
    config = foreign_config()
    export_model(trained_like(config), config, tmp_path / "out")
    _rewrite(tmp_path / "out", change)
    with pytest.raises(UserError, match=message):
        import_model(tmp_path / "out")


def test_buffers_of_older_checkpoints_are_passed_over(tmp_path):
    config = foreign_config()
    model = trained_like(config)
    export_model(model, config, tmp_path / "out")
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    _rewrite(tmp_path / "out", lambda tensors: tensors.update({name: torch.ones(4)}))
    assert _equal(import_model(tmp_path / "out")[1], model.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "the model type is 'llama'"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 40}}, "attention factor"),
        ({"rope_scaling": {"type": "yarn"}}, "the field 'factor' is None"),
        (
            {"rope_scaling": {"type": "yarn", "factor": 4, "attention_factor": 1.0}},
            "'original_max_position_embeddings' is",
        ),
        ({"rope_scaling": {"type": "yarn", "factor": 4, "mscale": 1.0, "mscale_all_dim": 0.5}}, "attention factor"),
        ({"rope_scaling": {"type": "yarn", "factor": 4, "attention_factor": 1.0, "truncate": False}}, "untruncated"),
        ({"rope_scaling": {"type": "linear", "factor": 4}}, "positions are scaled by 'linear'"),
        ({"rope_scaling": "yarn"}, "'rope_parameters' is 'yarn'"),
        ({"rope_parameters": {"rope_theta": "much"}}, "'rope_theta' is 'much'"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True; this model has False"),
        ({"scoring_func": "softmax"}, "scoring_func is 'softmax'"),
        ({"norm_topk_prob": False}, "norm_topk_prob is False"),
        ({"num_key_value_heads": 1}, "num_key_value_heads is 1"),
        ({"hidden_size": "32"}, "the field 'hidden_size' is '32'"),
        ({"n_group": None}, "the field 'n_group' is None"),
        ({"rms_norm_eps": 1e-5}, "epsilon is 1e-05"),
        ({"num_experts_per_tok": 2}, "chooses 1 experts in each of its groups"),
        ({"hidden_size": 36}, "multiples of 8"),
    ],
)
def test_a_configuration_without_a_counterpart_is_refused(change, message):
    values = {**to_huggingface(foreign_config(), "float32", {}), **change}
    with pytest.raises(UserError, match=message):
        from_huggingface(values, "here")


def test_a_missing_field_is_named():
    values = to_huggingface(foreign_config(), "float32", {})
    del values["kv_lora_rank"]
    with pytest.raises(UserError, match="'kv_lora_rank' is missing"):
        from_huggingface(values, "here")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"n_activated_experts": 2}, "chooses 1 experts in each of its groups and not 2"),
        ({"n_shared_experts": 0}, "no shared expert"),
        ({"norm_eps": 1e-5}, "epsilon"),
        ({"n_expert_groups": 8, "n_limited_groups": 4}, "a group has fewer than two experts"),
    ],
)
def test_a_model_that_transformers_would_compute_otherwise_is_not_written(overrides, message, tmp_path):
    config = foreign_config(**overrides)
    with pytest.raises(UserError, match=message):
        export_model(trained_like(config), config, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    config = foreign_config()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="already exists"):
        export_model(trained_like(config), config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failure_leaves_no_folder(tmp_path):
    config = foreign_config()
    with pytest.raises(FileNotFoundError):
        export_model(trained_like(config), config, tmp_path / "out", beside=[tmp_path / "nowhere.json"])
    assert list(tmp_path.iterdir()) == []


def test_the_state_of_another_model_is_not_written(tmp_path):
    config = foreign_config()
    state = trained_like(config).state_dict()
    with pytest.raises(UserError, match=r"missing tensors: layers.3.* and 14 more"):
        export_model(state, foreign_config(n_layers=4), tmp_path / "out")
    with pytest.raises(UserError, match=r"unexpected tensors: mtp.0"):
        export_model(state, foreign_config(mtp_depth=0), tmp_path / "out")
    with pytest.raises(UserError, match=r"'embed.weight' has the shape"):
        export_model(state, foreign_config(vocab_size=128), tmp_path / "out")


def test_folders_that_are_none_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        open_model(tmp_path)
    config = foreign_config()
    (tmp_path / "config.json").write_bytes(json_bytes(to_huggingface(config, "float32", {})))
    with pytest.raises(UserError, match=r"there is no model.safetensors"):
        open_model(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="pickle files"):
        open_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(UserError, match="damaged safetensors file"):
        open_model(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "../model.safetensors"}}')
    with pytest.raises(UserError, match="not in its folder"):
        open_model(tmp_path)
    index.write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    with pytest.raises(UserError, match="no such file"):
        open_model(tmp_path)


def test_an_unknown_type_is_refused(tmp_path):
    config = foreign_config()
    with pytest.raises(UserError, match="'int4' is not a number format"):
        export_model(trained_like(config), config, tmp_path / "out", "int4")


def test_a_finished_run_is_exported_and_comes_back(shard_folder, tmp_path):
    overrides = {"n_activated_experts": 4}
    settings = TrainSettings(
        str(shard_folder),
        str(tmp_path / "run"),
        "tiny",
        overrides,
        steps=2,
        batch_sequences=4,
        micro_batch=4,
        threads=1,
    )
    train(settings, tmp_path / "state")
    config = export_run(tmp_path / "run", tmp_path / "out")
    trained = load_file(tmp_path / "run" / "model.safetensors")
    assert _equal(import_model(tmp_path / "out")[1], trained)
    values = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (values["eos_token_id"], values["pad_token_id"], values["bos_token_id"]) == (1, 2, 0)
    assert values["max_position_embeddings"] == 32

    assert import_run(tmp_path / "out", tmp_path / "back").config == config
    assert _equal(load_file(tmp_path / "back" / "model.safetensors"), trained)
    assert json.loads((tmp_path / "back" / "config.json").read_text())["model"] == as_dictionary(config)
    export_run(tmp_path / "back", tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_run_that_is_not_finished_is_not_exported(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        export_run(tmp_path, tmp_path / "out")
    (tmp_path / "config.json").write_bytes(json_bytes({"model": as_dictionary(foreign_config())}))
    with pytest.raises(UserError, match="train to the end first"):
        export_run(tmp_path, tmp_path / "out")
    (tmp_path / "config.json").write_bytes(json_bytes({"model": {"dim": 3}}))
    with pytest.raises(UserError, match="not the folder of a training run"):
        export_run(tmp_path, tmp_path / "out")


def test_no_field_of_a_configuration_is_lost():
    config = foreign_config()
    values = to_huggingface(config, "float32", {})
    positions = {"rope_theta", "rope_factor", "original_seq_len", "beta_fast", "beta_slow", "mscale"}
    assert FIELDS.keys() | positions == {field.name for field in fields(config)}
    changes = {"vocab_size": 512, "dim": 64, "n_layers": 5, "n_dense_layers": 2, "n_heads": 3, "q_lora_rank": 0}
    changes |= {"kv_lora_rank": 24, "qk_nope_head_dim": 5, "qk_rope_head_dim": 4, "v_head_dim": 7, "inter_dim": 9}
    changes |= {"moe_inter_dim": 8, "n_routed_experts": 16, "n_shared_experts": 3, "n_activated_experts": 6}
    changes |= {"n_limited_groups": 3, "n_expert_groups": 8, "route_scale": 1.5, "mtp_depth": 2, "init_std": 0.5}
    turned = {"rope_theta": 7.0, "rope_factor": 3.5, "original_seq_len": 5, "beta_fast": 9.0, "beta_slow": 2.0}
    changed = replace(config, **changes, **turned, mscale=0.3)
    written = to_huggingface(changed, "float32", {})
    assert all(written[FIELDS[name]] != values[FIELDS[name]] for name in changes)
    assert from_huggingface(written, "here") == changed
