"""The settings of `corpusmill train`: those of the trainer, and which of them may change when a run is resumed."""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from annotated_types import Gt, Le
from pydantic import ValidationError, create_model
from safetensors.torch import load_file

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.cli.flags import model_options
from corpusmill.pipelines.engine.manifest import done_manifest
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.train.plan import TrainStage
from corpusmill.pipelines.stages.train.settings import (
    FREE,
    NOT_OFFERED,
    NOT_THE_TRAINERS,
    OWN,
    TrainStageSettings,
    _field,
)
from corpusmill.training.run import FREE_TO_CHANGE
from corpusmill.training.schedule import planned_sequences
from corpusmill.training.settings import (
    DescribedSetting,
    Setting,
    TrainSettings,
    _check,
    changeable_settings,
    described_settings,
)
from tests.pipelines.shard_folder import LENGTH, make_shards
from tests.pipelines.test_stage_inputs import run

SHORT: dict[str, Any] = {"preset": "tiny", "steps": 3, "batch_sequences": 2, "micro_batch": 2, "threads": 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("made") / "shards")


def stage(shards: Path, **values: Any) -> TrainStage:
    return TrainStage(validate(TrainStageSettings, {"shards": str(shards), **values}, "test"))


def test_every_setting_of_the_trainer_is_offered_and_no_other() -> None:
    offered = TrainStageSettings.model_fields.keys()
    trainers = TrainSettings.__dataclass_fields__.keys()
    assert trainers - offered == {"output", "seed"}, "these come from --output and --seed"
    assert offered - trainers == {"tokens", "epochs", "recipe", "ranks", "simulate"} <= NOT_THE_TRAINERS


def test_what_may_change_is_what_the_trainer_lets_change() -> None:
    assert FREE_TO_CHANGE - {"shards", "output"} | {"ranks", "simulate"} == FREE
    assert {"micro_batch", "spikes", "checkpoint_every"} < FREE and not {"steps", "learning_rate", "seed"} & FREE


CHOICES = {
    name: get_args(about.kind) for name, about in described_settings().items() if get_origin(about.kind) is Literal
}


def test_words_are_those_that_the_trainer_knows() -> None:
    assert len(CHOICES) == 9
    for name, words in CHOICES.items():
        for word in words:
            assert getattr(validate(TrainStageSettings, {"shards": "x", name: word}), name) == word
        for refuse in (
            lambda name=name: validate(TrainStageSettings, {"shards": "x", name: "sideways"}),
            lambda name=name: TrainSettings("s", "o", **{name: "sideways"}),
        ):
            with pytest.raises(UserError, match=name):
                refuse()


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("steps", 0, 1),
        ("learning_rate", 0.0, 1e-9),
        ("last_fraction", 1.5, 0.0),
        ("average_decay", 1.0, 0.5),
        ("spike_window", 1, 2),
        ("keep_every", -1, 0),
    ],
)
def test_bounds_hold_at_both_doors(name: str, bad: float, good: float) -> None:
    with pytest.raises(UserError, match=name):
        validate(TrainStageSettings, {"shards": "x", name: bad})
    with pytest.raises(UserError, match=name):
        TrainSettings("s", "o", **{name: bad})
    assert getattr(validate(TrainStageSettings, {"shards": "x", name: good}), name) == good
    assert getattr(TrainSettings("s", "o", **{name: good}), name) == good


def test_bounds_and_descriptions_stand_in_one_place() -> None:
    for name, about in described_settings().items():
        if name not in NOT_OFFERED and name not in OWN:
            field = TrainStageSettings.model_fields[name]
            assert field.description == about.setting.description
            assert set(about.bounds) <= set(field.metadata)
            assert bool(field.json_schema_extra["recipe_only"]) == about.setting.recipe_only


def test_a_setting_has_a_flag_unless_it_is_for_recipes_only() -> None:
    flags = model_options(TrainStageSettings).keys()
    for name, about in described_settings().items():
        if name not in NOT_OFFERED:
            assert (name in flags) != about.setting.recipe_only, name


def test_a_setting_declared_in_the_dataclass_is_checked_and_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one new line in the dataclass brings about, without any other."""
    new = DescribedSetting(float, False, (Gt(0), Le(2)), Setting("a new one", may_change=True))
    monkeypatch.setattr("corpusmill.training.settings.described_settings", lambda *_: {"new_one": new})
    assert changeable_settings() == {"new_one"}
    with pytest.raises(UserError, match="new_one is 3") as refused:
        _check("new_one", 3, new)
    assert refused.value.hint == "give at most 2"
    annotation, field = _field("new_one", new)
    model = create_model("Model", new_one=(annotation, field))
    assert model().new_one is None and model(new_one=2).new_one == 2
    assert "new_one" in model_options(model)
    with pytest.raises(ValidationError, match="new_one"):
        model(new_one=3)


def test_a_length_in_tokens_is_the_fewest_steps_that_reach_it(shards: Path) -> None:
    for more in ({}, {"first_batch_sequences": 1, "batch_ramp_tokens": 20 * LENGTH}):
        batches = (4, more.get("first_batch_sequences"), more.get("batch_ramp_tokens", 0))
        for tokens in (1, 4 * LENGTH, 4 * LENGTH + 1, 1000, 33 * LENGTH):
            of_tokens = stage(shards, tokens=tokens, preset="tiny", batch_sequences=4, **more)
            steps = of_tokens._trainer_settings("s", "o", LENGTH).steps
            read = [planned_sequences(*batches, number, LENGTH) * LENGTH for number in (steps - 1, steps)]
            assert read[0] < tokens <= read[1]
            assert of_tokens.tokens(LENGTH) == read[1]


def test_steps_and_tokens_together_are_refused(shards: Path) -> None:
    with pytest.raises(UserError, match="steps and tokens both say how long"):
        stage(shards, steps=3, tokens=100).check()


def test_threads_are_shared_out_among_ranks(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpusmill.pipelines.stages.train.plan.available_cores", lambda: 8)

    def threads(**values: int) -> int:
        return stage(shards, **values)._trainer_settings("s", "o").threads

    assert [threads(), threads(ranks=2), threads(ranks=3), threads(ranks=16)] == [8, 4, 2, 1]
    assert threads(ranks=2, threads=7) == 7
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert threads() == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert threads() == 4, "the others are on another machine"
    with pytest.raises(UserError, match="2 ranks were requested, but torchrun started 4"):
        threads(ranks=2)


def test_a_run_in_tokens_may_be_carried_out_otherwise_but_not_be_another(shards: Path, tmp_path: Path) -> None:
    in_tokens = SHORT | {"steps": None, "tokens": 6 * LENGTH}
    done = run("train", tmp_path / "run", shards=str(shards), **in_tokens)
    assert done.manifest["counts"]["steps"] == 3
    assert done.manifest["facts"]["ranks"] == done.manifest["facts"]["threads"] == 1
    other = stage(
        shards, **in_tokens | {"checkpoint_every": 1, "keep_every": 2, "micro_batch": 1, "ranks": 2, "threads": 2}
    )
    assert done_manifest(other.plan(), done.folder) == done.manifest
    with pytest.raises(UserError, match=r"settings.learning_rate: null -> 0.5"):
        done_manifest(stage(shards, **in_tokens | {"learning_rate": 0.5}).plan(), done.folder)


def test_weights_to_start_from_are_an_input(shards: Path, tmp_path: Path) -> None:
    first = run("train", tmp_path / "first", shards=str(shards), **SHORT)
    still = {"learning_rate": 1e-30, "final_learning_rate": 0, "bias_speed": 0}
    second = run("train", tmp_path / "second", shards=str(shards), start_from=first.folder, **SHORT, **still)
    before, after = (load_file(f"{done.folder}/model.safetensors") for done in (first, second))
    assert all(torch.equal(before[name], after[name]) for name in before), "nothing was learned on top of it"
    assert second.manifest["inputs"][first.folder].keys() == {"manifest"}
    checkpoint = sorted(Path(first.folder, "checkpoints").glob("step-*"))[-1]
    of_files = stage(shards, start_from=str(checkpoint)).inputs()[str(checkpoint)]
    assert {"index.json", "state.json"} < of_files.keys()
    with pytest.raises(UserError, match="no such folder"):
        stage(shards, start_from=str(tmp_path / "nowhere")).inputs()
