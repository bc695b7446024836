"""V3's recipes ask for V3's run: every number of the report's sections 4.2 and 4.3, and the same in a thousandth."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.planning import plan_values
from corpusmill.pipelines.recipe import NamedStage, load_recipe
from corpusmill.pipelines.stages.train.plan import TrainStage
from corpusmill.pipelines.stages.train.preview import plan_lines
from corpusmill.training.model.config import preset
from corpusmill.training.schedule import DEEPSEEK_V3, schedule_of
from tests.training.shardmaker import write_shard
from tests.training.two_processes import run_ranks

EXAMPLES = Path(__file__).parents[2] / "examples"
SCALE = 32_768_000
"""Tokens of V3 for one of the thousandth."""


def stages_of(name: str, changes: tuple[str, ...] = ()) -> dict[str, NamedStage]:
    recipe = load_recipe(str(EXAMPLES / name), changes=list(changes))
    return {named.name: named for named in recipe.stages}


def train_stage(named: NamedStage) -> TrainStage:
    assert isinstance(named.stage, TrainStage)
    return named.stage


def test_pre_training_is_v3s_schedule_to_the_token():
    stage = train_stage(stages_of("v3-pretrain.yaml")["pretrained"])
    settings = stage._trainer_settings("shards", "output", 4096)
    schedule = schedule_of(settings, 4096)
    assert (schedule.mtp_tokens, schedule.bias_tokens) == (10e12, 14.3e12)
    assert schedule.__class__(**{**vars(schedule), "mtp_tokens": None, "bias_tokens": None}) == DEEPSEEK_V3
    assert settings.steps == 242_785
    assert 14.8e12 <= stage.tokens(4096) < 14.8e12 + 15_360 * 4096
    chosen = (settings.weight_decay, settings.clip, settings.balance_alpha, settings.precision, settings.moments)
    assert chosen == (0.1, 1.0, 1e-4, "fp8", "bfloat16")
    assert preset(settings.preset).init_std == 0.006


def test_the_extensions_are_section_4_3():
    stages = stages_of("v3-long-context.yaml")
    for name, shards, length, batch in (
        ("extended-32k", "shards-32k", 32_768, 1920),
        ("extended-128k", "shards-128k", 131_072, 480),
    ):
        assert stages[shards].stage.settings.sequence_length == length
        settings = train_stage(stages[name])._trainer_settings("shards", "output", length)
        schedule = schedule_of(settings, length)
        assert (settings.steps, settings.batch_sequences, settings.warmup_steps) == (1000, batch, 0)
        assert batch * length == 62_914_560
        assert (schedule.peak_learning_rate, schedule.constant_tokens) == (7.3e-6, 1000 * batch * length)
        config = preset(settings.preset, settings.model)
        yarn = (config.rope_factor, config.beta_slow, config.beta_fast, config.original_seq_len)
        assert yarn == (40, 1, 32, 4096)
        assert config.softmax_scale == pytest.approx(0.13523, abs=1e-5)
    assert stages["extended-128k"].stage.settings.start_from == "extended-32k"


def test_the_extensions_go_on_from_the_very_run_of_pre_training():
    before, after = (
        yaml.safe_load((EXAMPLES / name).read_text()) for name in ("v3-pretrain.yaml", "v3-long-context.yaml")
    )
    assert before["output"] == after["output"] and before["seed"] == after["seed"]
    for name, settings in before["stages"].items():
        assert after["stages"][name] == settings


def test_the_thousandth_has_v3s_marks_in_proportion():
    whole = train_stage(stages_of("v3-pretrain.yaml")["pretrained"])
    small = train_stage(stages_of("v3-thousandth.yaml")["pretrained"])
    v3, ours = whole._trainer_settings("s", "o", 4096), small._trainer_settings("s", "o", 128)
    for mark in ("constant_tokens", "decayed_tokens", "last_tokens", "batch_ramp_tokens", "mtp_tokens", "bias_tokens"):
        assert getattr(ours, mark) == round(getattr(v3, mark) / SCALE)
    assert (ours.batch_sequences, ours.first_batch_sequences, ours.warmup_steps) == (15, 3, 2)
    assert ours.steps == pytest.approx(v3.steps / 1000, abs=3), "its batch grows by whole sequences"
    assert ours.learning_rate / ours.final_learning_rate == pytest.approx(v3.learning_rate / v3.final_learning_rate)
    assert (ours.mtp_weight, ours.late_mtp_weight) == (v3.mtp_weight, v3.late_mtp_weight)


def test_a_plan_says_what_the_run_costs_before_there_is_any_data():
    named = stages_of("v3-pretrain.yaml")["pretrained"]
    said = "\n".join(plan_lines(named, 4096))
    for figure in ("671.026 B", "PP16 DualPipe, EP64, DP128", "242,785 for 14.800 T tokens", "GPU-hours"):
        assert figure in said
    costs = named.stage.costs(lambda name: {"sequence_length": 4096})
    assert costs is not None and costs.disk == 0
    assert named.stage.is_planned_elsewhere()
    assert "simulate" not in _plan_settings(named), "where a run is priced is no part of it"


def _plan_settings(named: NamedStage) -> dict:
    stage = train_stage(named)
    stage.inputs = dict  # type: ignore[method-assign]
    return stage.plan()["settings"]


def test_the_plan_for_programs_has_the_simulation_too(monkeypatch: pytest.MonkeyPatch):
    recipe = load_recipe(str(EXAMPLES / "v3-pretrain.yaml"))
    monkeypatch.setattr("corpusmill.pipelines.planning.total_range", lambda lines: (0.0, 0.0))
    from corpusmill.pipelines.planning import StageEstimate

    lines = [
        StageEstimate(
            name=named.name, phases="", tasks=0, bytes=0, seconds=0, by="model", megabytes=0, disk=0, state="waits"
        )
        for named in recipe.stages
    ]
    values = plan_values(recipe, RunOptions(), lines)
    simulated = {stage["name"]: stage["simulated"] for stage in values["stages"]}
    assert simulated["shards"] is None
    assert simulated["pretrained"]["steps"] == 242_785
    json.dumps(values)


@pytest.mark.slow
def test_a_thousandth_of_v3_runs_through_all_phases_on_a_cpu(tmp_path: Path):
    (lines,) = run_ranks(1, "tests.pipelines.test_v3_recipes:train_a_thousandth", str(tmp_path), timeout=240)
    steps = lines["pretrained"]
    assert len(steps) == 245
    rates = [line["learning_rate"] for line in steps]
    assert rates[0] == 3e-3 and rates[1] == 6e-3 and rates[-1] == 2e-4
    assert 6e-4 in rates, "the constant rate after the decay"
    assert len(set(rates)) > 60, "the cosine"
    batches = [line["batch_sequences"] for line in steps]
    assert batches[0] == 3 and batches[-1] == 15 and batches == sorted(batches)
    losses = [line["loss"] for line in steps]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    for name in ("extended-8x", "extended-32x"):
        assert [line["learning_rate"] for line in lines[name]] == [2e-4] * 5
        assert lines[name][-1]["loss"] < 0.9 * losses[0]


def train_a_thousandth(folder: str) -> dict[str, list[dict]]:
    """The recipe's own settings on Python's own sources, byte by byte, with the smallest preset; metrics by run."""
    from corpusmill.training.trainer import train

    names = ("pretrained", "extended-8x", "extended-32x")
    stages = stages_of("v3-thousandth.yaml", tuple(f"{name}.preset=tiny" for name in names))
    text = b"".join(path.read_bytes() for path in sorted(Path(json.__file__).parent.parent.glob("a*.py")))
    ids = [byte % 250 + 6 for byte in text[: 4096 * 64]]
    previous, lines = None, {}
    for name, length in zip(names, (128, 1024, 4096), strict=True):
        shards, output = Path(folder) / f"shards-{length}", Path(folder) / name
        _shards(shards, ids, length)
        settings = train_stage(stages[name])._trainer_settings(str(shards), str(output), length)
        train(replace(settings, start_from=previous, threads=1), Path(folder) / "state")
        previous = str(output)
        lines[name] = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    return lines


def _shards(folder: Path, ids: list[int], length: int) -> None:
    rows = [[ids[start : start + length]] for start in range(0, len(ids) - length + 1, length)]
    (folder / "_validation").mkdir(parents=True)
    write_shard(folder / "shard-00000.arrow", rows[:-2], length)
    write_shard(folder / "_validation" / "shard-00000.arrow", rows[-2:], length)
