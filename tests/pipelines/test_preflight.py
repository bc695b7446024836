"""What a run is refused for before its first stage begins."""

from pathlib import Path

import pytest
import yaml

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines import calls
from corpusmill.pipelines import preflight as preflight_module
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import NamedStage, Recipe, load_recipe
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.running import run_recipe
from corpusmill.pipelines.settings import validate
from corpusmill.training.fitting import require_device_memory, require_memory
from corpusmill.training.model.config import preset
from corpusmill.training.settings import settings_for

OPTIONS = RunOptions(engine="local", workers=1)


def run(folder: Path, output: str = "", **stages: dict[str, object]) -> int:
    (folder / "in.jsonl").write_text('{"text": "a"}\n')
    first: dict[str, object] = {"stage": "ingest", "inputs": [str(folder / "in.jsonl")]}
    recipe = {"name": "r", "output": output or str(folder / "out"), "stages": {"documents": first, **stages}}
    (folder / "r.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return run_recipe(load_recipe(str(folder / "r.yaml")), OPTIONS)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (
            {"stage": "pack", "datasets": ["documents"], "tokenizer": "no/tokenizer"},
            "no/tokenizer: no such folder; the stage 'last' needs it",
        ),
        (
            {"stage": "pack", "datasets": ["documents"], "tokenizer": __file__},
            "this tokenizer was not made by corpusmill; import it first: corpusmill tokenizer import",
        ),
        ({"stage": "mixture", "datasets": ["documents"], "tokenizer": __file__, "unit": "tokens"}, "import it first"),
        ({"stage": "tokenizer", "datasets": ["documents"], "continue_from": __file__}, "import it first"),
        ({"stage": "quality-score", "datasets": ["documents"], "model": str(Path(__file__).parent)}, "_manifest.json"),
        ({"stage": "filter", "datasets": ["documents", "typo"]}, "typo: no such folder; the stage 'last' needs it"),
        ({"stage": "filter", "datasets": ["documents"], "language_model": "no/model.bin"}, "no/model.bin"),
        ({"stage": "ingest", "inputs": ["no/files/*.jsonl"]}, "no/files"),
        ({"stage": "train", "shards": "documents", "preset": "v3-671b", "device": "cpu"}, "needs at least"),
        ({"stage": "dedup", "datasets": ["documents"], "against": "no/index"}, "no/index"),
    ],
)
def test_what_a_later_stage_would_miss(stage: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(tmp_path, last=stage)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists(), "nothing has been run"


def test_all_missing_libraries_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "find_spec", lambda name: None if name in ("torch", "ftfy") else object())
    repaired: dict[str, object] = {"stage": "ingest", "inputs": [str(tmp_path / "in.jsonl")], "mojibake": True}
    model: dict[str, object] = {"stage": "train", "shards": "documents", "preset": "tiny"}
    with pytest.raises(UserError, match=r"'ftfy' \(for again\), 'torch' \(for model\).*corpusmill\[mojibake,train\]"):
        run(tmp_path, again=repaired | {"source": "again"}, model=model)


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="this is a file, and the output would lie below it"):
        run(tmp_path, output=str(tmp_path / "file" / "out"))


def test_a_model_that_does_not_fit_is_refused_before_it_is_built() -> None:
    for name, refused in (("tiny", False), ("v3-671b", True)):
        settings = settings_for(name, "shards", "output", device="cpu")
        config = preset(name, settings.model)
        if refused:
            with pytest.raises(UserError, match=r"needs at least .* GiB to train, and this machine has"):
                require_memory(config, settings, 1, on_cpu=True)
        else:
            require_memory(config, settings, 1, on_cpu=True)
    large = settings_for("v3-671b", "shards", "output", parallel="fsdp2", precision="bfloat16")
    with pytest.raises(UserError, match="the GPU has 80"):
        require_device_memory(preset("v3-671b", {}), large, 8, 80 << 30)


def test_memory_of_a_driver_of_ray_says_nothing_of_its_workers(tmp_path: Path) -> None:
    stage = stage_type("train")
    settings = validate(stage.Settings, {"shards": "shards", "preset": "v3-671b", "device": "cpu"}, "test")
    named = NamedStage(name="model", folder=str(tmp_path / "model"), stage=stage(settings))
    (tmp_path / "shards").mkdir()
    named.stage.resolve = lambda path: str(tmp_path / path)
    recipe = Recipe(name="r", output=str(tmp_path), seed=0, stages=(named,))
    preflight_module.preflight(recipe, RunOptions(engine="ray"))
    with pytest.raises(UserError, match="GiB to train"):
        preflight_module.preflight(recipe, OPTIONS)


def test_a_call_from_python_is_refused_as_a_command_is(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    with pytest.raises(UserError, match="GiB to train"):
        calls.train(tmp_path / "shards", output=tmp_path / "model", preset="v3-671b", device="cpu")
    assert not (tmp_path / "model").exists()
