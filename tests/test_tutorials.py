"""Tutorials, the README's commands and the scripts in examples/ do what they say, from an empty folder.

The README's `make` lines are run by `.ci/run`, its installation into a clean environment by tests/test_package.py, and
the tutorial on clusters by tests/pipelines/test_job_submit.py, which has a Ray head.
"""

import json
from pathlib import Path

import pytest

from tests.pages import code_blocks, run_script, script_of

ROOT = Path(__file__).parents[1]
TUTORIALS = ROOT / "docs/tutorials"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
AFFORDABLE = {
    "--vocab-size 128000": "--vocab-size 1000 --special compact",
    "--sequence-length 4096": "--sequence-length 256",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the tutorial on crawls was followed."""
    folder = tmp_path_factory.mktemp("crawl")
    run_script(script_of(TUTORIALS / "crawl.md"), folder)
    return folder


def test_the_tutorial_on_crawls_ends_with_verified_shards_and_a_report(crawl: Path) -> None:
    counts = {
        name: json.loads((crawl / name / "_manifest.json").read_text())["counts"] for name in ("documents", "clean")
    }
    assert counts["documents"]["kept"] > 150
    assert 0 < counts["clean"]["kept"] < counts["documents"]["kept"]
    assert (crawl / "shards/_manifest.json").exists()
    assert (crawl / "crawl-run/report/index.html").exists()


def test_the_readmes_commands_run_on_the_tutorials_crawl(crawl: Path, tmp_path: Path) -> None:
    (block,) = (text for language, _, text in code_blocks(ROOT / "README.md") if language == "sh" and "ingest" in text)
    (tmp_path / "crawl").symlink_to(crawl / "crawl")
    page = tmp_path / "readme.md"
    page.write_text(f"```sh\n{block}```\n")
    run_script(
        script_of(page, AFFORDABLE | {"--preset laptop": "--preset tiny --steps 2 --batch-sequences 2"}), tmp_path
    )
    assert json.loads((tmp_path / "model/_manifest.json").read_text())["counts"]["steps"] == 2


def test_the_tutorial_on_notebooks_runs(tmp_path: Path) -> None:
    run_script(script_of(TUTORIALS / "notebook.md"), tmp_path)
    assert (tmp_path / "shards/_manifest.json").exists()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_scripts_in_examples_run(example: Path, tmp_path: Path) -> None:
    printed = run_script(example.read_text(), tmp_path)
    assert printed.strip()
