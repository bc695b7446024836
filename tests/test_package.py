"""Everything that is installed is one package, `corpusmill`, whatever else stands beside it."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import corpusmill

ROOT = Path(__file__).parents[1]
FORMER = ("dataproc", "tokenizer", "training", "pipelines")
"""Packages of other people's projects, too: PyPI has a `tokenizer`, and many a project a folder `training/`."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with packages of its own that have the names of our folders, each of which may not be imported."""
    for name in FORMER:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('this is the project\\'s own')\n")
    return tmp_path


def run(project: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(project), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": paths, **more}
    line = [sys.executable, *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=project, env=environment, timeout=300)


def test_a_project_may_have_packages_of_the_same_names(project: Path) -> None:
    code = "from corpusmill import Tokenizer, ShardLoader, measure, pack; import corpusmill.pipelines.cli.main"
    done = run(project, "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_command_and_its_workers_run_in_such_a_project(project: Path) -> None:
    (project / "in.jsonl").write_text("".join(f'{{"id": "{n}", "text": "line {n}"}}\n' for n in range(9)))
    done = run(project, "-m", "corpusmill", "ingest", "in.jsonl", "--output", "documents", "--workers", "2")
    assert done.returncode == 0, done.stderr
    done = run(project, "-m", "corpusmill", "filter", "documents", "--output", "clean", "--rules", "code",
               "--workers", "2")  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_ranks_that_torchrun_starts_in_such_a_project_find_the_command(project: Path) -> None:
    line = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "corpusmill", "train", "nowhere",
            "--output", "model"]  # fmt: skip
    done = run(project, *line, GLOO_SOCKET_IFNAME="lo", OMP_NUM_THREADS="1")
    assert done.returncode and "nowhere" in done.stderr and "the project's own" not in done.stderr


def test_names_of_everyday_use_are_there_on_demand(tmp_path: Path) -> None:
    for name in corpusmill.__all__:
        assert getattr(corpusmill, name) is not None
    assert set(corpusmill.__all__) <= set(dir(corpusmill))
    with pytest.raises(AttributeError, match="nothing_like_it"):
        corpusmill.nothing_like_it  # noqa: B018
    code = "import sys, corpusmill; print([name for name in ('numba', 'torch', 'pyarrow') if name in sys.modules])"
    assert run(tmp_path, "-c", code).stdout == "[]\n"


def test_the_folder_for_imports_holds_links_to_the_four_and_nothing_else() -> None:
    folder = ROOT / "src/corpusmill"
    links = {path.name: path.resolve() for path in folder.iterdir() if path.is_symlink()}
    assert links == {name: ROOT / name for name in (*FORMER, "examples")}
    assert {path.name for path in folder.glob("*.py")} == {"__init__.py", "__main__.py"}
    assert [path.name for path in (ROOT / "src").iterdir() if not path.name.endswith(".egg-info")] == ["corpusmill"]


def test_the_supported_versions_of_python_are_said_alike_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [int(line.rpartition(".")[2]) for line in project["classifiers"] if ":: Python :: 3." in line]
    first, last = listed[0], listed[-1]
    assert listed == list(range(first, last + 1))
    assert project["requires-python"] == f">=3.{first},<3.{last + 1}"
    for name in ("README.md", "CONTRIBUTING.md", "Makefile"):
        assert set(re.findall(r"Python (3\.\d+) to (3\.\d+)", (ROOT / name).read_text())) == {
            (f"3.{first}", f"3.{last}")
        }


def test_make_install_takes_one_torch_of_those_that_the_project_allows() -> None:
    """One version: a range would bring the newest, which on PyPI is gigabytes of CUDA."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    first, after_last = re.findall(r"^torch>=([\d.]+),<([\d.]+)$", "\n".join(extras["train"]), re.MULTILINE)[0]
    pinned = re.findall(r"^torch==([\d.]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    lowest, chosen, highest = ([int(part) for part in text.split(".")] for text in (first, *pinned, after_last))
    assert lowest <= chosen < highest


@pytest.mark.slow
def test_a_wheel_holds_one_package_with_recipes_and_templates(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"corpusmill"}
    for wanted in ("examples/quickstart.yaml", "pipelines/report/page.html", "pipelines/stages/filter/section.html",
                   "dataproc/kernels/sources.py", "__main__.py"):  # fmt: skip
        assert f"corpusmill/{wanted}" in names
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
