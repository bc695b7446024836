"""The rooms of the stages: what each says of itself holds together, and planning reaches nothing heavy."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from corpusmill.pipelines.description import StageDescription, load
from corpusmill.pipelines.inspect.inspection import inspection_of
from corpusmill.pipelines.registry import descriptions, stage_type
from corpusmill.pipelines.report.flow import waterfall
from corpusmill.pipelines.report.sections import report_of
from corpusmill.pipelines.report.stages import StageOutput
from tests.pipelines.road import environment

HEAVY = ("numba", "torch", "tokenizers", "ray", "transformers", "matplotlib", "trafilatura", "resiliparse", "fasttext")

PLANS_EVERYTHING = f"""
import sys
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.registry import descriptions, stage_type
for description in descriptions():
    made = stage_type(description.name)
    assert made.name == description.name
loaded = [name for name in {HEAVY!r} if name in sys.modules]
work = [name for name in sys.modules if name.startswith("corpusmill.pipelines.stages.") and ".work" in name]
print(loaded, work)
"""


def test_planning_all_stages_imports_neither_their_work_nor_anything_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", PLANS_EVERYTHING], capture_output=True, text=True, env=environment())
    assert done.stdout == "[] []\n", done.stderr


@pytest.mark.parametrize("description", descriptions(), ids=lambda description: description.name)
def test_a_stage_says_what_others_ask(description: StageDescription) -> None:
    made = stage_type(description.name)
    settings = made.Settings.model_fields
    assert made.name == description.name
    assert set(description.reads) | set(description.uses) <= settings.keys()
    assert description.rates or made.costs is not stage_type("filter").costs, "nothing says what it costs"
    if description.command and description.in_recipes:
        assert set(description.positional) <= settings.keys()
        assert description.help and description.example.startswith(f"corpusmill {' '.join(description.command)}")
        assert description.line or len(description.command) > 1
    inspection_of(description)
    report_of(description)
    for target in (description.preview, description.progress):
        assert not target or callable(load(target))


def test_nobody_but_its_room_branches_on_a_stages_name() -> None:
    """No table and no branch elsewhere goes by the name of a stage; the registry has one line for each."""
    root = Path(__file__).parents[2] / "pipelines"
    names = {description.name for description in descriptions()}
    asking = re.compile(r'(?:\["stage"\]|\.get\("stage"\)|\.stage|stage\.name) (?:==|!=|in \(|not in \()')
    tables = {
        f'"{name}": ' for name in names if name not in ("index", "search", "tokenizer", "spans", "export", "import")
    }
    offences = []
    for path in root.rglob("*.py"):
        if "stages" in path.relative_to(root).parts[:1] or path.name == "registry.py":
            continue
        text = path.read_text("utf-8")
        offences += [f"{path.name}: {match}" for match in asking.findall(text)]
        offences += [f"{path.name}: {entry}" for entry in tables if entry in text]
    assert offences == []


PROTECTING = """
name: protecting
output: run
stages:
  old: {stage: ingest, inputs: [old.jsonl], source: old}
  new: {stage: ingest, inputs: [new.jsonl], source: new}
  unique: {stage: dedup, datasets: [new], protect: [old]}
"""


def test_a_dry_run_knows_every_folder_that_a_stage_takes_in(tmp_path: Path) -> None:
    """`protect:` names an earlier stage that has not run: the plan waits for it, and the run carries it out."""
    (tmp_path / "recipe.yaml").write_text(PROTECTING)
    for name in ("old", "new"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "the same text stands in both of these files"}\n')

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "corpusmill", "run", "recipe.yaml", *options]
        return subprocess.run(line, capture_output=True, text=True, env=environment(), cwd=tmp_path)

    planned = run("--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "after new, old" in planned.stdout
    done = run()
    assert done.returncode == 0, done.stderr
    assert "done" in run("--dry-run").stdout


def test_the_reports_waterfall_follows_documents_through_every_stage_that_loses_some() -> None:
    counts = {"documents_in": 10, "kept": 4, "rejected": 6, "quarantined": 0}
    manifest = {"stage": "quality-keep", "counts": counts, "facts": {}, "files": []}
    stage = StageOutput("good", "nowhere", manifest)
    assert [(bar.kind, bar.label, bar.count) for bar in waterfall([stage])] == [
        ("in", "came in", 10),
        ("loss", "below the score to keep", 6),
        ("kept", "kept", 4),
    ]
    losing = {description.name for description in descriptions() if description.losses}
    assert losing == {description.name for description in descriptions() if description.makes == "dataset"} - {
        "quality-seeds"  # which picks pages out of what was rejected
    }
