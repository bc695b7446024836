"""Mixtures as a stage: every document is accounted for, weights hold to the document, copies have ids of their own."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.inspect.places import chain, recognise
from corpusmill.pipelines.inspect.trace import Document, _Way
from corpusmill.pipelines.inspect.verify import verify
from corpusmill.pipelines.inspect.why import explain
from corpusmill.pipelines.options import RunOptions
from corpusmill.pipelines.planning import print_plan
from corpusmill.pipelines.recipe import NamedStage, Recipe
from corpusmill.pipelines.settings import validate
from corpusmill.pipelines.stages.mixture.plan import MixtureStage
from corpusmill.pipelines.summary import summary_rows
from corpusmill.tokenizer.encoder import Tokenizer
from tests.pipelines.road import final_bytes
from tests.pipelines.small_dataset import write_dataset
from tests.pipelines.small_run import write_manifest
from tests.pipelines.test_stage_inputs import run

Mix = Callable[..., Finished]
WEB, CODE = 60, 12


def row(source: str, number: int) -> dict[str, Any]:
    language = None if source == "code" else "zh" if number % 3 == 0 else "en"
    text = f"{source} {number} " + "语" * (number % 7) + "x" * (20 + number % 11)
    return {"id": f"{source}-{number}", "text": text, "source": source, "language": language}


ROWS = [row("web", number) for number in range(WEB)] + [row("code", number) for number in range(CODE)]
TEXTS = {row["id"]: row for row in ROWS}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    write_dataset(folder / "a", ROWS[:25], ROWS[25:50])
    write_dataset(folder / "b", ROWS[50:], [])
    shuffled = ROWS[::-1]
    write_dataset(folder / "shuffled", shuffled[:7], shuffled[7:8], shuffled[8:])
    return folder


def stage_of(made: Path, seed: int = 5, **settings: Any) -> MixtureStage:
    values = {"datasets": [str(made / "a"), str(made / "b")], **settings}
    stage = MixtureStage(validate(MixtureStage.Settings, values, "test"), seed=seed)
    stage.check()
    return stage


@pytest.fixture
def mix(made: Path, tmp_path: Path) -> Mix:
    def go(name: str = "out", workers: int = 1, seed: int = 5, **settings: Any) -> Finished:
        with Session(make_executor=lambda: make_executor("local", workers=workers)) as session:
            return run_stage(stage_of(made, seed, **settings), str(tmp_path / name), session)

    return go


def rows(done: Finished, folder: str = "") -> list[dict[str, Any]]:
    entries = [*done.manifest["parts"], *done.manifest["files"]]
    chosen = [entry["path"] for entry in entries if entry["path"].rpartition("/")[0].removeprefix("_") == folder]
    return [row for path in chosen for row in pq.read_table(f"{done.folder}/{path}").to_pylist()]


def times(done: Finished) -> Counter[str]:
    return Counter(row["id"].partition("~")[0] for row in rows(done))


def test_without_wishes_the_documents_are_those_that_came_in(mix: Mix) -> None:
    done = mix()
    assert [{name: row[name] for name in ("id", "text", "source", "language")} for row in rows(done)] == ROWS
    assert {row["copy"] for row in rows(done)} == {1}
    assert done.manifest["counts"] == {"documents_in": 72, "kept": 72, "dropped": 0, "quarantined": 0, "copies": 0}


def test_amounts_are_met_to_within_a_document_and_all_documents_are_accounted_for(mix: Mix) -> None:
    done = mix(by=["source", "language"], source_weights={"web": 1, "code": 2}, total=2300)
    sizes = Counter[str]()
    for row in rows(done):
        sizes[row["source"]] += len(TEXTS[row["id"].partition("~")[0]]["text"].encode())
    largest = max(len(row["text"].encode()) for row in ROWS)
    plan = {group["group"]: group for group in done.manifest["facts"]["plan"]}
    assert plan["code/und"]["target"] == 1533 and plan["web/en"]["target"] + plan["web/zh"]["target"] in (766, 765)
    assert 1533 - largest < sizes["code"] <= 1533 and 766 - 2 * largest < sizes["web"] <= 766
    assert {name: group["size"] for name, group in plan.items()} == {
        "code/und": sizes["code"],
        **{f"web/{language}": sum(len(row["text"].encode()) for row in rows(done) if row["language"] == language)
           for language in ("en", "zh")},
    }  # fmt: skip
    seen, dropped = times(done), {row["id"]: row for row in rows(done, "dropped")}
    assert seen.keys() | dropped.keys() == TEXTS.keys() and not seen.keys() & dropped.keys()
    counts = done.manifest["counts"]
    assert counts["documents_in"] == counts["kept"] + counts["dropped"] == 72
    assert (counts["kept"], counts["copies"]) == (len(seen), seen.total() - len(seen))
    assert not [problem for folder in verify(recognise(done.folder)) for problem in folder.problems]
    name, line = next(iter(dropped.items()))
    assert line == {
        "id": name, "source": "web", "kind": "web", "language": TEXTS[name]["language"],
        "bytes": len(TEXTS[name]["text"].encode()),
    }  # fmt: skip
    assert explain(recognise(done.folder), name).fate == "dropped"
    assert any("code/und" in what and "epochs" in value for what, value in summary_rows(done.manifest))


def test_copies_follow_all_first_ones_and_have_ids_and_numbers_of_their_own(mix: Mix) -> None:
    done = mix(
        source_weights={"web": 0, "code": 1}, total=round(2.5 * sum(len(r["text"].encode()) for r in ROWS[WEB:]))
    )
    written = rows(done)
    assert len({row["id"] for row in written}) == len(written)
    assert [row["copy"] for row in written] == sorted(row["copy"] for row in written)
    assert [row["id"] for row in written[:CODE]] == [f"code-{number}" for number in range(CODE)]
    assert [row["id"] for row in written[CODE : 2 * CODE]] == [f"code-{number}~2" for number in range(CODE)]
    assert set(times(done).values()) == {2, 3}
    for row in written:
        assert row["text"] == TEXTS[row["id"].partition("~")[0]]["text"]


def test_a_mixture_of_a_mixture_has_ids_that_differ(mix: Mix, made: Path) -> None:
    first = mix("first", source_weights={"web": 0, "code": 1}, total=900)
    second = mix("second", datasets=[first.folder], total=1500)
    ids = [row["id"] for row in rows(second)]
    assert len(set(ids)) == len(ids) and any("~2~~2" in name for name in ids)
    assert second.manifest["counts"]["documents_in"] == len(rows(first))


def test_what_a_smaller_total_draws_a_larger_one_draws_too_and_another_seed_does_not(mix: Mix) -> None:
    small, large, other = mix("small", total=700), mix("large", total=1400), mix("other", total=700, seed=6)
    assert times(small) <= times(large)
    assert times(small) != times(other)
    assert mix("same", total=700, seed=5).manifest["facts"] == small.manifest["facts"]


def test_neither_workers_nor_the_order_of_parts_change_what_is_drawn(mix: Mix, made: Path) -> None:
    settings: Any = {
        "by": ["source", "language"],
        "source_weights": {"web": 1, "code": 1},
        "total": 2000,
        "short": "scale",
    }
    one, two = mix("one", **settings), mix("two", workers=2, **settings)
    assert final_bytes(Path(one.folder)) == final_bytes(Path(two.folder))
    other = mix("other", datasets=[str(made / "shuffled")], **settings)
    assert times(other) == times(one)
    assert other.manifest["facts"] == one.manifest["facts"]
    assert mix("one", **settings).was_done


def test_tokens_are_estimated_by_language_or_counted(mix: Mix, made: Path, tmp_path: Path) -> None:
    ratios = {"zh": 2, "*": 5}
    done = mix("estimated", by=["language"], unit="tokens", bytes_per_token=ratios)
    expected: Counter[str] = Counter()
    for row in ROWS:
        expected[row["language"] or "und"] += -(-len(row["text"].encode()) // ratios.get(row["language"], 5))
    assert {group["group"]: group["available"] for group in done.manifest["facts"]["plan"]} == expected

    folder = str(tmp_path / "tokenizer")
    run("tokenizer", Path(folder), datasets=[str(made / "a")], vocab_size=300, special="compact")
    encoder = Tokenizer.load(folder)
    counted = mix("counted", unit="tokens", tokenizer=folder, total=500)
    size_of = {row["id"]: len(encoder.encode(pa.array([row["text"]], pa.large_string()))[0]) for row in ROWS}
    assert sum(group["available"] for group in counted.manifest["facts"]["plan"]) == sum(size_of.values())
    total = sum(size_of[row["id"]] for row in rows(counted))
    assert 500 - 2 * max(size_of.values()) < total == counted.manifest["facts"]["total"] <= 500


def test_a_plan_is_printed_without_running_and_is_the_one_that_runs(
    mix: Mix, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: Any = {"source_weights": {"web": 1, "code": 1}, "total": 1200}
    named = NamedStage(name="mixture", folder=str(tmp_path / "out"), stage=stage_of(made, **settings))
    print_plan(Recipe(name="m", output=str(tmp_path / "out"), seed=5, stages=(named,)), RunOptions(workers=1))
    printed = capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    done = mix(**settings)
    for group in done.manifest["facts"]["plan"]:
        assert (
            f"{group['group']}: {group['documents']} documents: {group['target']:,} of {group['available']:,} bytes"
            in printed
        )
    assert "code" in printed and "epochs" in printed


def test_a_shortfall_that_is_accepted_is_told(mix: Mix) -> None:
    done = mix(source_weights={"web": 1, "code": 9}, total=3000, repeats=2, short="redistribute")
    (code,) = (group for group in done.manifest["facts"]["plan"] if group["group"] == "code")
    assert code["target"] == 2 * code["available"] < code["asked"] == 2700
    lines = dict(summary_rows(done.manifest))
    assert lines["  code: 12 documents"].endswith(f"2 epochs, {2700 - code['target']:,} short")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"source_weights": {"wbe": 1, "*": 1}}, "no document has the source 'wbe'.*code, web"),
        ({"source_weights": {"web": 1}}, "the source 'code' has no weight"),
        ({"language_weights": {"en": 1}}, "groups are not formed by language"),
        ({"source_weights": {"web": 1, "code": 9}, "total": 10_000}, "weights ask for 9,000 of 'code'.*short"),
        ({"caps": {"code": 10}, "by": ["language"]}, "unknown group 'code'"),
        ({"tokenizer": "t"}, "this is for tokens"),
        ({"unit": "tokens", "tokenizer": "t", "bytes_per_token": {"en": 4}}, "counted by the tokenizer"),
        ({"unit": "tokens", "bytes_per_token": {"en": 0}}, "0.0 bytes per token"),
    ],
)
def test_mistakes_are_said_before_anything_is_written(mix: Mix, tmp_path: Path, settings: Any, match: str) -> None:
    with pytest.raises(UserError, match=match):
        mix(**settings)
    assert not list(tmp_path.glob("out/*.parquet"))


def test_a_copy_is_traced_to_the_document_that_it_is_one_of(mix: Mix, tmp_path: Path) -> None:
    first = mix("first", source_weights={"web": 0, "code": 1}, total=900)
    second = mix("second", datasets=[first.folder], total=1500)
    names = [row["id"] for row in rows(second)]
    both = [next(name for name in names if name.endswith("~2~~2")), "code-1"]
    documents = {name: Document(name, "code") for name in both}
    digest = storage.digest_file(f"{second.folder}/_manifest.json")
    rest: dict[str, Any] = {
        "settings": {"datasets": [second.folder]},
        "counts": {},
        "parts": [],
        "files": [],
        "facts": {},
    }
    (tmp_path / "shards").mkdir()
    write_manifest(tmp_path / "shards", "pack", inputs={second.folder: {"manifest": digest}}, **rest)
    _Way(chain(recognise(str(tmp_path / "shards"))), documents, again=False).follow()
    assert set(documents) == set(both)
    for name in both:
        stood = documents[name].stood
        assert [stand.stage.rsplit("/", 1)[-1] for stand in stood] == ["b", "first", "second"]
        table = pq.read_table(stood[0].path)
        assert table["id"][stood[0].row].as_py() == name.partition("~")[0]
        assert pq.read_table(stood[2].path)["id"][stood[2].row].as_py() == name


def test_copied_documents_go_on_through_other_stages(mix: Mix, tmp_path: Path) -> None:
    mixed = mix(source_weights={"web": 0, "code": 1}, total=900)
    back = run("dedup", tmp_path / "unique", datasets=[mixed.folder], method=["exact"])
    assert back.manifest["counts"]["kept"] == CODE, "de-duplicating a mixture takes its copies out"
    assert (
        json.loads((tmp_path / "unique/_manifest.json").read_text())["counts"]["duplicates"] == len(rows(mixed)) - CODE
    )
