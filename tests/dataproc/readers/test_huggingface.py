"""Folders of Hugging Face datasets: the rows of a split are those that the library `datasets` finds."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.readers.arrow_ipc import read_arrow
from corpusmill.dataproc.readers.csv_files import read_csv
from corpusmill.dataproc.readers.huggingface import find_dataset_files, is_saved
from corpusmill.dataproc.readers.json_objects import read_json
from corpusmill.dataproc.readers.jsonl import read_jsonl
from corpusmill.dataproc.readers.parquet import read_parquet
from corpusmill.dataproc.readers.pieces import Fields, Piece

READERS: dict[str, Any] = {
    "arrow": read_arrow, "csv": read_csv, "json": read_json, "jsonl": read_jsonl, "parquet": read_parquet
}  # fmt: skip


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The library, offline and with its cache in a folder that goes away."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("HF_HUB_OFFLINE", "1"), ("HF_DATASETS_OFFLINE", "1"), ("HF_HOME", str(cache))):
            patch.setenv(name, value)
        library = pytest.importorskip("datasets")
        library.disable_progress_bars()
        patch.setattr(library.config, "HF_DATASETS_CACHE", cache)
        yield library


def texts(folder: Path, configs: Sequence[Any] = (), **chosen: Any) -> list[str]:
    texts = []
    for path, name, format in find_dataset_files(str(folder), configs, **chosen):
        piece = Piece(path=path, name=name, format=format, bytes=0)
        for batch in READERS[format](piece, Fields(source="s"), lambda *values: pytest.fail(str(values))):
            texts += batch.column("text").to_pylist()
    return texts


def names(folder: Path, configs: Sequence[Any] = (), **chosen: Any) -> list[str]:
    return [name for _, name, _ in find_dataset_files(str(folder), configs, **chosen)]


def test_a_saved_dataset_gives_its_rows(tmp_path: Path, datasets: Any) -> None:
    dataset = datasets.Dataset.from_dict({"text": [f"row {number}" for number in range(50)], "x": range(50)})
    dataset = dataset.filter(lambda row: row["x"] % 2)  # rows by an index, which saving writes out
    dataset.save_to_disk(str(tmp_path / "saved"), num_shards=3)
    assert is_saved(str(tmp_path / "saved"))
    assert texts(tmp_path / "saved") == datasets.load_from_disk(str(tmp_path / "saved"))["text"][:]
    assert len(names(tmp_path / "saved")) == 3


def test_a_saved_dataset_of_splits_gives_the_split_that_is_named(tmp_path: Path, datasets: Any) -> None:
    splits = {
        name: datasets.Dataset.from_dict({"text": [f"{name} {n}" for n in range(5)]}) for name in ("train", "odd")
    }
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    loaded = datasets.load_from_disk(str(tmp_path / "saved"))
    for name in ("train", "odd"):
        assert texts(tmp_path / "saved", split=name) == loaded[name]["text"][:]
    assert texts(tmp_path / "saved") == loaded["train"]["text"][:]
    assert names(tmp_path / "saved", split="all") == [
        "odd/data-00000-of-00001.arrow",
        "train/data-00000-of-00001.arrow",
    ]
    with pytest.raises(UserError, match=r"no split 'test' \(there are train, odd\); name one of them, or all"):
        find_dataset_files(str(tmp_path / "saved"), split="test")
    with pytest.raises(UserError, match="has no configurations"):
        find_dataset_files(str(tmp_path / "saved"), config="en")


def write(folder: Path, *files: str) -> None:
    """Files that hold one record each: their own name."""
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.table({"text": [name]}), path)
        elif name.endswith(".csv"):
            path.write_text(f"text\n{name}\n")
        elif name.endswith(".json"):
            path.write_text(json.dumps([{"text": name}]))
        else:
            path.write_text(json.dumps({"text": name}) + "\n")


LAYOUTS = {
    "shards": [f"data/{name}-of-00002.parquet" for name in ("train-00000", "train-00001", "odd-00000", "odd-00001")],
    "folders": ["train/a.jsonl", "train/b.jsonl", "x/dev/c.jsonl"],
    "folders with more in their names": ["my_train/a.jsonl", "test-set/c.jsonl", "trained/d.jsonl"],
    "names": ["train.jsonl", "my-test.v2.jsonl", "eval_1.jsonl", "validation.jsonl", "training.jsonl", "contest.jsonl"],
    "no splits": ["a.jsonl", "deep/b.jsonl", ".hidden/c.jsonl", "__pycache__/d.jsonl"],
    "JSON": ["a.json", "config.json"],
    "CSV": ["train.csv", "test.csv"],
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_by_names_are_those_of_the_library(tmp_path: Path, datasets: Any, layout: str) -> None:
    write(tmp_path / "hub", *LAYOUTS[layout])
    (tmp_path / "hub" / "README.md").write_text("# A dataset\n")
    loaded = datasets.load_dataset(str(tmp_path / "hub"))
    for split in loaded:
        assert sorted(texts(tmp_path / "hub", split=split)) == sorted(loaded[split]["text"])
    with pytest.raises(UserError) as error:
        find_dataset_files(str(tmp_path / "hub"), split="none such")
    said = re.search(r"there are (.*)\)", str(error.value))
    assert said and set(said[1].split(", ")) == set(loaded)


CONFIGS = {
    "one pattern": [{"config_name": "x", "data_files": "data/*.jsonl"}],
    "patterns": [{"config_name": "x", "data_files": ["data/a*", "deep/**/c.jsonl"]}],
    "splits": [
        {
            "config_name": "x",
            "data_files": [{"split": "train", "path": ["data/a*"]}, {"split": "odd", "path": "deep/**"}],
        }
    ],
    "a default": [
        {"config_name": "a", "data_files": "data/a*"},
        {"config_name": "b", "data_files": "data/b*", "default": True},
    ],
    "one called default": [
        {"config_name": "a", "data_files": "data/a*"},
        {"config_name": "default", "data_files": "data/b*"},
    ],
    "a folder": [{"config_name": "x", "data_dir": "data"}],
}


@pytest.mark.parametrize("case", CONFIGS)
def test_declared_files_are_those_of_the_library(tmp_path: Path, datasets: Any, case: str) -> None:
    configs = CONFIGS[case]
    write(tmp_path / "hub", "data/a1.jsonl", "data/a2.jsonl", "data/b.jsonl", "deep/er/c.jsonl", "deep/d.jsonl")
    (tmp_path / "hub" / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n# A dataset\n")
    loaded = datasets.load_dataset(str(tmp_path / "hub"))
    for split in loaded:
        assert sorted(texts(tmp_path / "hub", configs, split=split)) == sorted(loaded[split]["text"])
    for config in configs:
        named = datasets.load_dataset(str(tmp_path / "hub"), config["config_name"], split="train")["text"]
        assert sorted(texts(tmp_path / "hub", configs, config=str(config["config_name"]))) == sorted(named)


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "hub", "data/a.jsonl", "notes.txt")
    several = [{"config_name": "en", "data_files": "data/*"}, {"config_name": "de", "data_files": "de/*"}]
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (several, {}, r"no configuration 'default' \(there are en, de\)"),
        (several, {"config": "fr"}, r"no configuration 'fr' \(there are en, de\)"),
        (several, {"config": "de"}, "no file matches 'de/"),
        ((), {"config": "en"}, "its README.md names none"),
        ([{"config_name": "x", "data_files": "notes.txt"}], {}, "names notes.txt, of which no rows can be read"),
        ([{"config_name": "x", "data_files": [5]}], {}, "neither a pattern nor a split and a path"),
    ]
    for configs, chosen, message in cases:
        with pytest.raises(UserError, match=message):
            find_dataset_files(str(tmp_path / "hub"), configs, **chosen)
    (tmp_path / "hub" / "data" / "a.jsonl").unlink()
    with pytest.raises(UserError, match="no data files"):
        find_dataset_files(str(tmp_path / "hub"))


@pytest.mark.parametrize(
    "described", ["", "[]", "{}", '{"_data_files": [{"x": 1}]}', '{"_data_files": [{"filename": "../a"}]}']
)
def test_a_broken_description_is_one_line(tmp_path: Path, described: str) -> None:
    (tmp_path / "state.json").write_text(described)
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(UserError, match="save the dataset again"):
        find_dataset_files(str(tmp_path))


def test_urls() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/hub-of-readers/data/train-00000-of-00001.jsonl", b'{"text":"a"}\n')
    memory.pipe("/hub-of-readers/README.md", b"")
    assert texts("memory://hub-of-readers") == ["a"]  # type: ignore[arg-type]
