"""`examples/long-context.yaml`: its phases are V3's, in small; and a run of them goes from one length to the next."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import Recipe, load_recipe
from corpusmill.pipelines.running import run_recipe
from corpusmill.training.model.config import ModelConfig, preset
from corpusmill.training.schedule import Schedule, planned_sequences, schedule, schedule_of
from corpusmill.training.settings import TrainSettings, settings_for

EXAMPLE = Path(__file__).parents[2] / "examples/long-context.yaml"
PHASES = {"shards-short": "pretrained", "shards-longer": "longer", "shards-longest": "longest"}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(str(EXAMPLE), output="/runs/long")


def stage_settings(recipe: Recipe, name: str) -> dict[str, Any]:
    """A stage's settings, without those left to the preset."""
    (stage,) = [named.stage for named in recipe.stages if named.name == name]
    return {key: value for key, value in stage.settings.model_dump().items() if value is not None}


def phase(recipe: Recipe, shards: str) -> tuple[int, TrainSettings, ModelConfig]:
    """(sequence length, the trainer's settings, the model) of a phase."""
    values = stage_settings(recipe, PHASES[shards])
    known = {key: value for key, value in values.items() if key in TrainSettings.__dataclass_fields__}
    for apart in ("shards", "preset", "model", "threads"):
        known.pop(apart)
    settings = settings_for(values["preset"], values["shards"], "output", **known)
    model = {key: int(value) if value.is_integer() else value for key, value in values["model"].items()}
    return stage_settings(recipe, shards)["sequence_length"], settings, preset(values["preset"], model)


def test_every_phase_trains_on_shards_of_its_own_length_and_starts_from_the_one_before(recipe: Recipe) -> None:
    packs = [stage_settings(recipe, name) for name in PHASES]
    lengths = [pack.pop("sequence_length") for pack in packs]
    assert lengths == [4096 // 32, (32 << 10) // 32, (128 << 10) // 32]
    assert packs[0] == packs[1] == packs[2], "the same documents, the same ones held back"
    before = None
    for shards, name in PHASES.items():
        values = stage_settings(recipe, name)
        assert (values["shards"], values.get("start_from")) == (shards, before)
        before = name


def test_batches_have_the_same_tokens_in_every_phase_as_v3s_have(recipe: Recipe) -> None:
    phases = [phase(recipe, shards) for shards in PHASES]
    assert len({length * settings.batch_sequences for length, settings, _ in phases}) == 1
    assert len({length * settings.evaluation_sequences for length, settings, _ in phases}) == 1
    ours = [settings.batch_sequences for _, settings, _ in phases]
    assert [batch / ours[0] for batch in ours] == [batch / 15_360 for batch in (15_360, 1920, 480)]


def test_pre_training_has_v3s_phases(recipe: Recipe) -> None:
    length, settings, model = phase(recipe, "shards-short")
    assert model.rope_factor == 1
    plan: Schedule = schedule_of(settings, length)
    tokens, rates, frozen, batches = 0, [], [], []
    for step in range(settings.steps):
        now = schedule(plan, tokens, step)
        rates.append(now.learning_rate)
        frozen.append(now.bias_speed == 0)
        batches.append(now.batch_sequences)
        tokens += now.batch_sequences * length
    planned = planned_sequences(settings.batch_sequences, 6, settings.batch_ramp_tokens, settings.steps, length)
    assert tokens == planned * length
    assert batches[0] == 6 and batches[20:] == [32] * 80
    assert rates[9] == max(rates) == settings.learning_rate
    assert rates[-1] == settings.last_learning_rate < settings.final_learning_rate == rates[-2]
    assert frozen == [False] * (frozen.count(False)) + [True] * frozen.count(True) and 1 <= frozen.count(True) <= 5
    assert plan.constant_tokens / tokens == pytest.approx(10 / 14.8, rel=1e-3)
    assert plan.decayed_tokens / tokens == pytest.approx(14.3 / 14.8, rel=1e-3)


def test_both_extensions_have_v3s_yarn_and_one_rate(recipe: Recipe) -> None:
    last = phase(recipe, "shards-short")[1].last_learning_rate
    models = []
    for shards in ("shards-longer", "shards-longest"):
        length, settings, model = phase(recipe, shards)
        models.append(model)
        plan = schedule_of(settings, length)
        rates = {
            schedule(plan, step * settings.batch_sequences * length, step).learning_rate
            for step in range(settings.steps)
        }
        assert rates == {last}
        assert length <= model.rope_factor * model.original_seq_len
    assert models[0] == models[1]
    assert (models[0].rope_factor, models[0].original_seq_len) == (
        40,
        stage_settings(recipe, "shards-short")["sequence_length"],
    )
    assert (models[0].beta_slow, models[0].beta_fast, models[0].mscale) == (1, 32, 1)


@pytest.mark.slow
def test_the_recipe_runs_from_length_to_length(tmp_path: Path) -> None:
    output = tmp_path / "run"
    changes = ["documents.inputs=['${stdlib}/[a-c]*.py']", "documents.source=python"]
    changes += ["tokenizer.vocab_size=1000"]
    for name in PHASES.values():
        changes += [f"{name}.preset=tiny", f"{name}.steps=3", f"{name}.threads=1"]
    changes += ["pretrained.batch_sequences=8", "pretrained.batch_ramp_tokens=1000", "longer.batch_sequences=2"]
    recipe = load_recipe(str(EXAMPLE), changes=changes, output=str(output))
    assert run_recipe(recipe, RunOptions(engine="local", workers=1)) == 0
    facts = {name: json.loads((output / name / "_manifest.json").read_text()) for name in PHASES.values()}
    assert facts["longer"]["inputs"].keys() == {"shards-longer", "pretrained"}
    assert facts["longest"]["inputs"].keys() == {"shards-longest", "longer"}
    read = [json.loads(line) for line in (output / "longest/metrics.jsonl").read_text().splitlines()]
    assert [line["batch_sequences"] for line in read] == [1, 1, 1]
    assert {line["learning_rate"] for line in read} == {2e-4}
    before, after = (load_file(output / name / "model.safetensors") for name in ("longer", "longest"))
    weights = [name for name in before if name.endswith("weight")]
    moved = [float(np.abs(after[name] - before[name]).max()) for name in weights]
    # AdamW moves a weight by little more than the learning rate in a step; other random weights lie 0.1 apart.
    assert 0 < max(moved) < 3 * 2e-4 * 1.5
