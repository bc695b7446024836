"""Everything that is installed is one package, `corpusmill`, whatever else stands beside it."""

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


REPOSITORY = "https://example.org/somebody/corpusmill"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel, which is built from what the sdist holds."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"

    def build(kind: str, cwd: Path) -> None:
        line = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
        environment = {**os.environ, "CORPUSMILL_REPOSITORY": REPOSITORY}
        done = subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)
        assert done.returncode == 0, done.stderr

    build("sdist", ROOT)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(source, filter="data")
    build("wheel", next(source.iterdir()))
    return folder


@pytest.mark.slow
def test_a_wheel_holds_one_package_with_recipes_and_templates(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"corpusmill"}
    for wanted in ("examples/quickstart.yaml", "pipelines/report/page.html", "pipelines/stages/filter/section.html",
                   "dataproc/kernels/sources.py", "__main__.py"):  # fmt: skip
        assert f"corpusmill/{wanted}" in names
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]


@pytest.mark.slow
def test_its_metadata_leads_to_the_repository(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL") or [])
    assert urls.keys() == {"Source", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(REPOSITORY) for url in urls.values())
    page = metadata.get_payload()
    assert f"]({REPOSITORY}/raw/HEAD/docs/road.svg)" in page
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL))
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    below = [target.partition("#")[0].partition("/HEAD/")[2] for target in targets if target.startswith(REPOSITORY)]
    assert len(below) > 5 and all((ROOT / path).is_file() for path in below)


def needed(wheel: Path, extras: tuple[str, ...]) -> dict[str, Distribution]:
    """What an installation of the wheel with these extras brings, by name, as this environment has it."""
    distributions: dict[str, Distribution] = {}
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        asked = email.message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []
    waiting = [(Requirement(line), extras) for line in asked]
    while waiting:
        requirement, chosen = waiting.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *chosen)):
            continue
        if (name := canonicalize_name(requirement.name)) in distributions:
            continue
        distributions[name] = distribution(name)
        waiting += [(Requirement(line), tuple(requirement.extras)) for line in distributions[name].requires or ()]
    return distributions


@pytest.mark.slow
def test_the_quickstart_runs_from_an_installed_wheel_away_from_the_clone(built: Path, tmp_path: Path) -> None:
    """In a new environment with what the metadata asks for, and nothing else. Downloading that would take longer than
    all else here, so it is linked from this environment; no `.pth` is, by which an installation in place is found."""
    (wheel,) = built.glob("*.whl")
    home = tmp_path / "environment"
    venv.create(home, with_pip=False, symlinks=True)
    (site,) = home.glob("lib/python3.*/site-packages")
    python = str(home / "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, timeout=60)
    for needs in needed(wheel, ("train", "report")).values():
        for name in {file.parts[0] for file in needs.files or ()} - {"..", "__pycache__"}:
            if not name.endswith(".pth") and not (site / name).exists():
                place = Path(str(needs.locate_file(name)))
                if name.endswith(".dist-info"):  # which the quickstart reads, and it follows no link out of a folder
                    shutil.copytree(place, site / name)
                else:
                    (site / name).symlink_to(place)
    assert not any((site / name).exists() for name in ("pytest", "ray", "scipy", "transformers"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA_"))}
    environment["CORPUSMILL_CACHE"] = str(tmp_path / "cache")
    where = [python, "-c", "import corpusmill; print(corpusmill.__file__, corpusmill.__version__)"]
    said = subprocess.run(where, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
    assert said.stdout.startswith(f"{site}/corpusmill/__init__.py "), said.stdout + said.stderr
    # A small vocabulary and a few steps show as much as the quickstart's, which is only planned: it finds its recipe in
    # the same place.
    recipe = str(site / "corpusmill/examples/quickstart.yaml")
    fewer = ["--set", "model.steps=10", "--set", "tokenizer.vocab_size=1024", "--allow-quarantine"]
    line = [str(home / "bin/corpusmill"), "run", recipe, *fewer, "--output", str(tmp_path / "out"), "--workers", "2"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    line = [str(home / "bin/corpusmill"), "quickstart", "--output", str(tmp_path / "planned"), "--dry-run"]
    planned = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert planned.returncode == 0 and planned.stdout.startswith("quickstart: plan"), planned.stdout + planned.stderr
    assert "held-back loss" in done.stdout and (tmp_path / "out/report/index.html").stat().st_size > 10_000
