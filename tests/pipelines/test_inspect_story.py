"""`corpusmill inspect why RUN ID`: one document's way through a whole run, against the files of the run."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpusmill.training.order.sequence_order import SequenceOrder
from tests.pipelines import inspecting
from tests.pipelines.inspecting import Command
from tests.pipelines.small_run import HOSTILE


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inspecting.make_whole_run(tmp_path_factory.mktemp("story"))


@pytest.fixture
def inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return inspecting.command(monkeypatch, capsys)


def story(inspect: Command, made: Path, document: str) -> dict[str, Any]:
    code, out, error = inspect("why", made, document, "--json")
    assert (code, error) == (0, "")
    values: dict[str, Any] = json.loads(out)
    return values


def test_a_kept_document_is_followed_to_the_steps_that_read_it(made: Path, inspect: Command) -> None:
    whole = story(inspect, made, "good-3")
    fates = [(visit["stage"], visit["fate"]) for visit in whole["visits"]]
    assert fates[:4] == [("documents", "kept"), ("clean", "kept"), ("unique", "kept"), ("mixed", "kept")]
    assert ("shards", "kept") in fates
    (use,) = whole["uses"]
    order = SequenceOrder.from_json((made / "model/plan.json").read_bytes(), "plan")
    positions = [place for place in range(4) if order.rows(place, 1)[0] == use["sequence"]]
    assert [(read["position"], read["step"]) for read in use["reads"]] == [(at, at // 2 + 1) for at in positions]
    assert use["fim"]
    assert whole["missing"] == []


def test_a_raw_record_is_named_where_its_file_is(made: Path, inspect: Command) -> None:
    whole = story(inspect, made, "good-3")
    assert whole["raw"]["files"] == [str(made.parent / "raw.jsonl")]
    assert whole["labels"] == {"source": "tests", "kind": "web"}


def test_every_rule_has_its_value_and_its_threshold_broken_ones_first(made: Path, inspect: Command) -> None:
    (clean,) = [visit for visit in story(inspect, made, "hostile<b>")["visits"] if visit["stage"] == "clean"]
    ledger = [row for row in pq.read_table(made / "clean/_ledger").to_pylist() if row["id"] == "hostile<b>"]
    broken = [rule for rule in clean["rules"] if rule["broken"]]
    assert clean["fate"] == "rejected"
    assert clean["rules"][: len(broken)] == broken
    assert {(rule["rule"], rule["value"]) for rule in broken} == {(row["rule"], row["value"]) for row in ledger}
    statistics = {row["id"]: row for row in pq.read_table(made / "clean/_statistics").to_pylist()}["hostile<b>"]
    assert clean["statistics"]["byte_count"] == statistics["byte_count"] == len(HOSTILE.encode())
    assert all(rule["value"] == statistics[rule["statistic"]] for rule in clean["rules"])


def test_what_differs_from_the_survivor_is_marked(made: Path, inspect: Command) -> None:
    rows = {row["method"]: row for row in pq.read_table(made / "unique/_duplicates").to_pylist()}
    near, exact = rows["minhash"], rows["exact"]
    (unique,) = [visit for visit in story(inspect, made, near["id"])["visits"] if visit["stage"] == "unique"]
    assert unique["fate"] == "duplicate"
    assert (unique["survivor"]["id"], unique["survivor"]["similarity"]) == (near["survivor"], near["similarity"])
    differing = [(change["kind"], change["text"].strip()) for change in unique["changes"] if change["kind"] != "same"]
    kind, marked = ("removed", "[-One more line.-]") if near["id"] == "near" else ("added", "{+One more line.+}")
    assert differing == [(kind, "One more line.")]
    assert marked in inspect("why", made, near["id"])[1]
    assert "both texts are the same" in inspect("why", made, exact["id"])[1]


def test_copies_of_a_mixture_go_by_their_own_ids(made: Path, inspect: Command) -> None:
    whole = story(inspect, made, "good-5")
    copies = sorted(
        row["id"] for row in pq.read_table(made / "mixed", columns=["id"]).to_pylist() if row["id"].startswith("good-5")
    )
    assert len(copies) >= 2
    (mixed,) = [visit for visit in whole["visits"] if visit["stage"] == "mixed"]
    assert mixed["lines"][-1] == f"{len(copies)} copies: {', '.join(copies)}"


def test_people_read_the_same_and_no_document_drives_the_terminal(made: Path, inspect: Command) -> None:
    code, out, error = inspect("why", made, "good-3")
    assert (code, error) == (0, "")
    assert "read by model in step" in out
    assert "gopher-quality/words" in out
    _, hostile, _ = inspect("why", made, "hostile<b>", "--statistics")
    assert "\x1b" not in hostile
    assert "byte_count" in hostile


def test_one_stage_answers_as_json_too(made: Path, inspect: Command) -> None:
    code, out, _ = inspect("why", made / "clean", "hostile<b>", "--json")
    assert code == 0
    assert json.loads(out)["fate"] == "rejected"


def test_a_document_that_nobody_saw_is_one_line(made: Path, inspect: Command) -> None:
    code, out, error = inspect("why", made, "nobody")
    assert (code, out) == (2, "")
    assert "no stage of this run has seen a document with this id" in error
