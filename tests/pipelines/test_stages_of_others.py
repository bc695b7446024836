"""A stage of somebody else's package: found by its entry point, and then a stage like any other."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.pipelines.road import environment

ABOUT = '''
"""What the stage says of itself."""

from corpusmill.pipelines.description import Rates, StageDescription, document_rows

UPPER = StageDescription(
    name="upper",
    plan="shouting.plan:UpperStage",
    command=("upper",),
    line="Documents in capitals.",
    help="Write every document in capitals.",
    example="corpusmill upper documents --output loud",
    keeps_ids=True,
    rates=Rates(100.0, 1.0, 0.3, 300),
    rows=lambda counts, facts: [*document_rows(counts), ("letters raised", f"{facts['raised']:,}")],
    losses=lambda manifest: [],
)
'''
PLAN = """
from dataclasses import dataclass

from pydantic import Field

from corpusmill.pipelines.datasets import listed
from corpusmill.pipelines.engine.stage import PhasePlan, StageRun, StageSettings, Summary, add_counts
from corpusmill.pipelines.stages.parts import PartsStage, PartWork


class UpperSettings(StageSettings):
    datasets: tuple[str, ...] = Field(description="datasets of documents", min_length=1)
    mark: str = Field(default="!", description="what each document ends with")


@dataclass(frozen=True, kw_only=True)
class UpperWork(PartWork):
    mark: str


class UpperStage(PartsStage):
    name = "upper"
    Settings = UpperSettings
    kernels = ()

    def phases(self) -> list[PhasePlan]:
        return [self.phase_over_parts("raise")]

    def run(self, run: StageRun) -> Summary:
        tasks = self.part_tasks("shouting.work:raise_part", UpperWork(mark=self.settings.mark))
        results = run.map("raise", tasks)
        return Summary(
            counts=add_counts(results, ["documents_in", "kept"]),
            parts=listed(results, "parts"),
            facts={"raised": sum(result["raised"] for result in results)},
        )
"""
WORK = """
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dataproc.datasets import ONE_PART_A_FILE, PartWriter, open_part, read_batches


def raise_part(task):
    work = task.arguments
    with open_part(work.path) as file:
        schema = file.schema_arrow.remove_metadata()
    documents = raised = 0
    with PartWriter(task.folder, task.id, schema, part_bytes=ONE_PART_A_FILE) as writer:
        for batch in read_batches(work.path):
            texts, mark = batch.column("text"), pa.scalar(work.mark, pa.large_string())
            loud = pc.binary_join_element_wise(pc.utf8_upper(texts), mark, pa.scalar("", mark.type))
            writer.write(batch.set_column(batch.schema.get_field_index("text"), schema.field("text"), loud))
            documents += batch.num_rows
            raised += batch.num_rows
    return {"documents_in": documents, "kept": documents, "raised": raised, "parts": writer.parts}
"""
RECIPE = """
name: loud
output: run
stages:
  documents: {stage: ingest, inputs: [in.jsonl], source: s}
  loud: {stage: upper, datasets: [documents], mark: "?"}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder as site-packages is: the package, and its distribution's record with the entry point."""
    site = tmp_path / "site"
    package, record = site / "shouting", site / "shouting-1.0.dist-info"
    package.mkdir(parents=True)
    record.mkdir()
    for name, text in (("__init__", ""), ("about", ABOUT), ("plan", PLAN), ("work", WORK)):
        (package / f"{name}.py").write_text(text)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[corpusmill.stages]\nupper = shouting.about:UPPER\n")
    (tmp_path / "in.jsonl").write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n')
    (tmp_path / "loud.yaml").write_text(RECIPE)
    return site


def corpusmill(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = f"{site}:{environment()['PYTHONPATH']}"
    line = [sys.executable, "-m", "corpusmill", *arguments]
    return subprocess.run(
        line, capture_output=True, text=True, env=environment(PYTHONPATH=paths), cwd=site.parent, timeout=300
    )


def texts(folder: Path) -> list[str]:
    return [text for path in sorted(folder.glob("part-*.parquet")) for text in pq.read_table(path)["text"].to_pylist()]


def test_it_is_a_command_and_a_stage_of_recipes(site: Path) -> None:
    listed = corpusmill(site, "--help").stdout
    assert "upper" in listed and "Documents in capitals." in listed
    assert "--mark TEXT" in corpusmill(site, "upper", "--help").stdout

    done = corpusmill(site, "run", "loud.yaml", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert texts(site.parent / "run/loud") == ["ONE?", "TWO?"]
    assert "letters raised" in done.stdout
    assert corpusmill(site, "run", "loud.yaml", "--dry-run").stdout.count("done") == 2

    alone = corpusmill(site, "upper", "run/documents", "--output", "other")
    assert alone.returncode == 0 and texts(site.parent / "other") == ["ONE!", "TWO!"]


def test_it_can_be_looked_into_like_ours(site: Path) -> None:
    assert corpusmill(site, "run", "loud.yaml").returncode == 0
    assert "kept" in corpusmill(site, "inspect", "why", "run/loud", "a").stdout
    assert corpusmill(site, "inspect", "verify", "run").returncode == 0
    assert "loud" in corpusmill(site, "status", "run").stdout
    assert "upper" in (site.parent / "run/report/index.html").read_text()


def test_without_its_package_a_folder_of_it_can_still_be_read(site: Path) -> None:
    assert corpusmill(site, "run", "loud.yaml").returncode == 0
    (site / "shouting-1.0.dist-info/entry_points.txt").write_text("")
    assert "upper" in corpusmill(site, "inspect", "run/loud").stdout
    gone = corpusmill(site, "run", "loud.yaml")
    assert gone.returncode == 2 and "no stage 'upper'" in gone.stderr


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("shouting.nowhere:UPPER", "could not be loaded (ModuleNotFoundError"),
        ("shouting.plan:UpperStage", "is not a StageDescription named 'upper'"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_one_line(site: Path, point: str, said: str) -> None:
    (site / "shouting-1.0.dist-info/entry_points.txt").write_text(f"[corpusmill.stages]\nupper = {point}\n")
    done = corpusmill(site, "run", "loud.yaml")
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert f"upper = {point}" in done.stderr


def test_a_name_of_ours_cannot_be_taken(site: Path) -> None:
    (site / "shouting-1.0.dist-info/entry_points.txt").write_text(
        "[corpusmill.stages]\nfilter = shouting.about:UPPER\n"
    )
    assert "Measure every document once" in corpusmill(site, "filter", "--help").stdout
