"""What stages refuse to take as input, before anything is written, and that what they say of it is right."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.settings import validate

TEXT = "The {0} quick brown foxes jump over {0} lazy dogs, and nobody minds them at all. "


def run(kind: str, folder: Path, **values: Any) -> Finished:
    made_of = stage_type(kind)
    stage = made_of(validate(made_of.Settings, values, "test"))
    with Session(make_executor=lambda: make_executor("local", workers=1)) as session:
        return run_stage(stage, str(folder), session)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset and a tokenizer."""
    folder = tmp_path_factory.mktemp("made")
    lines = [orjson.dumps({"text": TEXT.format(number) * 5}) for number in range(60)]
    (folder / "raw.jsonl").write_bytes(b"\n".join(lines))
    run("ingest", folder / "documents", inputs=[str(folder / "raw.jsonl")])
    run("tokenizer", folder / "tokenizer", datasets=[str(folder / "documents")], vocab_size=400, special="compact")
    return folder


@pytest.mark.parametrize("kind", ["filter", "dedup", "tokenizer", "pack"])
def test_a_dataset_given_twice_is_refused(made: Path, tmp_path: Path, kind: str) -> None:
    more = {"tokenizer": str(made / "tokenizer")} if kind == "pack" else {}
    with pytest.raises(UserError, match="given twice"):
        run(kind, tmp_path / "out", datasets=[str(made / "documents"), f"{made}/./documents"], **more)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["filter", "dedup", "tokenizer", "pack"])
def test_a_folder_of_another_kind_is_no_dataset(made: Path, tmp_path: Path, kind: str) -> None:
    tokenizer = str(made / "tokenizer")
    with pytest.raises(UserError, match="holds a tokenizer, not documents"):
        run(kind, tmp_path / "out", datasets=[tokenizer], **({"tokenizer": tokenizer} if kind == "pack" else {}))
    assert not (tmp_path / "out").exists()


def test_training_on_what_are_no_shards_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no token shards found: 'ingest' made this folder"):
        run("train", tmp_path / "out", shards=str(made / "documents"), steps=1)
    assert not (tmp_path / "out").exists()


def test_a_wrong_preference_leaves_no_plan_behind(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column 'nope'"):
        run("dedup", tmp_path / "out", datasets=[str(made / "documents")], prefer=["nope:desc"])
    assert run("dedup", tmp_path / "out", datasets=[str(made / "documents")]).manifest["counts"]["documents_in"] == 60


def test_deduplication_looks_for_something(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="method"):
        run("dedup", tmp_path / "out", datasets=[str(made / "documents")], method=[])


def test_exact_deduplication_does_not_ask_for_bands(made: Path, tmp_path: Path) -> None:
    impossible = {"permutations": 16, "threshold": 0.05, "recall": 0.9999999}
    done = run("dedup", tmp_path / "out", datasets=[str(made / "documents")], method=["exact"], **impossible)
    assert done.manifest["counts"]["kept"] == 60


def test_bytes_per_token_do_not_depend_on_what_is_held_back(made: Path, tmp_path: Path) -> None:
    ratios = {
        f"{share}": run(
            "pack", tmp_path / f"shards-{share}", datasets=[str(made / "documents")], validation_share=share,
            tokenizer=str(made / "tokenizer"), sequence_length=64,
        ).manifest["facts"]["bytes_per_token"]
        for share in (0.0, 0.5)
    }  # fmt: skip
    assert ratios["0.0"] == ratios["0.5"] > 1


def test_an_output_inside_the_output_of_another_stage_is_refused(made: Path) -> None:
    with pytest.raises(UserError, match="lies in the output of another stage"):
        run("filter", made / "documents" / "clean", datasets=[str(made / "documents")])
    assert not (made / "documents" / "clean").exists()


def test_preferences_hold_where_there_are_no_duplicates(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(TEXT.format("two"))
    run("ingest", tmp_path / "documents", inputs=[str(tmp_path / "one.txt")])
    prefer = ["source:first(books|crawl)", "length:desc"]
    done = run("dedup", tmp_path / "unique", datasets=[str(tmp_path / "documents")], prefer=prefer)
    assert done.manifest["counts"]["kept"] == 1


def test_exact_duplicates_alone_need_no_signatures(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(TEXT.format("three") if name != "c" else TEXT.format("three") + "More.")
    run("ingest", tmp_path / "documents", inputs=[str(tmp_path / "*.txt")])
    done = run("dedup", tmp_path / "unique", datasets=[str(tmp_path / "documents")], method=["exact"])
    assert (done.manifest["counts"]["kept"], done.manifest["counts"]["duplicates"]) == (2, 1)
