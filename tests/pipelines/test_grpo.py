"""`corpusmill train grpo` and `train reward`, from files of prompts and pairs to a folder that everything reads."""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.calling import call_stage
from corpusmill.pipelines.cli.main import app
from corpusmill.pipelines.generation import TextGenerator
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.verify import verify
from tests.pipelines.test_model import run  # noqa: F401

SHORT = {"steps": 2, "prompts_per_step": 2, "group": 2, "max_tokens": 4, "threads": 1, "warmup_steps": 0}


@pytest.fixture
def files(tmp_path: Path, monkeypatch) -> Path:
    """Prompts, prompts held back and pairs; and a reward of the user's own."""
    prompts = [{"prompt": "the river", "answer": "and"}, {"prompt": "a", "answer": 7, "more": [1]}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in prompts) + "\n")
    (tmp_path / "held.jsonl").write_text('{"prompt": "the garden", "answer": "and"}\n')
    pairs = [{"prompt": "the", "chosen": " bridge", "rejected": " stone"}] * 12
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in pairs))
    (tmp_path / "my_rewards.py").write_text(
        "def short(prompts, completions, answers):\n    return [-len(text) for text in completions]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def settings_of(run: Path, files: Path, **more) -> dict:  # noqa: F811
    return {
        "run": str(run),
        "tokenizer": str(files / "tokenizer"),
        "prompts": [str(files / "prompts.jsonl")],
        "rewards": ["exact", "0.1*my_rewards:short", "regex:^.{1,3}$"],
        **SHORT,
        **more,
    }


def test_a_run_is_rewarded_and_its_rollouts_are_tables(run: Path, files: Path) -> None:  # noqa: F811
    output = files / "rewarded"
    manifest = call_stage("grpo", settings_of(run, files, held_back=[str(files / "held.jsonl")]), output, seed=3)
    assert manifest["counts"] == {"steps": 2, "completions": 8, "prompts": 2}
    rows = pq.read_table(output / "rollouts" / "step-000002.parquet").to_pylist()
    assert {row["answer"] for row in rows} == {"and", "7"}
    for row in rows:
        assert row["text"] == row["prompt"] + row["completion"]
        assert row["reward_short"] == -len(row["completion"])
        assert row["reward"] == pytest.approx(row["reward_exact"] + 0.1 * row["reward_short"] + row["reward_regex"])
    assert {entry["path"] for entry in manifest["files"]} >= {"rollouts/step-000001.parquet", "model.safetensors"}
    assert recognise(str(output)).what == "policy" and recognise(str(output / "rollouts")).what == "parquet files"
    (verified,) = verify(recognise(str(output)))
    assert not verified.problems and verified.files > 5, "every file is as the manifest says"
    texts = TextGenerator(output, files / "tokenizer").generate(["the river"], most_tokens=3)
    assert len(texts[0].ids) <= 3
    again = call_stage("grpo", settings_of(run, files, held_back=[str(files / "held.jsonl")]), output, seed=3)
    assert again == manifest


def test_a_reward_model_is_trained_and_rewards(run: Path, files: Path, monkeypatch, capsys) -> None:  # noqa: F811
    tokenizer = str(files / "tokenizer")
    pairs = {"run": str(run), "tokenizer": tokenizer, "pairs": [str(files / "pairs.jsonl")], "held_back_share": 0.3}
    made = call_stage("reward", {**pairs, "steps": 2, "pairs_per_step": 3, "threads": 1}, files / "judge")
    assert made["counts"]["pairs"] + made["counts"]["held_back"] == 12
    monkeypatch.setattr(
        "corpusmill.pipelines.inspect.places.tokenizer_of_run", lambda folder: tokenizer
    )  # these folders are no stage's, so nothing leads back to it
    words = ["train", "grpo", str(run), "--tokenizer", tokenizer, "--prompts", str(files / "prompts.jsonl")]
    words += ["--rewards", f"model:{files / 'judge'},exact", "--output", str(files / "judged"), "--workers", "1"]
    words += [part for name, value in SHORT.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    monkeypatch.setattr(sys, "argv", ["corpusmill", *words, "--json"])
    assert app([*words, "--json"], standalone_mode=False) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["stages"][0]["stage"] == "grpo" and printed["stages"][0]["facts"]["steps"] == 2
    rows = pq.read_table(files / "judged" / "rollouts" / "step-000001.parquet").to_pylist()
    assert all(row["reward"] == pytest.approx(row["reward_model"] + row["reward_exact"]) for row in rows)


def test_mistakes_are_one_line_before_anything_is_trained(run: Path, files: Path) -> None:  # noqa: F811
    (files / "bad.jsonl").write_text('{"prompt": "a", "answer": "b"}\n{"answer": "b"}\n')
    (files / "broken.jsonl").write_text('{"prompt": "a"\n')
    (files / "list.jsonl").write_text('{"prompt": ["a"]}\n')
    (files / "bare.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    (files / "broken.parquet").write_text("no")
    cases = (
        ({"rewards": ["exakt"]}, "unknown reward 'exakt'"),
        ({"rewards": ["my_rewards:long"]}, "could not be loaded"),
        ({"rewards": ["model:judge"]}, "judge"),
        ({"prompts": [str(files / "bad.jsonl")]}, "line 2: there is no 'prompt'"),
        ({"prompts": [str(files / "broken.jsonl")]}, "line 1: not a line of JSON"),
        ({"prompts": [str(files / "list.jsonl")]}, "'prompt' is not text"),
        ({"prompts": [str(files / "bare.jsonl")]}, "has no answer"),
        ({"prompts": [str(files / "broken.parquet")]}, "not a Parquet file"),
        ({"prompts": [str(files / "none.jsonl")]}, "none.jsonl"),
        ({"run": str(files / "nowhere")}, "nowhere"),
        ({"group": 1}, "group"),
        ({"prompts_per_step": 3}, "2 prompts are fewer than the 3 of a step"),
    )
    for number, (changed, why) in enumerate(cases):
        with pytest.raises(Exception, match=why) as raised:
            call_stage("grpo", settings_of(run, files) | changed, files / f"no-{number}")
        assert isinstance(raised.value, UserError) or type(raised.value).__name__ == "StageFailed", raised.value
