"""Quality as stages: the same bytes for any workers and parts, and every document in its place."""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from corpusmill.dataproc import storage
from corpusmill.dataproc.errors import UserError
from corpusmill.dataproc.quality import ranking
from corpusmill.dataproc.quality.evaluation import is_held_back
from corpusmill.dataproc.quality.keeping import pareto_thresholds, tie_draws
from corpusmill.dataproc.quality.saved import open_saved, read_record
from corpusmill.pipelines.engine.executor import make_executor
from corpusmill.pipelines.engine.stage import Finished, Session, run_stage
from corpusmill.pipelines.registry import stage_type
from corpusmill.pipelines.settings import validate
from tests.pipelines.road import final_bytes
from tests.pipelines.test_stage_inputs import run as run_ingest

TRAINING = {"dimensions": 8, "epochs": 20, "learning_rate": 0.5, "held_back": 0.4}
Run = Callable[..., Finished]


def text(draw: np.random.Generator, is_good: bool) -> str:
    own = "pn"[not is_good]
    return " ".join(f"{own}{draw.integers(60)}" if draw.random() < 0.3 else f"c{draw.integers(60)}" for _ in range(200))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets of several parts: good, bad, and a crawl of both in three languages; some texts try to be labels."""
    where = tmp_path_factory.mktemp("quality")
    draw = np.random.default_rng(7)

    def write(name: str, records: list[dict[str, Any]]) -> None:
        (where / f"{name}.jsonl").write_text("\n".join(json.dumps(record) for record in records))
        run_ingest("ingest", where / name, inputs=[str(where / f"{name}.jsonl")], part_bytes="64KiB")

    write("good", [{"id": f"g{n}", "text": text(draw, True), "language": ["en", "de"][n % 2]} for n in range(300)])
    bad = [{"id": f"b{n}", "text": text(draw, False), "language": ["en", "de"][n % 2]} for n in range(400)]
    bad[5]["text"] = "__label__hq " * 50 + bad[5]["text"]
    bad[6]["text"] = "</s>\n" + bad[6]["text"]
    bad[7]["text"] = ""
    write("bad", bad)
    crawl = [{"id": f"d{n}", "text": text(draw, n % 5 == 0), "language": ["en", "de", "fr"][n % 3]} for n in range(900)]
    for number in range(0, 60):
        crawl[number]["text"] = crawl[0]["text"]  # ties
    write("crawl", crawl)
    assert all(len(list((where / name).glob("part-*"))) > 1 for name in ("good", "bad", "crawl"))
    return where


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Run:
    def go(name: str, output: str, workers: int = 1, seed: int = 3, **values: Any) -> Finished:
        made_of = stage_type(f"quality-{name}")
        stage = made_of(validate(made_of.Settings, values, "test"), seed=seed)
        stage.check()
        with Session(make_executor=lambda: make_executor("local", workers=workers)) as session:
            return run_stage(stage, str(tmp_path / output), session)

    return go


@pytest.fixture(scope="module")
def classifier(folder: Path) -> str:
    """A classifier of good against bad."""
    made_of = stage_type("quality-train")
    values = {"positive": [str(folder / "good")], "negative": [str(folder / "bad")], **TRAINING}
    with Session(make_executor=lambda: make_executor("local", workers=1)) as session:
        run_stage(made_of(validate(made_of.Settings, values, "test"), seed=3), str(folder / "classifier"), session)
    return str(folder / "classifier")


@pytest.fixture(scope="module")
def scored(folder: Path, classifier: str) -> str:
    """The crawl with scores."""
    made_of = stage_type("quality-score")
    values = {"datasets": [str(folder / "crawl")], "model": classifier}
    with Session(make_executor=lambda: make_executor("local", workers=1)) as session:
        run_stage(made_of(validate(made_of.Settings, values, "test")), str(folder / "scored"), session)
    return str(folder / "scored")


def table(place: str, below: str = "") -> pa.Table:
    """All rows of a folder's parts."""
    paths = sorted((Path(place) / (f"_{below}" if below else "")).glob("part-*.parquet*"))
    return pa.concat_tables([pq.read_table(path) for path in paths])


def test_a_classifier_tells_good_from_bad_on_documents_that_it_never_saw(classifier: str) -> None:
    record = read_record(classifier)
    overall = record["metrics"]["overall"]
    assert overall["auc"] > 0.95
    assert record["calibration"]["method"] == "platt"
    assert set(record["metrics"]["by_language"]) == {"en", "de"}
    assert record["data"]["positive"]["datasets"][0]["manifest"]
    counts = {name: record["data"][name] for name in ("positive", "negative")}
    for count, documents in zip(counts.values(), (300, 400), strict=True):
        assert count["documents"] == documents == count["trained_on"] + count["held_back"]


def test_held_back_documents_leave_no_trace_in_the_weights(run: Run, folder: Path, tmp_path: Path) -> None:
    values = {"negative": [str(folder / "bad")], **TRAINING}
    ids = pa.array([f"g{number}" for number in range(300)])
    held_back = is_held_back(ids, 0.4, 3)
    lines = (folder / "good.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record, is_out in zip(records, held_back, strict=True):
        if is_out:
            record["text"] = "quite other words"
    (tmp_path / "changed.jsonl").write_text("\n".join(map(json.dumps, records)))
    run_ingest("ingest", tmp_path / "changed", inputs=[str(tmp_path / "changed.jsonl")])
    one = run("train", "one", positive=[str(folder / "good")], **values)
    other = run("train", "other", positive=[str(tmp_path / "changed")], **values)
    models = [Path(done.folder, "model.bin").read_bytes() for done in (one, other)]
    assert models[0] == models[1]


def test_training_gives_the_same_bytes_for_any_workers(run: Run, folder: Path, classifier: str) -> None:
    values = {"positive": [str(folder / "good")], "negative": [str(folder / "bad")], **TRAINING}
    done = run("train", "again", workers=2, **values)
    assert final_bytes(Path(done.folder)) == final_bytes(Path(classifier))


def test_the_model_does_not_depend_on_how_documents_lie_in_parts(run: Run, folder: Path, tmp_path: Path) -> None:
    values = {"negative": [str(folder / "bad")], **TRAINING, "positive_cap": 50}
    run_ingest("ingest", tmp_path / "good", inputs=[str(folder / "good.jsonl")])  # one part
    one = run("train", "one", positive=[str(folder / "good")], **values)
    other = run("train", "other", positive=[str(tmp_path / "good")], **values)
    assert len(one.manifest["counts"]) == len(other.manifest["counts"])
    assert Path(one.folder, "model.bin").read_bytes() == Path(other.folder, "model.bin").read_bytes()


def test_a_cap_takes_exactly_so_many_documents(run: Run, folder: Path) -> None:
    values = {"positive": [str(folder / "good")], "negative": [str(folder / "bad")], **TRAINING}
    counts = run("train", "out", positive_cap=41, negative_cap=77, **values).manifest["counts"]
    assert (counts["positive_trained_on"], counts["negative_trained_on"]) == (41, 77)
    counts = run("train", "more", positive_cap=100_000, **values).manifest["counts"]
    assert counts["positive_trained_on"] + counts["positive_held_back"] == 300


def test_scores_stand_beside_documents_that_are_as_they_were(folder: Path, scored: str, classifier: str) -> None:
    before, after = table(str(folder / "crawl")), table(scored)
    assert after.select(before.column_names).equals(before)
    assert after.column_names[-2:] == ["quality_score", "quality_score_raw"]
    model = open_saved(classifier)
    raw = model.raw(before["text"].combine_chunks())
    np.testing.assert_array_equal(after["quality_score_raw"].to_numpy(), raw)
    np.testing.assert_array_equal(after["quality_score"].to_numpy(), model.calibrated(raw))
    good = np.arange(900) % 5 == 0
    assert after["quality_score"].to_numpy()[60:][good[60:]].mean() > 0.7
    assert after["quality_score"].to_numpy()[60:][~good[60:]].mean() < 0.3


def test_a_bare_model_file_scores_under_a_label_and_a_column_of_its_own(run: Run, classifier: str, scored: str) -> None:
    done = run(
        "score", "out", datasets=[scored], model=f"{classifier}/model.bin", label="__label__cc", column="badness",
        split_unspaced=True,
    )  # fmt: skip
    scores = table(done.folder)
    both = scores["badness"].to_numpy() + scores["quality_score_raw"].to_numpy()
    np.testing.assert_allclose(both, 1 + 2e-5, atol=1e-9)


def test_scoring_twice_under_one_name_and_settings_that_the_model_has_are_one_line(
    run: Run, classifier: str, scored: str, folder: Path
) -> None:
    with pytest.raises(Exception, match="already a column quality_score"):
        run("score", "twice", datasets=[scored], model=classifier)
    with pytest.raises(UserError, match="leave --lowercase out"):
        run("score", "settings", datasets=[str(folder / "crawl")], model=classifier, lowercase=True)
    with pytest.raises(UserError):
        run("score", "missing", datasets=[str(folder / "crawl")], model=str(folder / "crawl"))


def kept_and_rejected(done: Finished) -> tuple[set[str], set[str]]:
    kept, rejected = table(done.folder), table(done.folder, "rejected")
    ids = [set(documents["id"].to_pylist()) for documents in (kept, rejected)]
    assert len(ids[0]) == kept.num_rows
    assert not ids[0] & ids[1]
    counts = done.manifest["counts"]
    assert (counts["kept"], counts["rejected"]) == (kept.num_rows, rejected.num_rows)
    ledger = table(done.folder, "ledger")
    assert ledger["id"].to_pylist() == rejected["id"].to_pylist()
    assert set(rejected["broken_rules"].to_pylist()) <= set(ledger["rule"].to_pylist())
    return ids[0], ids[1]


def test_a_threshold_keeps_what_reaches_it_and_groups_may_have_their_own(run: Run, scored: str) -> None:
    rows = table(scored).to_pylist()
    done = run("keep", "one", datasets=[scored], threshold=0.5)
    assert kept_and_rejected(done)[0] == {row["id"] for row in rows if row["quality_score"] >= 0.5}
    done = run("keep", "two", datasets=[scored], threshold=0.5, by="language", thresholds={"fr": 0.01})
    least = {"en": 0.5, "de": 0.5, "fr": 0.01}
    kept, _ = kept_and_rejected(done)
    assert kept == {row["id"] for row in rows if row["quality_score"] >= least[row["language"]]}
    ledger = table(done.folder, "ledger").to_pylist()
    assert {(row["rule"], row["threshold"]) for row in ledger} == {
        ("quality/threshold", 0.5),
        ("quality/threshold", 0.01),
    }
    assert all(row["value"] < row["threshold"] for row in ledger)


@pytest.mark.parametrize("few", [4, 1 << 16])
@pytest.mark.parametrize("by", [None, "language"])
def test_the_best_share_is_what_sorting_all_documents_would_take(
    run: Run, scored: str, by: str | None, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "FEW", few)
    scored_table = table(scored)
    draws = tie_draws(scored_table["id"].combine_chunks(), 3)
    rows = [row | {"draw": int(draw)} for row, draw in zip(scored_table.to_pylist(), draws, strict=True)]
    above = sum(row["quality_score"] > rows[0]["quality_score"] for row in rows)
    share = round((above + 29.5) / len(rows), 6)  # cuts through the sixty documents of one text
    wanted = set()
    for group in {row["language"] for row in rows} if by else [None]:
        members = [row for row in rows if not by or row["language"] == group]
        members.sort(key=lambda row: (row["quality_score"], row["draw"]), reverse=True)
        wanted |= {row["id"] for row in members[: math.ceil(Fraction(repr(share)) * len(members))]}
    done = run("keep", "out", datasets=[scored], top_share=share, by=by)
    assert kept_and_rejected(done)[0] == wanted
    ties = [row["id"] in wanted for row in rows[:60]]
    assert by or sum(ties) == 30


def test_a_number_of_best_documents_is_kept_exactly_or_all_there_are(run: Run, scored: str) -> None:
    assert run("keep", "some", datasets=[scored], top_count=123).manifest["counts"]["kept"] == 123
    assert run("keep", "all", datasets=[scored], top_count=5000).manifest["counts"]["kept"] == 900
    assert run("keep", "each", datasets=[scored], top_count=10, by="language").manifest["counts"]["kept"] == 30


def test_a_draw_is_the_documents_own(run: Run, scored: str) -> None:
    scored_table = table(scored)
    ids, scores = scored_table["id"].combine_chunks(), scored_table["quality_score"].to_numpy()
    expected = scores > pareto_thresholds(ids, 9.0, 3)
    done = run("keep", "out", datasets=[scored], pareto=9.0)
    kept, rejected = kept_and_rejected(done)
    assert kept == set(ids.filter(pa.array(expected)).to_pylist())
    assert rejected
    again = run("keep", "again", workers=2, datasets=[scored], pareto=9.0)
    assert final_bytes(Path(done.folder)) == final_bytes(Path(again.folder))


def test_keeping_gives_the_same_bytes_for_any_workers(run: Run, scored: str) -> None:
    one = run("keep", "one", datasets=[scored], top_share=0.2, by="language")
    two = run("keep", "two", workers=2, datasets=[scored], top_share=0.2, by="language")
    assert final_bytes(Path(one.folder)) == final_bytes(Path(two.folder))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "no setting says what to keep"),
        ({"threshold": 0.5, "pareto": 3.0}, "threshold and pareto are given"),
        ({"threshold": 0.5, "thresholds": {"en": 0.1}}, "give --by and --threshold"),
        ({"threshold": 0.5, "column": "nothing"}, "no column nothing"),
        ({"top_share": 0.5, "column": "nothing"}, "no column nothing"),
        ({"threshold": 0.5, "column": "language"}, "does not hold numbers"),
    ],
)
def test_what_cannot_be_kept_by_is_one_line(run: Run, scored: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        run("keep", "out", datasets=[scored], **values)


def test_the_report_prints_tables_and_writes_a_page_that_escapes_what_documents_say(
    folder: Path, tmp_path: Path, run: Run
) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    from corpusmill.pipelines.cli.quality import app_for

    hostile = "<script>alert(1)</script>\x1b[2J"
    lines = (folder / "good.jsonl").read_text().splitlines()
    changed = [json.dumps(json.loads(line) | {"language": hostile}) for line in lines]
    (tmp_path / "hostile.jsonl").write_text("\n".join(changed))
    run_ingest("ingest", tmp_path / "hostile", inputs=[str(tmp_path / "hostile.jsonl")])
    done = run(
        "train", "made", positive=[str(tmp_path / "hostile")], negative=[str(folder / "bad")],
        calibration="isotonic", **TRAINING,
    )  # fmt: skip
    page = tmp_path / "page.html"
    result = CliRunner().invoke(
        app_for("quality"), ["report", done.folder, "--html", str(page)], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "area under ROC" in result.stdout
    assert "\x1b[2J" not in result.stdout
    html = page.read_text()
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html
    assert html.count('<svg class="chart') == 2
    assert "isotonic regression" in html


def test_the_help_of_every_command_has_an_example() -> None:
    from corpusmill.pipelines.cli.quality import app_for

    for command in ("train", "score", "keep", "report", "round"):
        result = CliRunner().invoke(app_for("quality"), [command, "--help"])
        assert result.exit_code == 0, result.output
        assert f"corpusmill quality {command}" in result.stdout


def test_a_model_behind_a_url_scores_as_one_beside(run: Run, folder: Path, scored: str, classifier: str) -> None:
    for name in ("model.bin", "quality.json", "_manifest.json"):
        storage.commit_bytes(f"memory://classifier/{name}", Path(classifier, name).read_bytes())
    done = run("score", "out", datasets=[str(folder / "crawl")], model="memory://classifier")
    assert table(done.folder)["quality_score"].equals(table(scored)["quality_score"])
