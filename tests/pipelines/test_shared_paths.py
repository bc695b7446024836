"""On a cluster, paths mean the same on every node, and nothing is written into a job's package cache."""

from pathlib import Path

import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines import preflight as preflight_module
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.recipe import load_recipe
from corpusmill.pipelines.running import run_recipe

RECIPE = """
name: paths
output: {output}
stages:
  documents: {{stage: ingest, inputs: ["{inputs}"]}}
  clean: {{stage: filter, datasets: [documents], rules: [gopher-quality]}}
  unique: {{stage: dedup, datasets: [clean{more}]}}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory as Ray makes one for a job; the shared storage is `/…/shared` beside it."""
    folder = tmp_path / "session_1/runtime_resources/working_dir_files/_ray_pkg_0123456789abcdef"
    folder.mkdir(parents=True)
    (tmp_path / "shared").mkdir()
    for place in (folder, tmp_path / "shared"):
        (place / "in.jsonl").write_text('{"text": "a"}\n')
    monkeypatch.chdir(folder)
    return folder


def refusal(tmp_path: Path, options: RunOptions, **values: str) -> str:
    shared = tmp_path / "shared"
    texts = {"output": f"{shared}/run", "inputs": f"{shared}/in.jsonl", "more": ""} | values
    (tmp_path / "r.yaml").write_text(RECIPE.format(**texts))
    with pytest.raises(UserError) as caught:
        run_recipe(load_recipe(str(tmp_path / "r.yaml")), options)
    return str(caught.value)


@pytest.fixture
def in_a_job(monkeypatch: pytest.MonkeyPatch) -> RunOptions:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    return RunOptions()


def test_an_output_in_the_package_cache_is_refused(package: Path, tmp_path: Path, in_a_job: RunOptions) -> None:
    for output in ("out", str(package / "out")):
        said = refusal(tmp_path, in_a_job, output=output)
        assert said.endswith(
            "this lies in Ray's copy of the job's working directory, which is removed after the job; "
            "use a path from the root on storage that every node sees, or a URL"
        )
        assert said.startswith(f"{output}/documents: ") and not (package / "out").exists()


def test_the_local_engine_does_not_write_there_either(package: Path, tmp_path: Path) -> None:
    assert "removed after the job" in refusal(tmp_path, RunOptions(engine="local", workers=1), output="out")


def test_a_relative_input_is_refused(package: Path, tmp_path: Path, in_a_job: RunOptions) -> None:
    said = refusal(tmp_path, in_a_job, more=", other")
    assert said.startswith(
        "other: this lies in Ray's copy of the job's working directory, which each node has of its own"
    )


def test_a_relative_raw_file_is_refused_before_a_worker_looks_for_it(
    package: Path, tmp_path: Path, in_a_job: RunOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight_module, "_require_modules", lambda *_: None)
    said = refusal(tmp_path, in_a_job, inputs="in.jsonl")
    assert said.startswith("in.jsonl: this lies in Ray's copy") and not (tmp_path / "shared/run/documents").exists()


def test_outside_of_a_job_relative_paths_are_refused_on_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    said = refusal(tmp_path, RunOptions(engine="ray", address="127.0.0.1:1"), output="out")
    assert said.startswith("out/documents: on a cluster, a relative path is another folder on each node")


def test_resources_are_refused_for_the_local_engine(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    options = RunOptions(engine="local", workers=1, resources=["documents:CPU=2"])
    assert "--resources: the local engine reserves no resources" in refusal(tmp_path, options)


def test_a_recipe_says_what_its_stages_reserve(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    text = RECIPE.format(output="out", inputs="in", more="")
    path.write_text(text.replace("rules: [gopher-quality]", "rules: [], resources: {memory: 4GiB, label.zone: a}"))
    clean = load_recipe(str(path)).stages[1]
    assert clean.reserved.as_values() == {"memory": 4 << 30, "labels": {"zone": "a"}}
    assert "resources" not in clean.stage.settings.model_dump()
    path.write_text(text.replace("rules: [gopher-quality]", "rules: [], resources: {CPU: many}"))
    with pytest.raises(UserError, match=r"clean.resources: CPU: 'many' is not an amount"):
        load_recipe(str(path))
