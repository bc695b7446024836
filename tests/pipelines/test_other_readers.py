"""Other tools on our folders: each reads the documents and only these, and the side tables by their names."""

import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import duckdb
import pandas
import polars
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.side_tables import side_files
from corpusmill.pipelines.engine import state
from corpusmill.pipelines.inspect.places import recognise
from corpusmill.pipelines.inspect.why import explain
from tests.pipelines.road import run as run_road
from tests.pipelines.road import write_recipe
from tests.pipelines.small_run import make_run

READERS: dict[str, Callable[[str], int]] = {
    "pandas": lambda folder: len(pandas.read_parquet(folder)),
    "pyarrow": lambda folder: pyarrow.dataset.dataset(folder).count_rows(),
    "pyarrow.parquet": lambda folder: pq.read_table(folder).num_rows,
    "duckdb **": lambda folder: duckdb.sql(f"SELECT id FROM '{folder}/**/*.parquet'").df().shape[0],
    "polars **": lambda folder: polars.read_parquet(f"{folder}/**/*.parquet").height,
    "polars *": lambda folder: polars.scan_parquet(f"{folder}/*.parquet").select(polars.len()).collect().item(),
    "datasets": lambda folder: loaded(folder)["train"].num_rows,
}


def loaded(folder: str, *name: str) -> datasets.DatasetDict:
    return datasets.load_dataset(folder, *name, cache_dir=str(Path(folder).parent / "cache"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("readers"))


@pytest.mark.parametrize("stage", ["documents", "clean", "unique"])
@pytest.mark.parametrize("reader", READERS)
def test_a_folder_gives_its_documents_and_only_these(run: Path, stage: str, reader: str) -> None:
    assert READERS[reader](str(run / stage)) == state.require_manifest(str(run / stage))["counts"]["kept"]


def test_side_tables_are_read_by_their_names(run: Path) -> None:
    folder = str(run / "clean")
    assert set(datasets.get_dataset_config_names(folder)) == {"default", "ledger", "rejected", "statistics"}
    for table in ("ledger", "rejected", "statistics"):
        frame = pandas.read_parquet(f"{folder}/_{table}")
        assert len(frame) > 0
        assert loaded(folder, table)["train"].num_rows == len(frame)
        assert polars.read_parquet(f"{folder}/_{table}/").height == len(frame)
        assert duckdb.sql(f"SELECT id FROM read_parquet('{folder}/_{table}/*')").df().shape[0] == len(frame)


def test_the_card_says_what_is_there_and_how_it_was_made(run: Path) -> None:
    text = (run / "unique" / "_README.md").read_text()
    kept = state.require_manifest(str(run / "unique"))["counts"]["kept"]
    assert f"{kept:,} documents" in text and "`_duplicates/`" in text
    assert f"| tests | {kept:,} |" in text  # the source
    assert "threshold:" in text  # settings
    clean, documents, raw = (text.index(line) for line in ("- clean, made by", "  - documents, made by", "    - /"))
    assert clean < documents < raw  # lineage
    matter = text.split("---\n")[1]
    assert matter == (run / "unique" / ".huggingface.yaml").read_text()


def test_folders_of_the_older_layout_are_read(run: Path, tmp_path: Path) -> None:
    older = tmp_path / "run"
    shutil.copytree(run, older)
    for stage in ("documents", "clean", "unique"):
        manifest = older / stage / "_manifest.json"
        text = manifest.read_text()
        for path in [entry["path"] for entry in state.require_manifest(str(older / stage))["files"]]:
            name = path.removeprefix("_").removesuffix(".side")
            (older / stage / name).parent.mkdir(exist_ok=True)
            (older / stage / path).rename(older / stage / name)
            text = text.replace(f'"{path}"', f'"{name}"')
        manifest.write_text(text)
    assert set(side_files(state.require_manifest(str(older / "clean")), "ledger").values()) == {
        path.relative_to(older / "clean").as_posix() for path in (older / "clean/ledger").iterdir()
    }
    for stage, name in (("clean", "hostile<b>"), ("unique", "twin"), ("unique", "good-3")):
        before, after = (explain(recognise(str(folder / stage)), name) for folder in (run, older))
        assert before.fate == after.fate
        assert [line.replace(str(run), "") for line in before.lines] == [
            line.replace(str(older), "") for line in after.lines
        ]


@pytest.mark.slow
def test_shards_give_what_is_trained_on_and_what_is_held_back_apart(tmp_path: Path) -> None:
    done = run_road(write_recipe(tmp_path), tmp_path / "road")
    assert done.returncode == 0, done.stderr
    shards = tmp_path / "road/shards"
    manifest = state.require_manifest(str(shards))
    rows = sum(part["rows"] for part in manifest["parts"])
    assert pyarrow.dataset.dataset(str(shards), format="ipc").count_rows() == rows
    splits = loaded(str(shards))
    assert (splits["train"].num_rows, splits["validation"].num_rows > 0) == (rows, True)
